import numpy as np
import pytest
import torch
from enc.engine.heads.dense import activated, dense_head, dense_members, mean_outputs
from enc.engine.heads.kinds import TUNED
from enc.engine.heads.making import make_head, weights_of
from enc.engine.heads.tasks import SINGLE_LABEL
from enc.store import HeadError

ARGUMENTS = {"linear": {}, "mlp": {"hidden": [7, 5]}, TUNED: {"activation": "gelu"}}


@pytest.mark.parametrize(
    ("name", "function"),
    [("tanh", torch.tanh), ("relu", torch.relu), ("gelu", torch.nn.functional.gelu)],
)
def test_activations(name, function):
    values = np.linspace(-6, 6, 1001, dtype=np.float32)
    found = activated(values, name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, function(torch.from_numpy(values)).numpy(), atol=1e-6)


def network_of(kind, shape, outputs, *, scaling_shape=None, targets=False):
    torch.manual_seed(1)
    network = make_head(
        kind, shape, outputs, ARGUMENTS[kind], scaling_shape=scaling_shape, targets=targets
    ).eval()
    network.mean.normal_()
    network.scale.uniform_(0.5, 2)
    if targets:
        network.target_mean.fill_(3.0)
        network.target_scale.fill_(0.25)
    return network


def dense_of(network, kind, shape, outputs):
    activation = ARGUMENTS[kind].get("activation", "relu")
    return dense_head(kind, weights_of(network), shape, outputs, activation=activation)


@pytest.mark.parametrize(
    ("kind", "shape", "outputs", "options"),
    [
        ("linear", (12,), 2, {}),
        ("linear", (12,), 9, {}),  # more outputs are multiplied the other way round
        ("linear", (12,), 1, {"targets": True}),
        ("linear", (6, 4), 3, {}),
        ("linear", (6, 4), 3, {"scaling_shape": (6, 4)}),  # the first format
        ("mlp", (12,), 3, {}),
        ("mlp", (6, 4), 1, {"targets": True}),
        (TUNED, (12,), 2, {}),
    ],
)
def test_logits_are_the_networks(kind, shape, outputs, options):
    network = network_of(kind, shape, outputs, **options)
    features = torch.randn(50, *shape, generator=torch.Generator().manual_seed(2))
    if len(shape) == 2:
        features[:, 3:] = 0  # padding
    before = features.clone()
    found = dense_of(network, kind, shape, outputs).logits(features.numpy())
    with torch.inference_mode():
        expected = network(features).numpy()
    assert found.dtype == np.float32
    assert found.shape == (50, outputs)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
    assert torch.equal(features, before)


def test_members_are_averaged_after_their_activation():
    networks = [network_of("linear", (4,), 3), network_of("mlp", (4,), 3)]
    names = {
        f"members.{i}.{name}": one for i, n in enumerate(networks) for name, one in weights_of(n).items()
    }
    assert dense_members("cnn", names, 2, (4,), 3, {}) is None
    members = [dense_of(networks[0], "linear", (4,), 3), dense_of(networks[1], "mlp", (4,), 3)]
    features = np.random.default_rng(0).standard_normal((100_000, 4)).astype(np.float16)
    found = mean_outputs(members, features, SINGLE_LABEL.activation)
    with torch.inference_mode():
        inputs = torch.from_numpy(features).float()
        expected = torch.stack([torch.softmax(network(inputs), 1) for network in networks]).mean(0)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("name", ["head.fc1.weight", "head.fc1.bias"])
def test_weights_that_do_not_fit(name):
    weights = weights_of(network_of("linear", (4,), 3))
    with pytest.raises(ValueError, match=r"(weights|outputs)"):
        dense_head("linear", weights | {name: weights[name][:2]}, (4,), 3)
    with pytest.raises(ValueError, match="3 outputs, not 2"):
        dense_head("linear", weights, (4,), 2)
    with pytest.raises(KeyError):
        dense_head("linear", {n: one for n, one in weights.items() if n != name}, (4,), 3)


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (TUNED, {"activation": "silu"}, "no activation 'silu'; there are tanh, relu, gelu"),
        ("mlp", {"hidden": [7, 5], "activation": "gelu"}, "'mlp' has no argument 'activation'"),
        ("mlp", {"hidden": [7, 6]}, r"hidden is \[7, 6\], and the weights have \[7, 5\]"),
        ("mlp", {"hidden": 7}, "hidden is 7"),
        ("linear", {"hidden": []}, "'linear' has no argument 'hidden'"),
    ],
)
def test_arguments_that_are_not_those_of_the_weights(kind, arguments, said):
    weights = weights_of(network_of(kind, (4,), 3))
    assert dense_members(kind, weights, 1, (4,), 3, ARGUMENTS[kind])
    with pytest.raises(ValueError, match=said):
        dense_members(kind, weights, 1, (4,), 3, arguments)


def test_features_that_are_not_finite():
    member = dense_of(network_of("linear", (4,), 3), "linear", (4,), 3)
    for value in (np.inf, -np.inf, np.nan, -np.nan):
        features = np.zeros((3, 4), np.float16)
        features[1, 2] = value
        with pytest.raises(HeadError, match="not finite"):
            mean_outputs([member], features, SINGLE_LABEL.activation)
