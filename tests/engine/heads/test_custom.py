import pytest
import torch
from enc.engine.heads.making import code_of_training, head_class, make_head
from enc.engine.heads.own_code import OwnCode
from enc.store import HeadError
from head_features import HIDDEN, LENGTH, token_features

ALLOWED = OwnCode(is_allowed=True)


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
    head = make_head("users_heads:Sum", (LENGTH, HIDDEN), 2, dict(bias=False), code=ALLOWED)
    assert head.parameters_count == 2 * HIDDEN
    features = token_features([2, 5], LENGTH)
    torch.testing.assert_close(head(features), head.head.out(features.sum(1)))
    with pytest.raises(HeadError, match=r"it gives \[2, 1\] for two rows, not \[2, 2\]"):
        make_head("users_heads:Narrow", (LENGTH, HIDDEN), 2, code=ALLOWED)
    with pytest.raises(HeadError, match="no argument 'biass'"):
        make_head("users_heads:Sum", (LENGTH, HIDDEN), 2, dict(biass=False), code=ALLOWED)


def test_a_module_that_fails_is_one_line(local_module):
    local_module("users_broken", "raise RuntimeError('not today')")
    with pytest.raises(HeadError, match="head 'users_broken:Head' cannot be loaded: RuntimeError: not today"):
        make_head("users_broken:Head", (4,), 2, code=ALLOWED)


def test_code_beside_a_head_is_not_run(local_module, tmp_path):
    code = "raise AssertionError('this code was run')\n"
    local_module("beside", code)
    local_module("beside_package/__init__", code)
    for reference in ("beside:Head", "beside_package:Head", "beside_package.inner:Head"):
        with pytest.raises(HeadError, match=r"lies in the head's folder .* whose code is not run"):
            head_class(reference, {}, tokens=False, code=OwnCode(is_allowed=True, head_folder=tmp_path))


def test_a_class_is_not_imported_unless_allowed(local_module):
    local_module("users_secret", "raise AssertionError('this code was run')\n")
    with pytest.raises(HeadError, match=r"'users_secret:Head' is a class .* pass --allow-code"):
        make_head("users_secret:Head", (4,), 2)


def test_a_changed_file_is_not_imported(local_module):
    head = "from torch import nn\nclass Head(nn.Linear):\n    def __init__(self, shape, outputs):\n"
    local_module("users_changing", f"{head}        super().__init__(shape[-1], outputs)\n")
    hashes = code_of_training("users_changing:Head", allow_code=True).hashes
    assert set(hashes) == {"users_changing"}
    local_module("users_changing", "raise AssertionError('this code was run')\n")
    with pytest.raises(HeadError, match=rf"of SHA-256 {hashes['users_changing'][:12]}, and '.*' has "):
        make_head("users_changing:Head", (4,), 2, code=OwnCode(is_allowed=True, hashes=hashes))


def test_the_file_in_which_a_class_is_written_counts(local_module):
    linear = "from torch import nn\nclass Head(nn.Linear):\n    def __init__(self, shape, outputs):\n"
    local_module("users_inner", f"{linear}        super().__init__(shape[-1], outputs)\n")
    local_module("users_outer", "from users_inner import Head\n")
    hashes = code_of_training("users_outer:Head", allow_code=True).hashes
    assert set(hashes) == {"users_outer", "users_inner"}
    local_module("users_inner", f"{linear}        super().__init__(shape[-1], outputs, bias=False)\n")
    with pytest.raises(HeadError, match="trained with a module 'users_inner'"):
        make_head("users_outer:Head", (4,), 2, code=OwnCode(is_allowed=True, hashes=hashes))


def test_a_file_that_changed_after_its_import(local_module):
    linear = "from torch import nn\nclass Head(nn.Linear):\n    def __init__(self, shape, outputs):\n"
    path = local_module("users_edited", f"{linear}        super().__init__(shape[-1], outputs)\n")
    make_head("users_edited:Head", (4,), 2, code=ALLOWED)
    path.write_text(f"{linear}        super().__init__(shape[-1], outputs, bias=False)\n")
    with pytest.raises(HeadError, match="'users_edited' has changed since this process imported it"):
        code_of_training("users_edited:Head", allow_code=True)
