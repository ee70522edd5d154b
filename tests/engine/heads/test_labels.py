import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine.heads import labels
from enc.engine.heads.labels import MAX_CLASSES, Labels, class_counts, listing
from enc.engine.heads.targets import CLASS_TYPE
from enc.store import LabelError, Source, SourceError
from enc.store.duck import workspace
from enc.store.stage import stage_source


@pytest.fixture
def stage_of(tmp_path):
    with workspace() as con:
        numbers = iter(range(100))

        def stage_of(values, *, type=None, tsv=False):
            number = next(numbers)
            if tsv:
                path = tmp_path / f"{number}.tsv"
                path.write_text("text\tlabel\n" + "".join(f"t{i}\t{v}\n" for i, v in enumerate(values)))
            else:
                path = tmp_path / f"{number}.parquet"
                table = pa.table(
                    {"text": [f"t{i}" for i in range(len(values))], "label": pa.array(values, type)}
                )
                pq.write_table(table, path)
            return stage_source(con, Source(path), f"s{number}", label_column="label")

        yield stage_of


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([10, 9, 9, None], dict(), (9, 10)),
        (["10", "9"], dict(), ("10", "9")),  # Parquet has types: these are strings
        (["10", "9"], dict(tsv=True), (9, 10)),  # TSV has none
        (["-1", "1"], dict(tsv=True), (-1, 1)),
        (["01", "1"], dict(tsv=True), ("01", "1")),
        (["neg", "pos", "1"], dict(tsv=True), ("1", "neg", "pos")),
        ([1.0, 0.0, None], dict(), (0, 1)),
        ([True, False, True], dict(), (False, True)),
        ([3, 1], dict(type=pa.uint8()), (1, 3)),
        (["好", "坏"], dict(), ("坏", "好")),
    ],
)
def test_labels_keep_their_type_and_order(stage_of, values, options, expected):
    labels = Labels.of(stage_of(values, **options))
    assert labels.values == expected
    assert labels.kind is type(expected[0])


def test_labels_of_another_format_are_understood(stage_of):
    labels = Labels((0, 1))
    for values, options in (([0, 1], {}), (["1", "0"], {}), ([1.0], {}), (["1"], dict(tsv=True))):
        stage = stage_of(values, **options)
        texts, numbers = labels.numbers_in(stage)
        assert numbers.tolist() == [int(float(text)) for text in texts]
        assert sorted(map(float, texts)) == sorted(map(float, values))


def test_an_unknown_label_is_named_with_its_row(stage_of):
    with pytest.raises(
        LabelError,
        match=r"unknown label 'maybe' in .*parquet, row 2 \(2 in all\); the head's labels are: no, yes",
    ):
        Labels(("no", "yes")).numbers_in(stage_of(["yes", "maybe", "maybe"]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 1], "has 1 distinct label; training needs"),
        ([None], "no distinct labels"),
        ([0.5, 1.0], "fractions such as 0.5"),
    ],
)
def test_columns_that_are_no_classes(stage_of, values, message):
    with pytest.raises(LabelError, match=message):
        Labels.of(stage_of(values, type=pa.float64() if 0.5 in values else pa.int64()))


def test_rejected_rows_are_told_where_labels_lack(tmp_path):
    path = tmp_path / "gbk.tsv"
    path.write_bytes("text\tlabel\n好\t1\n坏\t0\n".encode("gb18030"))
    with (
        workspace() as con,
        pytest.raises(
            LabelError, match=r"no distinct labels.*; 2 of its 2 rows are rejected, .* row 1: invalid UTF-8$"
        ),
    ):
        Labels.of(stage_source(con, Source(path), label_column="label"))


@pytest.mark.parametrize("tsv", [False, True])
def test_integers_beyond_64_bits_are_refused(stage_of, tsv):
    stage = stage_of([1 << 63, 1], tsv=tsv) if tsv else stage_of([1 << 63, 1], type=pa.uint64())
    with pytest.raises(LabelError, match=r"label 9223372036854775808 of .* is beyond 64 bits"):
        Labels.of(stage)
    assert Labels.of(stage_of([(1 << 63) - 1, -(1 << 63)], tsv=tsv)).arrow().type == pa.int64()
    with pytest.raises(LabelError, match="is beyond 64 bits"):
        Labels.parse(["9223372036854775808", "1"])


def test_a_column_of_texts_is_not_taken_for_classes(stage_of, monkeypatch):
    monkeypatch.setattr("enc.engine.heads.labels.MAX_CLASSES", 10)
    assert len(Labels.of(stage_of([f"c{i:02}" for i in range(10)]))) == 10
    for rows in (11, 2000):
        with pytest.raises(SourceError, match="over 10 distinct values; is it the right one"):
            Labels.of(stage_of([f"c{i:04}" for i in range(rows)]))


def test_classes_are_counted_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr(labels, "_COUNTED_ROWS", 3)
    numbers = np.array([2, 0, 2, 2, 0, 5, 2], np.int16)
    assert class_counts(numbers, 7).tolist() == [2, 0, 4, 0, 0, 1, 0]
    assert class_counts(numbers[:0], 2).tolist() == [0, 0]


def test_class_numbers_fit_their_type():
    assert np.iinfo(CLASS_TYPE).max >= MAX_CLASSES


def test_listing_is_short():
    assert listing(["x" * 99]) == "x" * 29 + "…"
    assert listing(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (12 in all)"
