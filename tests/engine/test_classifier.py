import pytest
from enc.engine.classifier import load_classifier
from enc.store import EncError


def test_what_is_neither_a_head_nor_a_model(tmp_path):
    for name in ("nowhere", "."):
        with pytest.raises(EncError, match=r"no head in .*; `enc train-head"):
            load_classifier(tmp_path / name)
