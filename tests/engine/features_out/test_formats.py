from pathlib import Path

import pytest
from enc.engine.features_out.formats import format_of, rows_file_of
from enc.store import SourceError


@pytest.mark.parametrize(
    ("output", "format"),
    [
        ("a.parquet", "parquet"), ("a.PQ", "parquet"), ("a.arrow", "arrow"), ("a.feather", "arrow"),
        ("a.npy", "npy"), ("a.b.npz", "npz"), ("folder/", "parquet"),
    ],
)  # fmt: skip
def test_the_ending_decides(output, format):
    assert format_of(output) == format


def test_a_folder_has_parquet_files(tmp_path):
    (tmp_path / "out.npy").mkdir()
    assert format_of(tmp_path / "out.npy") == "parquet"


@pytest.mark.parametrize("output", ["a.txt", "a", "npy"])
def test_other_endings(output):
    with pytest.raises(SourceError, match=f"the format of '{output}' from its ending; end it with .parquet"):
        format_of(output)


def test_the_numbers_of_rows_lie_beside():
    assert rows_file_of(Path("a/x.npy")) == Path("a/x.rows.npy")
    assert rows_file_of(Path("a/x.npy.npy")) == Path("a/x.npy.rows.npy")
