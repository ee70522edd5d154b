from enc.cli.text import count_text, rejects_line, rows_of, seconds_line, size_text, table_text


def test_tables_are_aligned():
    rows = [("a", "1,000", "x"), ("long", "2", "")]
    assert table_text(("name", "rows", "model"), rows, right=("rows",)).splitlines() == [
        "name   rows  model",
        "a     1,000  x",
        "long      2",
    ]
    assert rows_of([("rows", "10", "all"), ("seconds", "2", "")]) == "  rows     10  all\n  seconds   2"


def test_figures():
    assert [size_text(size) for size in (0, 999, 1000, 2_500_000, 3e12)] == [
        "0 B", "999 B", "1.0 kB", "2.5 MB", "3.0 TB",
    ]  # fmt: skip
    assert seconds_line({"stage": 0.5, "total": 1}) == "stage 0.50"
    assert rejects_line({"a": 1200, "b": 3, "c": 2, "d": 1}) == "1,200 a, 3 b, 2 c, 1 d"
    assert rejects_line({"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}) == "5 a, 4 b, 3 c, 2 d, …"


def test_numbers_of_things():
    assert [count_text(n, "shard") for n in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]
