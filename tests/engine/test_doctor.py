import subprocess
import sys

from enc.engine import doctor
from enc.engine.backends.candidates import Candidate
from enc.engine.backends.memory import ChoiceMemory
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.encode.tokens import Tokens
from fakes import FakeEncoder


def lacking(monkeypatch, *packages):
    """As if these packages were not installed."""
    from enc.engine.backends import candidates, registry

    def find_spec(name):
        return None if name in packages else object()

    for module in (doctor, registry, candidates):
        monkeypatch.setattr(module, "find_spec", find_spec)


def test_versions_of_what_is_there_and_of_what_is_not(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    found = doctor.versions()
    assert found["numpy"]
    assert found["no-such-package"] is None
    assert list(found)[:2] == ["enc-features", "Python"]


def test_what_is_missing_comes_with_its_command(monkeypatch):
    lacking(monkeypatch, "openvino", "peft", "onnx")
    missing = doctor.missing_extras()
    assert missing["the fastest backend on CPUs"] == "pip install 'enc-features[openvino]'"
    assert missing["fine-tuning with LoRA"] == "pip install 'enc-features[lora]'"
    states = {state.name: state for state in doctor.backends()}
    assert states["torch"].is_usable
    assert not states["openvino"].is_usable
    assert states["openvino"].remark == "not installed: pip install 'enc-features[openvino]'"
    assert not states["onnx"].is_usable
    assert states["onnx"].remark == "cannot make graphs: pip install 'enc-features[onnx]'"
    assert doctor.auto_state().small_jobs == "torch fp32"


def test_extras_name_what_pyproject_has():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    for extra, (_, packages) in doctor._EXTRAS.items():
        assert {requirement.split(">")[0] for requirement in extras[extra]} == set(packages)


def tokens_of(length: int) -> Tokens:
    return FakeEncoder(max_length=64).tokenize(["a " * length])


def test_choices_that_are_remembered_are_told(fresh_memory):
    assert doctor.auto_state().remembered == []
    memory = ChoiceMemory(checkpoint_of("minilm"), None, "cpu")
    memory.write(tokens_of(20), Candidate("onnx", "fp32", 512, 321.0, 1.0))
    memory.write(tokens_of(5), Candidate("torch", "fp32", 512, 45.6, 1.0))
    found = doctor.auto_state()
    assert [(r.from_tokens, r.to_tokens, r.backend, r.texts_per_second) for r in found.remembered] == [
        (4, 7, "torch", 45.6),
        (16, 31, "onnx", 321.0),
    ]
    assert found.problem == ""


def test_with_a_gpus_driver_only_torch_knows(monkeypatch):
    monkeypatch.setattr("enc.engine.encode.devices.may_have_gpu", lambda: True)
    assert "--torch" in doctor.auto_state().problem
    assert doctor.auto_state(ask_torch=True).problem == ""


def test_the_size_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert (doctor.cache_state().bytes, doctor.cache_state().parts) == (0, {})
    (tmp_path / "enc" / "openvino").mkdir(parents=True)
    (tmp_path / "enc" / "openvino" / "a.bin").write_bytes(b"x" * 1000)
    (tmp_path / "enc" / "choices.json").write_text("{}")
    found = doctor.cache_state()
    assert (found.bytes, found.parts) == (1002, {"choices.json": 2, "openvino": 1000})


def test_a_diagnosis_imports_no_torch():
    code = (
        "import sys; from enc.engine.doctor import diagnose; found = diagnose(); "
        "assert found.torch is None; assert {'versions', 'auto', 'hub'} <= set(found.seconds); "
        "print(*sorted({'torch', 'transformers', 'openvino'} & set(sys.modules)))"
    )
    checkpoint_of("minilm")  # what is known of the model is remembered: learning it takes transformers
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_torch_is_asked_on_request():
    assert doctor.torch_state()["threads"].isdecimal()
