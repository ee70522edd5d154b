import pytest
import torch
from enc.engine.heads.dropout import Dropout, key_of
from torch.func import vmap


def keyed(p, key):
    layer = Dropout(p).train()
    layer.is_keyed = True
    layer.key.fill_(key)
    return layer


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_about_a_share_is_left_out_and_the_others_keep_the_mean(p):
    values = torch.ones(400, 300)
    dropped = keyed(p, key_of(7, 3, 0))(values)
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)
    # Neither rows nor columns have a pattern of their own.
    assert float((dropped == 0).float().mean(0).std()) < 0.05
    assert float((dropped == 0).float().mean(1).std()) < 0.05


def test_the_key_alone_decides():
    values = torch.ones(50, 40)
    one, again = (keyed(0.5, 11)(values) for _ in range(2))
    assert torch.equal(one, again)
    other = keyed(0.5, 12)(values)
    assert float(((one == 0) == (other == 0)).float().mean()) == pytest.approx(0.5, abs=0.06)


def test_keys_differ_by_seed_step_and_layer():
    keys = {key_of(seed, step, layer) for seed in range(10) for step in range(100) for layer in range(3)}
    assert len(keys) == 3000
    assert all(-(2**31) <= key < 2**31 for key in keys)


def test_in_a_stack_each_head_has_what_it_has_alone():
    values, layer = torch.randn(3, 20, 10), keyed(0.5, 0)
    keys = torch.tensor([1, 2, 3], dtype=torch.int32)

    def one(values, key):
        layer.key = key
        return layer(values)

    stacked = vmap(one)(values, keys)
    for number in range(3):
        assert torch.equal(stacked[number], keyed(0.5, int(keys[number]))(values[number]))


def test_without_a_key_it_is_torchs():
    values = torch.randn(30, 20)
    torch.manual_seed(0)
    expected = torch.nn.Dropout(0.3)(values)
    torch.manual_seed(0)
    assert torch.equal(Dropout(0.3)(values), expected)
    assert torch.equal(Dropout(0.3).eval()(values), values)
    assert not Dropout(0.3).state_dict()


def test_all_or_nothing_can_be_left_out():
    values = torch.randn(5, 4)
    assert torch.equal(keyed(0.0, 1)(values), values)
    assert not keyed(1.0, 1)(values).any()
