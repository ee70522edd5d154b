import pytest
from enc.store import Source, SourceError
from enc.store.file_kind import require_no_parquet, require_parquet


def test_globs_are_sorted_and_files_named_twice_count_once(tmp_path):
    for name in ("b.tsv", "a.tsv"):
        (tmp_path / name).write_text("text\n")
    files = Source([str(tmp_path / "b.tsv"), str(tmp_path / "*.tsv")]).files()
    assert files == [str(tmp_path / "b.tsv"), str(tmp_path / "a.tsv")]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("x.tsv", "tsv"),
        ("x.CSV", "csv"),
        ("x.csv.gz", "csv"),
        ("x.jsonl.zst", "jsonl"),
        ("x.ndjson", "jsonl"),
        ("a.b.parquet", "parquet"),
    ],
)
def test_format_by_ending(name, format):
    assert Source(name).format_of(name) == format


def test_format_asked_for_wins():
    assert Source("x.txt", format="tsv").format_of("x.txt") == "tsv"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: Source(), "which rows\\? name files as SOURCE…, or give a query"),
        (lambda p: Source("a.tsv", pair_column="b"), "with --pair-column b, name the first text, too"),
        (
            lambda p: Source("a.tsv", text_column="b", pair_column="b"),
            "'b' cannot be both texts of a pair",
        ),
        (lambda p: Source("a.tsv", format="xls"), "unknown format 'xls'"),
        (lambda p: Source(p / "no.tsv").files(), r"no file '.*no\.tsv'"),
        (lambda p: Source(p / "*.csv").files(), "no file"),
        (lambda _: Source("select * from 'x.tsv'").files(), "no file .*; pass SQL with --query"),
        (lambda p: Source(p).files(), r"is a folder; name its files"),
        (lambda p: Source("x.txt").format_of("x.txt"), "pass --format tsv|csv|jsonl|parquet"),
        (lambda p: Source("x.xlsx").format_of("x.xlsx"), "is a workbook.*save it as CSV in UTF-8"),
    ],
)
def test_errors(tmp_path, make, message):
    with pytest.raises(SourceError, match=message):
        make(tmp_path)


def test_pairs_are_encoded_in_one_of_two_ways():
    with pytest.raises(SourceError, match="unknown way to encode pairs 'apart'; there are joint, separate"):
        Source("p.tsv", text_column="a", pair_column="b", pairs="apart")
    with pytest.raises(SourceError, match="--pairs separate is for pairs of texts: name the second text"):
        Source("p.tsv", pairs="separate")


@pytest.mark.parametrize("require", [require_parquet, require_no_parquet])
def test_a_file_that_cannot_be_read_is_told(tmp_path, require):
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        require(str(tmp_path / "gone.parquet"))
