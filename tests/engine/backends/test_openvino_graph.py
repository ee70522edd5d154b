"""A graph that OpenVINO made wrongly is not kept."""

import copy

import pytest
from enc.engine.encode.checkpoint import checkpoint_of
from enc.store import ModelError

pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_a_graph_that_differs_from_torch_is_refused(tiny_bert, monkeypatch, tmp_path, fresh_memory):
    from enc.engine.backends import openvino_graph
    from enc.engine.backends.network import network_of

    checkpoint = checkpoint_of(str(tiny_bert), max_length=16)
    graph, other = openvino_graph.converted(checkpoint), copy.deepcopy(network_of(checkpoint))
    other.network.encoder.layer[1].output.dense.weight.data.mul_(-3)
    monkeypatch.setattr(openvino_graph, "converted", lambda _: graph)
    monkeypatch.setattr(openvino_graph, "network_of", lambda _: other)
    with pytest.raises(ModelError, match="differs from torch by"):
        openvino_graph.write_graph(checkpoint, tmp_path / "graph.xml")
    assert not (tmp_path / "graph.xml").exists()
