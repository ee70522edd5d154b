"""Where torch computes, and in which precisions."""

import platform

import torch

from ...store import ModelError


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies matrices in bf16, and torch has oneDNN, which makes it do so.

    oneDNN also takes bf16 where the processor has AVX-512 alone: that saves memory, not time.
    """
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not is_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def pick_device(device: str | None) -> torch.device:
    """The device asked for, or the best there is. Raises ModelError for one that is not there."""
    cuda = torch.cuda.is_available()
    if device is None:
        return torch.device("cuda" if cuda else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"unknown device '{device}'; there is cpu{', cuda' if cuda else ''}") from error
    if chosen.type == "cuda" and not cuda:
        raise ModelError(f"device '{device}' is not here; this machine and this build of torch have: cpu")
    return chosen
