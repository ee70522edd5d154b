"""A graph's file is named by all that the graph depends on, and by nothing else."""

import pytest
from enc.engine.backends import graph_cache
from enc.engine.backends.graph_cache import onnx_path, openvino_path
from enc.engine.encode.checkpoint import checkpoint_of


def spelled(tiny_bert, **setting) -> str:
    return openvino_path(checkpoint_of(str(tiny_bert), **dict(max_length=32) | setting)).name


@pytest.mark.parametrize("setting", [dict(max_length=16), dict(prefix="query: "), dict(dtype="float32")])
def test_what_the_graph_does_not_depend_on(tiny_bert, setting):
    assert spelled(tiny_bert, **setting) == spelled(tiny_bert)


def test_what_the_graph_depends_on(tiny_bert, tiny_model, monkeypatch):
    names = {spelled(tiny_bert), spelled(tiny_model("bert", hidden_size=32))}
    names |= {spelled(tiny_bert, pooling="max"), spelled(tiny_bert, layers="1")}
    monkeypatch.setattr(graph_cache, "installed_release", lambda package: f"{package} of tomorrow")
    names.add(spelled(tiny_bert))
    monkeypatch.setattr(graph_cache, "PROBES", ("other texts to compare on",))
    names.add(spelled(tiny_bert))
    assert len(names) == 6


def test_the_kinds_of_graph_have_files_of_their_own(tiny_bert):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
    kinds = [("fp32", "any"), ("fp16", "any"), ("fp16", "cuda")]
    paths = {openvino_path(checkpoint), *(onnx_path(checkpoint, *kind) for kind in kinds)}
    assert len(paths) == 4
    assert {(path.parent.name, path.suffix) for path in paths} == {("openvino", ".xml"), ("onnx", ".onnx")}


def test_they_lie_in_the_cache_folder(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = openvino_path(checkpoint_of(str(tiny_bert), max_length=32))
    assert path.parent == tmp_path / "enc" / "openvino"
    assert not path.exists()
