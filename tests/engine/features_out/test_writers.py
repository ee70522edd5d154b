import io
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from enc.engine.features_out.writers import ArrowWriter, NpzWriter, plain_schema, write_npy
from hypothesis import given
from hypothesis import strategies as st


def blocks(array, cuts):
    bounds = [0, *sorted(cuts), len(array)]
    return [array[a:b] for a, b in pairwise(bounds)]


@given(
    st.integers(0, 9),
    st.sampled_from([(), (3,), (2, 3)]),
    st.sampled_from(["float16", "float32", "int64"]),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_an_array_is_read_back(rows, shape, dtype, cuts):
    array = np.arange(rows * int(np.prod(shape)), dtype=dtype).reshape(rows, *shape)
    file = io.BytesIO()
    write_npy(file, array.shape, dtype, blocks(array, [min(cut, rows) for cut in cuts]))
    file.seek(0)
    found = np.load(file)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_blocks_that_do_not_lie_as_they_are_written():
    file, array = io.BytesIO(), np.arange(6.0).reshape(2, 3).T
    write_npy(file, array.shape, "float32", [array])
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), array)


@pytest.mark.parametrize("rows", [1, 3])
def test_other_rows_than_the_shape_tells(rows):
    with pytest.raises(ValueError, match=f"{rows} rows came for an array of 2"):
        write_npy(io.BytesIO(), (2,), "float32", [np.zeros(rows)])


def test_a_zip_file_of_arrays(tmp_path):
    with NpzWriter(tmp_path / "a.npz") as writer:
        writer.write("features", (3, 2), "float16", [np.ones((1, 2)), np.zeros((2, 2))])
        writer.write("rows", (0,), "int64", [])
    with np.load(tmp_path / "a.npz") as found:
        assert found["features"].tolist() == [[1, 1], [0, 0], [0, 0]]
        assert (found["rows"].dtype, len(found["rows"])) == (np.int64, 0)


def test_an_arrow_file_without_dictionaries(tmp_path):
    schema = plain_schema(
        pa.schema(
            [pa.field("a", pa.dictionary(pa.int32(), pa.string())), pa.field("b", pa.int8())], {"k": "v"}
        )
    )
    assert schema.types == [pa.string(), pa.int8()]
    with ArrowWriter(tmp_path / "a.arrow", schema) as writer:
        for text in "xy":
            writer.write(pa.record_batch([[text], pa.array([1], pa.int8())], schema=schema))
    found = pa.ipc.open_file(tmp_path / "a.arrow").read_all()
    assert found.column("a").to_pylist() == ["x", "y"]
    assert found.schema.metadata == {b"k": b"v"}
