"""The direction of imports, and what importing costs."""

import subprocess
import sys
from pathlib import Path

import pytest
import rooms
from rooms import imported_rooms, room_of

ROOT = Path(__file__).parents[1]
ARROWS = {
    "store": set(),
    "store.places": set(),  # part of the store
    "pages": {"store"},
    "engine.encode": {"store"},
    "engine.backends": {"engine.encode", "store"},
    "engine.pairs": {"store"},
    "engine.words": {"store"},
    "engine.heads": {"engine.encode", "engine.pairs", "engine.words", "pages", "store"},
    "engine.train": {"engine.encode", "engine.heads", "engine.pairs", "engine.words", "store"},
    "engine.sweep": {"engine.heads", "engine.pairs", "engine.train", "engine.words", "pages", "store"},
    "engine.audit": {
        "engine.backends", "engine.encode", "engine.heads", "engine.pairs", "engine.scoring", "engine.sweep",
        "engine.train", "engine.words", "store",
    },
    "engine.auto": {
        "engine.backends", "engine.encode", "engine.heads", "engine.pairs", "engine.sweep", "engine.train",
        "engine.words", "store",
    },
    "engine.finetune": {"engine.backends", "engine.encode", "engine.heads", "store"},
    "engine.scoring": {
        "engine.backends", "engine.encode", "engine.heads", "engine.pairs", "engine.runners", "engine.words",
        "pages", "store",
    },
    "engine.publish": {"engine.encode", "engine.finetune", "engine.heads", "engine.words", "store"},
    "engine.features_in": {"store"},
    "engine.features_out": {"engine.encode", "engine.scoring", "store"},
    "engine.reports": {
        "engine.backends", "engine.encode", "engine.finetune", "engine.heads", "engine.scoring",
        "pages", "store",
    },
    "engine.runners": {"engine.backends", "engine.encode", "store"},
    "engine.estimators": {
        "engine.backends", "engine.encode", "engine.heads", "engine.train", "store",
    },
    "engine": {
        "engine.auto", "engine.encode", "engine.backends", "engine.heads", "engine.pairs", "engine.train",
        "engine.sweep",
        "engine.features_in",
        "engine.finetune", "engine.publish", "engine.reports", "engine.scoring", "engine.features_out",
        "engine.runners",
        "engine.audit", "engine.estimators", "engine.words", "pages", "store",
    },
}  # fmt: skip
"""The rooms that a room may import from, besides itself."""
ARROWS["benchmarks"] = {*ARROWS["engine"], "engine"}
ARROWS["cli"] = {*ARROWS["benchmarks"], "benchmarks"}
ARROWS["enc"] = {*ARROWS["cli"], "cli"}
HEAVY = {"torch", "transformers", "duckdb", "pyarrow", "numpy", "deltalake", "sklearn", "rich", "jinja2"}
MODULES = rooms.modules()


def test_every_folder_of_the_engine_is_a_room_of_the_table():
    folders = {path.parent.relative_to(ROOT) for path in MODULES if path.parent != ROOT}
    assert {".".join(folder.parts) for folder in folders} | {"enc"} == set(ARROWS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = room_of(path.relative_to(ROOT).with_suffix("").parts)
    assert imported_rooms(path) <= {*ARROWS[room], room}


def test_a_wrong_arrow_is_found(tmp_path):
    for folder in ("engine/heads", "engine/encode"):
        (tmp_path / folder).mkdir(parents=True)
    module = tmp_path / "engine" / "heads" / "labels.py"
    module.write_text("def f():\n    from ..encode import tokens\n")
    assert imported_rooms(module, tmp_path) == {"engine.encode"}


def test_the_picture_of_the_rooms_is_that_of_the_code():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert text == rooms.drawn(text), "run `make rooms`"


def loaded_modules(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    return set(output.splitlines()[-1].split())  # what the code itself prints comes before


def test_store_works_without_torch():
    assert not loaded_modules("import enc.store") & {"torch", "transformers", "tokenizers", "sklearn"}


def test_training_a_head_needs_no_transformers():
    assert not loaded_modules("import enc.engine.train.fit") & {
        "transformers",
        "openvino",
        "onnxruntime",
    }


def test_help_loads_nothing_heavy():
    code = "from enc.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not loaded_modules(code) & HEAVY


def test_listing_a_store_loads_what_reads_a_log():
    code = (
        "from enc.cli.main import main\ntry: main(['store', 'ls', '{}'])\nexcept SystemExit as end: "
        "assert not end.code"
    )
    loaded = loaded_modules(code.format(ROOT / "tests" / "data" / "v0.1" / "store"))
    outside = {
        name for name in loaded - sys.stdlib_module_names if not name.startswith(("_", "sitecustomize"))
    }
    assert outside <= {"enc", "click", "deltalake", "arro3", "typing_extensions"}


def test_loading_a_head_needs_no_transformers():
    head = ROOT / "tests" / "data" / "v0.1" / "head-linear"
    code = (
        "from enc.engine.classifier import load_classifier; import enc.engine.scoring.run; "
        f"load_classifier({str(head)!r})"
    )
    assert not loaded_modules(code) & {"transformers", "openvino", "onnxruntime", "sklearn"}


def test_an_encoder_that_encodes_nothing_needs_no_torch(tiny_bert):
    code = (
        f"from enc.engine import build_features, load_encoder; load_encoder({str(tiny_bert)!r}, "
        "max_length=16)"
    )
    loaded_modules(code)  # the first time, transformers tells the model's sizes
    assert not loaded_modules(code) & {"torch", "transformers", "openvino", "onnxruntime"}
