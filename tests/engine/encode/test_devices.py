import pytest
import torch
from enc.engine.encode.devices import pick_device
from enc.store import ModelError


def test_devices():
    assert pick_device("cpu") == "cpu"
    assert pick_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ModelError, match="unknown device 'toaster'; there is cpu"):
        pick_device("toaster")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_here():
    with pytest.raises(ModelError, match="device 'cuda:1' is not here"):
        pick_device("cuda:1")
