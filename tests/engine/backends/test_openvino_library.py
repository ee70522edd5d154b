import subprocess
import sys

import pytest

SCRIPT = """
from enc.engine.backends.openvino_library import openvino
from openvino.tools.ovc import convert_impl, telemetry_utils, utils

for module in (convert_impl, telemetry_utils, utils):
    print(module.tm.__name__)
"""


def test_conversions_are_not_reported_to_anybody():
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'enc-features[openvino]'")
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == {"openvino.tools.ovc.telemetry_stub"}


def test_nncf_is_silent_too():
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'enc-features[int8]'")
    script = (
        "import enc.engine.backends.openvino_library, nncf, sys\nprint(sys.modules['openvino_telemetry'])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split()[-1] == "None"
