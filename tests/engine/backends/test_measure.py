from backend_texts import TEXTS
from enc.engine.backends import measure
from enc.engine.backends.candidates import Candidate
from enc.engine.backends.torch_backend import TorchBackend
from enc.engine.encode.checkpoint import checkpoint_of


def test_an_inexact_candidate_is_out(tiny_bert, monkeypatch):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)

    class Inexact(TorchBackend):
        def run(self, batches):
            for features in super().run(batches):
                yield features[:, ::-1]

    monkeypatch.setattr("enc.engine.backends.openvino_backend.OpenVinoBackend", Inexact)
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    options = [Candidate("torch", "fp32"), Candidate("openvino", "fp32"), Candidate("torch", "fp16")]
    exact, inexact, impossible = measure.measure(
        checkpoint, "cpu", checkpoint.tokenizer(TEXTS), options
    ).candidates
    assert (exact.problem, exact.texts_per_second > 0) == ("", True)
    assert "features differ from float32" in inexact.problem
    assert "needs a GPU" in impossible.problem
