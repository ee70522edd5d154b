import subprocess
import sys

import pytest
from backend_texts import SETTINGS, cosines, encoded, needs_bf16, require_torchs_features
from enc.engine import load_encoder
from enc.engine.encode.checkpoint import checkpoint_of

pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("options", SETTINGS)
def test_float32_is_that_of_torch(tiny_bert, options, pairs):
    require_torchs_features("openvino", tiny_bert, options, pairs=pairs)


@needs_bf16
def test_bf16_is_of_the_full_class():
    expected = encoded(load_encoder("minilm", backend="torch", precision="fp32"))
    features = encoded(load_encoder("minilm", backend="openvino", precision="bf16"))
    assert cosines(features, expected).mean() > 0.9999


def test_signals_are_handled_after_an_openvino_encoder_is_gone(tiny_bert):
    script = """if True:
        import os, signal, sys, threading
        from enc.engine.encode.checkpoint import checkpoint_of
        from enc.engine.backends.openvino_backend import OpenVinoBackend
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        held = [OpenVinoBackend(checkpoint_of(sys.argv[1], max_length=16))]
        dropping = threading.Thread(target=held.clear)
        dropping.start()
        dropping.join()
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bert)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_it_takes_no_more_threads_than_are_asked_for(tiny_bert, monkeypatch):
    from enc.engine.backends import openvino_backend

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(openvino_backend, "usable_cores", lambda: 2)
    made = openvino_backend.OpenVinoBackend(checkpoint_of(tiny_bert, max_length=16))
    assert made.title == "openvino fp32 on cpu, 1 stream"
