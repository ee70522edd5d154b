import json

import pytest


def test_calibrate(enc, write, tiny_bert, fresh_memory):
    texts = write("t.tsv", "text\n" + "\n".join(f"a good room {i}" for i in range(40)))
    lines = enc("calibrate", tiny_bert, texts, "--max-length", 16).stdout.splitlines()
    assert lines[1].startswith("torch fp32 ")
    rows = json.loads(enc("calibrate", tiny_bert, texts, "--max-length", 16, "--json").stdout)
    assert rows[0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert all(row["texts_per_second"] > 0 for row in rows if not row["problem"])
