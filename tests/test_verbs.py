"""The verbs of `import enc` take an open store or feature set, or its path as a string or a Path."""

import inspect
from pathlib import Path
from typing import get_args, get_type_hints

import enc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import TEXTS, WORDS, FakeEncoder

VERBS = {name: getattr(enc, name) for name in enc.__all__ if inspect.isfunction(getattr(enc, name))}
STEPS = enc.TrainConfig(epochs=1)
VALID = enc.Fraction(0.2)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_who_takes_an_object_takes_its_path(name):
    for hint in get_type_hints(VERBS[name]).values():
        kinds = [*get_args(hint), hint]
        if any(kind in (enc.Store, enc.FeatureTable, Path) for kind in kinds):
            assert str in kinds
            assert Path in kinds


@pytest.fixture
def source(tmp_path) -> enc.Source:
    columns = {"text": TEXTS, "label": [words > 3 for words in WORDS]}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    return enc.Source(tmp_path / "data.parquet")


@pytest.fixture(params=[str, Path, enc.Store])
def store(request, source, tmp_path):
    """A store with one feature set, which a verb has made, as each of the things that name one."""
    named = request.param(tmp_path / "store")
    assert enc.build_features(source, named, FakeEncoder(), name="set").encoded == len(set(TEXTS))
    return named


@pytest.fixture(params=[str, Path, enc.FeatureTable])
def table(request, source, tmp_path):
    enc.build_features(source, tmp_path / "store", FakeEncoder(), name="set")
    return request.param(tmp_path / "store" / "set")


def test_training(source, table):
    assert enc.train_head(source, table, valid=VALID, config=STEPS).feature_set == "set"
    grid = {"learning_rate": [1e-3, 1e-2]}
    assert enc.sweep(source, table, grid=grid, valid=VALID, config=STEPS).head.feature_set == "set"
    assert enc.search_path(source, table, valid=VALID).head.feature_set == "set"
    data = enc.load_examples(source, table, valid=VALID)
    assert enc.solve(data, enc.SolveConfig(l2=[0.1])).feature_set == "set"


@pytest.mark.parametrize("path", [str, Path])
def test_scoring(source, store, tmp_path, path):
    table = enc.Store(store).open()
    head = enc.train_head(source, table, valid=VALID, config=STEPS)
    head = enc.load_classifier(path(head.save(path(tmp_path / "head"))))
    summary = enc.score(path(tmp_path / "data.parquet"), path(tmp_path / "out.parquet"), head, store)
    assert (summary.encoded, summary.scored) == (0, len(TEXTS))


@pytest.mark.parametrize("path", [str, Path])
def test_models(tiny_bert, tmp_path, path):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    encoder = enc.load_encoder(path(tiny_bert), max_length=16)
    assert encoder.spec.model == str(tiny_bert)
    assert np.isfinite(enc.encode_texts(encoder, ["a good room"])).all()
    enc.export_onnx(path(tiny_bert), path(tmp_path / "model.onnx"), max_length=16)
    assert (tmp_path / "model.onnx").is_file()


def test_a_head_is_exported_with_the_setting_of_its_features(tiny_bert, tmp_path, write):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    rows = "".join(f"{'good' if i % 2 else 'bad'} {i}\t{i % 2}\n" for i in range(20))
    source = enc.Source(write("t.tsv", "text\tlabel\n" + rows))
    enc.build_features(source, tmp_path / "store", enc.load_encoder(tiny_bert, max_length=16, pooling="max"))
    head = enc.train_head(source, enc.Store(tmp_path / "store").open(), valid=VALID, config=STEPS)
    enc.export_onnx(tiny_bert, tmp_path / "head.onnx", head=head)
    with pytest.raises(enc.EncError, match="pooling"):
        enc.export_onnx(tiny_bert, tmp_path / "other.onnx", head=head, pooling="mean", max_length=16)
