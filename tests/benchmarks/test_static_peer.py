"""model2vec among the contenders; a fake stands for it, because it is not installed here."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from enc.benchmarks.static_peer import HEAD, STATIC, head_accuracy, labels_of, static_encoder
from enc.store import Source, SourceError


class Words:
    """As model2vec's StaticModel: here a vector says which words a text has."""

    @classmethod
    def from_pretrained(cls, folder):
        assert folder
        return cls()

    def encode(self, texts):
        return np.array([[float("good" in text), float("bad" in text)] for text in texts], np.float32)


@pytest.fixture
def model2vec(monkeypatch):
    monkeypatch.setitem(sys.modules, "model2vec", SimpleNamespace(StaticModel=Words))


@pytest.fixture
def rows(write):
    lines = [f"a {'good' if i % 2 else 'bad'} room {i}\t{'yes' if i % 2 else 'no'}" for i in range(40)]
    return write("t.tsv", "\n".join(["text\tlabel", *lines]) + "\n")


@pytest.mark.usefixtures("model2vec")
def test_it_is_measured_beside_its_heads_accuracy(bench, rows, tiny_bert, tmp_path):
    options = ["--model", tiny_bert, "--max-length", 16, "--texts", 40, "--label-column", "label"]
    by_name, _, _ = bench("encode", rows, *options, "--static-model", tmp_path)
    assert by_name[STATIC]["median"] > 0
    assert by_name[STATIC]["remarks"][HEAD] == "1.0000"
    assert 0 <= float(by_name["enc torch fp32"]["remarks"][HEAD]) <= 1


def test_without_it_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(ImportError):
        static_encoder("folder")


@pytest.mark.usefixtures("model2vec")
def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="is no folder"):
        static_encoder(str(tmp_path / "none"))


def test_labels_of_texts(rows):
    assert labels_of(Source(rows), "label", ["a good room 1", "a bad room 0", "unknown"]) == [
        "yes",
        "no",
        None,
    ]


def test_accuracy_needs_texts_of_each_label():
    features = np.arange(20, dtype=np.float32).reshape(-1, 1)
    labels = ["a"] * 10 + ["b"] * 9 + [None]
    assert head_accuracy(features, labels) > 0.8
    with pytest.raises(SourceError, match="raise --texts"):
        head_accuracy(features, ["a"] * 16 + ["b"] * 4)
