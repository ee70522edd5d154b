import pytest
from enc.engine.heads import networks
from enc.engine.heads.kinds import HEADS


@pytest.mark.parametrize("name", HEADS)
def test_every_kind_has_its_class(name):
    assert HEADS[name].network is getattr(networks, HEADS[name].class_name)
    assert HEADS[name].needs_tokens == (name in ("cnn", "lstm", "attention"))
