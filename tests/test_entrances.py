"""What `import enc` and its packages offer, and what the imports cost."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import enc
import enc.engine
import enc.store
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["enc", "enc.engine"]


def loaded_by(code: str) -> set[str]:
    """Modules that a process has loaded which runs the code, by their full names."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_import_enc_loads_the_standard_library_alone():
    loaded = loaded_by("import enc")
    assert {name for name in loaded if name.split(".")[0] == "enc"} == {"enc"}
    added = {name.split(".")[0] for name in loaded - loaded_by("")}
    assert added - {"enc"} <= sys.stdlib_module_names


def test_import_engine_loads_the_standard_library_alone():
    loaded = loaded_by("import enc.engine")
    assert {name for name in loaded if name.split(".")[0] == "enc"} == {"enc", "enc.engine"}


def test_a_name_loads_what_it_needs():
    loaded = loaded_by("import enc; enc.EncError")
    assert not {"numpy", "pyarrow", "torch"} & loaded
    assert "torch" not in loaded_by("import enc; enc.Source, enc.FeatureTable")


def names_for_type_checkers(package) -> dict[str, str]:
    """By exported name, ``module:name`` of the imports under TYPE_CHECKING."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for name in node.names:
            found[name.asname or name.name] = f"{node.module}:{name.name}"
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_the_lists_of_names_agree(name):
    package = importlib.import_module(name)
    assert names_for_type_checkers(package) == package._HOMES
    assert sorted(package.__all__) == sorted(package._HOMES)


@pytest.mark.parametrize("name", [*PACKAGES, "enc.store"])
def test_every_name_can_be_had(name):
    package = importlib.import_module(name)
    for exported in package.__all__:
        assert getattr(package, exported) is not None
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'no_such_name'"):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", PACKAGES)
def test_no_name_is_that_of_a_module(name):
    """The import of a module takes its name in the package, whatever stood there before."""
    package = importlib.import_module(name)
    folder = Path(str(package.__file__)).parent
    modules = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    assert not modules & {*package.__all__}


def test_verbs_have_one_home():
    assert enc.score is enc.engine.score_parquet
    assert enc.predict is enc.engine.predict_texts
    assert enc.sweep is enc.engine.search
    assert enc.Head is enc.engine.Head
    assert enc.Source is enc.store.Source


def test_the_version():
    from importlib.metadata import version

    assert enc.__version__ == version("enc-features")
