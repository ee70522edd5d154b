from enc.cli.text import (
    cells_of,
    count_text,
    figures_table,
    rejects_line,
    rows_of,
    seconds_line,
    size_text,
    table_in_terminal,
    table_text,
)


def test_tables_are_aligned():
    rows = [("a", "1,000", "x"), ("long", "2", "")]
    assert table_text(("name", "rows", "model"), rows, right=("rows",)).splitlines() == [
        "name   rows  model",
        "a     1,000  x",
        "long      2",
    ]
    assert rows_of([("rows", "10", "all"), ("seconds", "2", "")]) == "  rows     10  all\n  seconds   2"


def test_tables_are_aligned_where_characters_take_two_columns():
    rows = [("好评", "12"), ("bad", "3")]
    assert table_text(("标签", "rows"), rows, right=("rows",)).splitlines() == [
        "标签  rows",
        "好评    12",
        "bad      3",
    ]
    assert rows_of([("标签", "10", "all"), ("rows", "2", "")]) == "  标签  10  all\n  rows   2"


def test_figures_of_several_sets_stand_side_by_side():
    columns = {"valid": {"loss": 0.25, "f1": None}, "test, 12 rows": {"loss": 12.5}}
    assert figures_table(columns).splitlines() == [
        "            valid  test, 12 rows",
        "  loss     0.2500        12.5000",
        "  f1    undefined",
    ]


def test_the_last_column_is_cut_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = table_in_terminal(("label", "text"), [("1", "很" * 40), ("0", "short\ttext")]).splitlines()
    assert lines[1].endswith("很…")
    assert cells_of(lines[1]) <= 60
    assert lines[2] == "  0      short text"


def test_figures():
    assert [size_text(size) for size in (0, 999, 1000, 2_500_000, 3e12)] == [
        "0 B", "999 B", "1.0 kB", "2.5 MB", "3.0 TB",
    ]  # fmt: skip
    assert seconds_line({"stage": 0.5, "total": 1}) == "stage 0.50"
    assert rejects_line({"a": 1200, "b": 3, "c": 2, "d": 1}, 5000) == "1,200 a, 3 b, 2 c, 1 d"
    assert rejects_line({"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}, 15) == "5 a, 4 b, 3 c, 2 d, …"
    assert "iconv" not in rejects_line({"invalid UTF-8": 5}, 10)
    assert rejects_line({"invalid UTF-8": 6, "a": 1}, 10).startswith(
        "6 invalid UTF-8, 1 a; is it GB18030? iconv"
    )


def test_numbers_of_things():
    assert [count_text(n, "shard") for n in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]
