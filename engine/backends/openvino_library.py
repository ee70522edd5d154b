"""OpenVINO without its telemetry, which would tell a server of every conversion, and asks nobody before.

OpenVINO and NNCF do without the package that sends it, and so it is made one that cannot be imported.
"""

import sys
from typing import Any

_SENDER = "openvino_telemetry"
if _SENDER not in sys.modules:
    blocked: dict[str, Any] = {_SENDER: None}
    sys.modules.update(blocked)

import openvino  # noqa: E402 (after what keeps it silent)

__all__ = ["openvino"]
