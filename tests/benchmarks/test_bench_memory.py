from enc.benchmarks.bench_memory import make_texts


def test_texts_are_distinct_and_short(tmp_path):
    lines = make_texts(tmp_path / "t.tsv", 500).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "sentence"
    assert len(set(lines)) == 501
    assert all(4 <= len(line.split()) <= 12 for line in lines[1:])
