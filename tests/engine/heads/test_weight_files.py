import numpy as np
import pytest
import torch
from enc.engine.heads.weight_files import read_weights, share_weights, write_weights
from safetensors import SafetensorError
from safetensors.torch import save_file


def test_tensors_by_name(tmp_path):
    tensors = {
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "whole": torch.tensor([3, 4]),
        "single": torch.tensor(0.1),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    found = read_weights(tmp_path / "x.safetensors")
    assert {name: one.tolist() for name, one in found.items()} == {
        "half": [1.5, -2.0],
        "whole": [3, 4],
        "single": pytest.approx(0.1),
    }
    assert found["half"].dtype == np.float32
    assert list(read_weights(tmp_path / "x.safetensors", ["whole", "other"])) == ["whole"]


def test_who_reads_the_folder_can_read_the_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    mode = (tmp_path / "config.json").stat().st_mode
    weights = {"turned": np.arange(6).reshape(2, 3).T, "single": np.array(0.5)}
    write_weights(tmp_path / "ours.safetensors", weights)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    share_weights(tmp_path)
    for name in ("ours", "model"):
        assert (tmp_path / f"{name}.safetensors").stat().st_mode == mode
    found = read_weights(tmp_path / "ours.safetensors")
    assert all(found[name].tolist() == one.tolist() for name, one in weights.items())


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(SafetensorError):
        read_weights(tmp_path / "x.safetensors")
