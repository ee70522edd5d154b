"""All that is to be known of a machine with a GPU, by one command, as one folder of results.

    python -m enc.benchmarks.gpu_kit --output gpu-results

It runs the tests of the GPU, and `enc bench encode` with models of the shapes of MiniLM-L6, BERT-base and
ModernBERT-base, whose weights are random. A step that fails is told, and the others go on. What has not been
run on a GPU yet is all of it: see docs/scale.md.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "minilm": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "bert-base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "modernbert-base": {
        "hidden_size": 768,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "intermediate_size": 1152,
    },
}
TEXTS = 20_000
_TESTS = Path(__file__).parents[1] / "tests" / "gpu"


def main() -> int:
    """Run all steps; returns 1 where one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument(
        "--any-device", action="store_true", help="Run without a GPU, too, to try the script."
    )
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    import torch

    if not torch.cuda.is_available() and not given.any_device:
        print("torch sees no CUDA device; --any-device runs all the same", file=sys.stderr)
        return 2
    steps: dict[str, Callable[[], int]] = {
        "machine": lambda: _told(given.output / "machine.json"),
        "tests": lambda: _run(
            ["-m", "pytest", "-m", "gpu", "-ra", "-q", str(_TESTS)], given.output / "tests.txt"
        ),
    }
    for shape in given.shapes:
        steps[f"encode-{shape}"] = lambda shape=shape: _encode(
            shape, given.texts, given.output, any_device=given.any_device
        )
    done: dict[str, dict[str, Any]] = {}
    for name, step in steps.items():
        started = time.perf_counter()
        try:
            code, problem = step(), ""
        except Exception as error:  # the others are to be run all the same
            code, problem = 1, f"{type(error).__name__}: {error}"
        done[name] = {
            "exit code": code,
            "seconds": round(time.perf_counter() - started, 1),
            "problem": problem,
        }
        print(f"{name}: {'done' if not code else f'failed ({problem or code})'}", file=sys.stderr)
        (given.output / "steps.json").write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    return int(any(one["exit code"] for one in done.values()))


def _told(path: Path) -> int:
    from .results import machine

    path.write_text(
        json.dumps({**machine(), "system": platform.platform()}, indent=2) + "\n", encoding="utf-8"
    )
    return _run_any(["nvidia-smi"], path.with_name("nvidia-smi.txt"))


def _encode(shape: str, texts: int, output: Path, *, any_device: bool) -> int:
    model = write_model(shape, output / "models" / shape)
    rows = output / "texts.tsv"
    if not rows.exists():
        rows.write_text("text\n" + "".join(f"{text_of(n)}\n" for n in range(texts)), encoding="utf-8")
    words = [
        "bench",
        "encode",
        str(rows),
        "--model",
        str(model),
        "--texts",
        str(texts),
        *(["--device", "cuda"] if not any_device else []),
    ]
    return _run(
        ["-c", "import sys; from enc.cli.main import main; sys.exit(main())", *words,
         "--output", str(output / f"encode-{shape}")],
        output / f"encode-{shape}.txt",
    )  # fmt: skip


def text_of(number: int) -> str:
    """A short text, of 4 to 40 words."""
    words = ("a", "room", "with", "view", "of", "the", "garden", "and", "breakfast", "was", "good", "quiet")
    return " ".join(words[(number * 7 + place * place) % len(words)] for place in range(4 + number * 13 % 37))


def write_model(shape: str, folder: Path) -> Path:
    """A model of a shape with random weights, and the tokenizer of the one that comes with enc."""
    import torch
    import transformers

    from ..engine.encode.model_files import model_folder

    if (folder / "config.json").exists():
        return folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder("minilm"))
    torch.manual_seed(0)
    options = {"vocab_size": len(tokenizer), **SHAPES[shape]}
    config = (
        transformers.ModernBertConfig(
            pad_token_id=tokenizer.pad_token_id,
            cls_token_id=tokenizer.cls_token_id,
            bos_token_id=tokenizer.cls_token_id,
            sep_token_id=tokenizer.sep_token_id,
            eos_token_id=tokenizer.sep_token_id,
            **options,
        )
        if shape.startswith("modernbert")
        else transformers.BertConfig(**options)
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def _run(words: list[str], log: Path) -> int:
    return _run_any([sys.executable, *words], log)


def _run_any(command: list[str], log: Path) -> int:
    with log.open("w", encoding="utf-8") as file:
        try:
            return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        except OSError as error:
            file.write(f"{command[0]}: {error}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
