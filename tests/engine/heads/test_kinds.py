import pytest
from enc.engine.heads import networks, upper
from enc.engine.heads.kinds import HEADS


@pytest.mark.parametrize("name", HEADS)
def test_every_kind_has_its_class(name):
    module = upper if name == "encoder" else networks
    assert HEADS[name].network is getattr(module, HEADS[name].class_name)
    assert HEADS[name].needs_tokens == (name in ("cnn", "lstm", "attention", "encoder"))
