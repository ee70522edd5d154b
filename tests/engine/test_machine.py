from enc.engine import machine

MILAN = frozenset(["fpu", "avx2", "avx", "avx512f", "avx512_vnni", "avx512_bf16"])


def test_features_of_a_processor_by_its_flags():
    assert machine.features(MILAN) == {
        "AVX2": True, "AVX-512": True, "VNNI": True, "bf16": True, "AMX": False
    }  # fmt: skip
    assert not any(machine.features(frozenset({"sse2"})).values())
    assert machine.features(frozenset({"asimd", "bf16", "i8mm"}))["int8 products"]
    assert machine.features(frozenset()) == {}


def test_the_processor_at_hand():
    found = machine.processor()
    assert found.name
    assert found.cores >= found.threads > 0
    assert found.available_bytes > 0


def test_a_gpus_driver_is_told(monkeypatch):
    monkeypatch.setattr(machine, "may_have_gpu", lambda: True)
    assert "--torch" in machine.gpu_remark()
    monkeypatch.setattr(machine, "may_have_gpu", lambda: False)
    assert machine.gpu_remark().startswith("none")
