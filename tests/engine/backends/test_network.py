"""The network in torch: what is loaded of it, and what is computed of it."""

import shutil

import pytest
import torch
from enc.engine.backends.network import load_network, network_of
from enc.engine.encode.checkpoint import checkpoint_of
from enc.store import ModelError
from safetensors.torch import load_file, save_file


def test_it_is_loaded_once_for_a_checkpoint(tiny_bert):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=16)
    assert network_of(checkpoint) is network_of(checkpoint)
    assert network_of(checkpoint_of(str(tiny_bert), max_length=16)) is not network_of(checkpoint)
    assert not network_of(checkpoint).training


def test_layers_above_the_highest_wanted_are_not_computed(tiny_bert):
    first = load_network(checkpoint_of(str(tiny_bert), max_length=16, layers="1"))
    assert len(first.network.encoder.layer) == 1
    both = load_network(checkpoint_of(str(tiny_bert), max_length=16, layers="1,2"))
    assert len(both.network.encoder.layer) == 2
    ids = torch.tensor([[2, 7, 8, 3]])
    inputs = ids, torch.ones_like(ids), torch.zeros_like(ids)
    with torch.inference_mode():
        torch.testing.assert_close(first(*inputs), both(*inputs)[:, :16])


def test_layer_0_is_what_the_embeddings_give(tiny_bert):
    asked = dict(max_length=16, pooling="tokens")
    alone = load_network(checkpoint_of(str(tiny_bert), layers="0", **asked))
    assert len(alone.network.encoder.layer) == 0
    both = load_network(checkpoint_of(str(tiny_bert), layers="0,2", **asked))
    ids = torch.tensor([[2, 7, 8, 3]])
    inputs = ids, torch.ones_like(ids), torch.zeros_like(ids)
    with torch.inference_mode():
        wanted = alone.network.embeddings(input_ids=ids)
        torch.testing.assert_close(alone(*inputs), wanted)
        torch.testing.assert_close(both(*inputs)[..., :16], wanted)


def test_weights_that_are_missing_are_named(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layer.1.output.dense.bias"))
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights .*: encoder\.layer\.1\.output\.dense\.bias"):
        load_network(checkpoint_of(str(folder), max_length=16))
