import pytest
import torch
from enc.engine.heads.making import head_class, make_head
from enc.store import HeadError
from head_features import HIDDEN, LENGTH, token_features


def test_a_class_of_the_users(local_module):
    local_module(
        "users_heads",
        "from torch import nn\n"
        "class Sum(nn.Module):\n"
        "    def __init__(self, shape, outputs, *, bias=True):\n"
        "        super().__init__()\n"
        "        self.out = nn.Linear(shape[-1], outputs, bias=bias)\n"
        "    def forward(self, features, mask):\n"
        "        return self.out((features * mask.unsqueeze(-1)).sum(1))\n"
        "class Narrow(Sum):\n"
        "    def forward(self, features):\n"
        "        return self.out(features.sum(1))[:, :1]\n",
    )
    head = make_head("users_heads:Sum", (LENGTH, HIDDEN), 2, dict(bias=False))
    assert head.parameters_count == 2 * HIDDEN
    features = token_features([2, 5], LENGTH)
    torch.testing.assert_close(head(features), head.head.out(features.sum(1)))
    with pytest.raises(HeadError, match=r"it gives \[2, 1\] for two rows, not \[2, 2\]"):
        make_head("users_heads:Narrow", (LENGTH, HIDDEN), 2)
    with pytest.raises(HeadError, match="no argument 'biass'"):
        make_head("users_heads:Sum", (LENGTH, HIDDEN), 2, dict(biass=False))


def test_a_module_that_fails_is_one_line(local_module):
    local_module("users_broken", "raise RuntimeError('not today')")
    with pytest.raises(HeadError, match="head 'users_broken:Head' cannot be loaded: RuntimeError: not today"):
        make_head("users_broken:Head", (4,), 2)


def test_code_beside_a_head_is_not_run(local_module, tmp_path):
    code = "raise AssertionError('this code was run')\n"
    local_module("beside", code)
    local_module("beside_package/__init__", code)
    for reference in ("beside:Head", "beside_package:Head", "beside_package.inner:Head"):
        with pytest.raises(HeadError, match=r"lies in the head's folder .* whose code is not run"):
            head_class(reference, {}, tokens=False, head_folder=tmp_path)
