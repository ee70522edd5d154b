"""Shapes and padding of the networks."""

import pytest
import torch
from enc.engine.heads.kinds import HEADS
from enc.engine.heads.making import make_head
from enc.engine.heads.networks import Standardized, token_mask
from enc.store import HeadError
from head_features import HIDDEN, LENGTH, scaled_head, token_features
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

NEW = [name for name in HEADS if name != "encoder"]  # made from nothing, with no model's layers
OVER_TOKENS = [name for name in NEW if HEADS[name].needs_tokens]


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("shape", [(HIDDEN,), (LENGTH, HIDDEN)])
def test_shapes(kind, shape):
    if kind in OVER_TOKENS and len(shape) == 1:
        with pytest.raises(
            HeadError, match=rf"head '{kind}' reads token features.*--pooling tokens.*\(linear, mlp\)"
        ):
            make_head(kind, shape, 2)
        return
    head = make_head(kind, shape, 2)
    assert head(torch.randn(5, *shape)).shape == (5, 2)
    assert head.mean.shape == head.scale.shape == (HIDDEN,)
    assert head.parameters_count == sum(p.numel() for p in head.head.parameters())


@pytest.mark.parametrize("kind", OVER_TOKENS)
@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, LENGTH), min_size=1, max_size=4), more=st.integers(1, 9))
def test_padding_never_counts(kind, lengths, more):
    head = scaled_head(kind, (LENGTH, HIDDEN))
    with torch.inference_mode():
        expected = head(token_features(lengths, LENGTH))
        torch.testing.assert_close(head(token_features(lengths, LENGTH + more)), expected)
        alone = torch.cat(
            [
                head(row[None, :length])
                for row, length in zip(token_features(lengths, LENGTH), lengths, strict=True)
            ]
        )
        torch.testing.assert_close(alone, expected)


class Recorder(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.out = nn.Linear(1, outputs)

    def forward(self, features):
        self.seen = features
        return self.out(features.flatten(1).sum(1, keepdim=True))


def test_padding_stays_zero_for_heads_without_a_mask():
    recorder = Recorder((LENGTH, HIDDEN), 2)
    head = Standardized(recorder, (HIDDEN,), tokens=True)
    head.mean.fill_(3)
    features = token_features([3, 7], LENGTH)
    head(features)
    assert (recorder.seen[0, 3:] == 0).all()
    torch.testing.assert_close(recorder.seen[0, :3], (features[0, :3] - head.mean) * head.scale)


def test_a_linear_heads_scaled_weights_give_what_scaled_features_give():
    head = scaled_head("linear", (HIDDEN,))
    features = torch.randn(5, HIDDEN) * 0.01 + 5  # spread far less than they are away from 0
    head.mean.copy_(features.mean(0))
    head.scale.copy_(1 / features.std(0))
    logits, expected = head(features), head.head((features - head.mean) * head.scale)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=0)
    gradients = [torch.autograd.grad(found.square().sum(), head.parameters()) for found in (logits, expected)]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-2, rtol=1e-3)


def test_the_mask_is_of_what_is_not_zero():
    assert token_mask(token_features([2, 0, 7], LENGTH)).sum(1).tolist() == [2, 0, 7]


@pytest.mark.parametrize("kind", OVER_TOKENS)
def test_a_text_without_tokens_gives_numbers(kind):
    assert scaled_head(kind, (LENGTH, HIDDEN))(token_features([0, 3], LENGTH)).isfinite().all()


@pytest.mark.parametrize("kind", [name for name in NEW if name != "lstm"])
def test_many_heads_run_at_once(kind):
    shape = (LENGTH, HIDDEN)
    heads = [scaled_head(kind, shape) for _ in range(3)]
    for number, head in enumerate(heads):
        nn.init.normal_(
            head.head.fc1.weight if kind != "mlp" else head.head.layers[0].weight,
            generator=torch.manual_seed(number),
        )
    parameters, buffers = stack_module_state(heads)
    features = token_features([1, 4, 7], LENGTH)

    def run(parameters, buffers):
        return functional_call(heads[0], (parameters, buffers), (features,))

    expected = torch.stack([head(features) for head in heads])
    torch.testing.assert_close(vmap(run)(parameters, buffers), expected)
    heads[0].train()
    assert vmap(run, randomness="different")(parameters, buffers).shape == (3, 3, 3)


@pytest.mark.parametrize("kind", ["linear", "attention"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_scaling_is_left_out_only_where_it_does_nothing(kind, scale):
    torch.manual_seed(0)
    network = make_head(kind, (4, 6), 3).eval()
    network.scale.fill_(scale)
    features = torch.randn(5, 4, 6)
    features[:, 2:] = 0
    expected = network(features)
    network.skip_idle_scaling()
    torch.testing.assert_close(network(features), expected)
    network.scale.fill_(7.0)  # shows which way is taken
    assert torch.equal(network(features), expected) == (scale == 1)
