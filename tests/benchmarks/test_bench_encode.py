from enc.benchmarks.peer_worker import PEERS


def test_bench_encode(bench, texts, tiny_bert):
    options = ["--model", tiny_bert, "--max-length", 16, "--texts", 30]
    by_name, saved, printed = bench("encode", texts, *options)
    assert printed.startswith("# encode")
    assert saved["settings"]["texts"] == 30
    build = "enc build-features, to the committed table"
    for name in ("enc torch fp32", "sentence-transformers encode", build):
        assert by_name[name]["median"] > 0, by_name[name]["problem"]
    assert float(by_name["enc torch fp32"]["remarks"]["cosine to fp32"]) > 0.9999
    for name in PEERS:  # present, or absent with the reason
        assert by_name[name]["rates"] or "is not installed; benchmarks/peers-" in by_name[name]["problem"]
