"""The direction of imports, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "store": {"store"},
    "engine": {"engine", "store"},
    "benchmarks": {"benchmarks", "engine", "store"},
    "cli": {"cli", "benchmarks", "engine", "store"},
}
HEAVY = {"torch", "transformers", "duckdb", "pyarrow", "numpy", "deltalake", "sklearn", "rich"}


def imported_packages(path: Path) -> set[str]:
    """First-party packages that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            found.add(path.parent.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            found |= {name.split(".")[1] for name in names if name.startswith("enc.")}
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    modules = list((ROOT / package).glob("*.py"))
    assert modules
    for module in modules:
        assert imported_packages(module) <= ALLOWED[package], module


def loaded_modules(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    return set(output.splitlines()[-1].split())  # what the code itself prints comes before


def test_store_works_without_torch():
    assert not loaded_modules("import enc.store") & {"torch", "transformers", "tokenizers", "sklearn"}


def test_training_a_head_needs_no_transformers():
    assert not loaded_modules("import enc.engine, enc.engine.train") & {"transformers", "openvino", "onnxruntime"}


def test_help_loads_nothing_heavy():
    code = "from enc.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not loaded_modules(code) & HEAVY
