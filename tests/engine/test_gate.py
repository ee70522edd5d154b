import json

import numpy as np
import pytest
from enc.engine import (
    Fraction,
    TrainConfig,
    gate,
    load_encoder,
)
from enc.engine.backends import measure
from enc.engine.backends.int8 import RECIPES
from enc.engine.backends.openvino_backend import OpenVinoBackend
from enc.store import Source

pytest.importorskip("nncf", reason="quantizing needs nncf")
pytest.importorskip("openvino", reason="int8 models run on openvino")
CONFIG = TrainConfig(learning_rate=0.05, epochs=20)


@pytest.fixture
def reviews(tmp_path, monkeypatch, fresh_memory):
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    rows = [f"{text} {i}\t{i % 2}" for i, text in enumerate(["good", "not good"] * 40)]
    (tmp_path / "reviews.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
    return Source(tmp_path / "reviews.tsv")


def test_the_gate_keeps_what_is_as_good(tiny_bert, reviews, tmp_path):
    judged = gate.judge_int8(
        str(tiny_bert), reviews, tmp_path / "out", valid=Fraction(0.5), config=CONFIG, max_length=16
    )
    assert judged.passed
    assert [j.recipe for j in judged.judgements] == [RECIPES[0].name]
    assert judged.judgements[0].full - judged.judgements[0].int8 <= gate.MAX_LOSS
    record = json.loads((tmp_path / "out" / "int8.json").read_text())
    assert record["recipe"] == RECIPES[0].name
    assert load_encoder(str(tmp_path / "out")).spec.max_length == 16
    assert judged.full[0].name == "torch fp32"


def test_the_gate_writes_nothing_where_quality_suffers(tiny_bert, reviews, tmp_path, monkeypatch):
    # A faulty quantizer: the features of int8 say nothing about the label.
    class Faulty(OpenVinoBackend):
        def __init__(self, checkpoint, *, precision, **options):
            super().__init__(checkpoint, precision=precision, **options)
            self.is_faulty = precision == "int8"

        def run(self, batches):
            for features in super().run(batches):
                yield np.ones_like(features) if self.is_faulty else features

    monkeypatch.setattr("enc.engine.backends.openvino_backend.OpenVinoBackend", Faulty)
    judged = gate.judge_int8(
        str(tiny_bert), reviews, tmp_path / "out", valid=Fraction(0.5), config=CONFIG, max_length=16
    )
    assert not judged.passed
    assert [j.recipe for j in judged.judgements] == [r.name for r in RECIPES]
    assert not (tmp_path / "out").exists()
