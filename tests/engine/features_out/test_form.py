import json

import numpy as np
import pyarrow as pa
import pytest
from enc.engine.features_out.form import MAX_COLUMNS, Form, require_columns
from enc.store import FeatureSpec, SourceError, SpecError
from enc.store.lookup import NOWHERE
from enc.store.mapped import MappedFeatures
from fakes import fake_spec
from feature_sets import filled

SEVERAL = {"layers": (1, 2), "pooling": ("mean", "cls")}


def test_a_list_of_fixed_size_tells_its_shape_and_setting():
    form = Form.of(fake_spec(pooling=("tokens",), max_length=8, dtype="float16"))
    (field,) = form.fields()
    assert (field.name, field.type) == (
        "features",
        pa.list_(pa.field("element", pa.float16(), nullable=False), 32),
    )
    assert json.loads(field.metadata[b"shape"]) == [8, 4]
    assert FeatureSpec.from_json(field.metadata[b"setting"].decode()) == form.spec


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, "float16"),
        ({"layout": "columns"}, "float32"),
        ({"layout": "columns", "dtype": "float16"}, "float16"),
    ],
)
def test_the_element_type(options, dtype):
    assert Form.of(fake_spec(dtype="float16"), **options).dtype == dtype


def test_a_column_for_each_number():
    fields = Form.of(fake_spec(), layout="columns", column_prefix="a_").fields()
    assert [field.name for field in fields] == [f"a_features_{i}" for i in range(4)]


def test_parts():
    spec = fake_spec(**SEVERAL)
    assert Form.of(spec, use="layers=2,pooling=cls").spec == spec.select((2,), ("cls",))
    assert Form.of(spec, use=spec.select((2,))).spec == spec.select((2,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use": "layers=3"}, "there is no layer 3"),
        ({"use": fake_spec(layers=(3,))}, "layer 3 is not among the stored features"),
        ({"layout": "rows"}, "unknown layout 'rows'; there are list, columns"),
        ({"dtype": "float64"}, "unknown dtype 'float64'"),
    ],
)
def test_impossible_forms(options, message):
    with pytest.raises(SpecError, match=message):
        Form.of(fake_spec(**SEVERAL), **options)


def test_too_many_columns():
    wide = fake_spec(pooling=("tokens",), max_length=MAX_COLUMNS // 4 + 1)
    with pytest.raises(SpecError, match=r"features of 4,100 numbers .* take a part of them with --use"):
        Form.of(wide, layout="columns")
    Form.of(wide)


@pytest.fixture
def features(tmp_path):
    table = filled(tmp_path / "set", range(3), range(3, 5))
    return table.spec, MappedFeatures(table.shards, table.spec)


def locations(*numbers):
    """Of the rows of shards with three and two rows, which lie in any order."""
    return np.array([NOWHERE if n is None else n for n in numbers], np.int64)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("layout", ["list", "columns"])
def test_rows_without_features_are_null(features, dtype, layout):
    spec, mapped = features
    form = Form.of(spec, dtype=dtype, layout=layout)
    columns = form.columns(mapped, locations(1, None, 0))
    batch = pa.RecordBatch.from_arrays(columns, schema=pa.schema(form.fields()))
    batch.validate(full=True)
    (one, other) = mapped.take(locations(1, 0)).astype(dtype).tolist()
    if layout == "list":
        assert batch.column(0).to_pylist() == [one, None, other]
    else:
        assert [column.to_pylist() for column in batch.columns] == [
            [a, None, b] for a, b in zip(one, other, strict=True)
        ]
    none = form.columns(mapped, locations(None))
    assert [column.to_pylist() for column in none] == [[None]] * len(columns)
    assert [len(column) for column in form.columns(mapped, locations())] == [0] * len(columns)


def test_numbers_that_float16_cannot_hold(tmp_path):
    table = filled(tmp_path / "set", range(70_000, 70_001))
    mapped = MappedFeatures(table.shards, table.spec)
    with pytest.raises(SpecError, match="too large for float16; write them with --dtype float32"):
        Form.of(table.spec, dtype="float16").values(mapped, locations(0))


def test_files_of_arrays_have_no_columns():
    spec = fake_spec()
    require_columns(Form.of(spec), "npy", None)
    require_columns(Form.of(spec), "npy", [])
    with pytest.raises(SourceError, match=r"a \.npz file holds numbers alone.*leave out --columns"):
        require_columns(Form.of(spec), "npz", ["id"])
    with pytest.raises(SourceError, match=r"--layout columns is for \.parquet and \.arrow"):
        require_columns(Form.of(spec, layout="columns"), "npy", None)
