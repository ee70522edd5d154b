"""What people meet who join the project: make's targets, hooks, templates, and the end of a test run."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def recipe(target: str) -> list[str]:
    """The commands of a target, with the folder of the environment's programs spelt out."""
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert lines is not None
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines[1].splitlines()]


def test_hooks_run_what_make_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for repo in hooks for hook in repo["hooks"]] == recipe("lint")
    assert {repo["repo"] for repo in hooks} == {"local"}  # nothing is fetched


def test_make_help_lists_every_target():
    printed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    listed = re.findall(r"^  make (\w+) +\S", printed, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert listed == phony[1].split()


def test_make_golden_runs_every_test_with_a_golden_file():
    using = {
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"^    golden\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    asked = [Path(word) for word in recipe("golden")[0].split() if word.startswith("tests/")]
    assert {path for path in using if not any(path.is_relative_to(place) for place in asked)} == set()


def test_templates_of_issues_ask_for_something():
    for name in ("bug", "idea"):
        path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form)
        assert all(field["attributes"]["label"] for field in form["body"])


def test_a_test_run_ends_with_its_summary():
    """These tests are parametrized with objects of enc; see `pytest_sessionfinish` in conftest.py."""
    tests = ROOT / "tests" / "engine" / "train" / "test_solve.py"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", tests]
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert re.fullmatch(r"\d+ tests collected in .*", done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("system", "machine", "has_openvino"),
    [
        ("linux", "x86_64", True),
        ("win32", "AMD64", True),
        ("darwin", "x86_64", False),  # there are no wheels
        ("darwin", "arm64", False),
        ("linux", "aarch64", False),
    ],
)
def test_the_default_install_has_the_fastest_backend_where_it_pays(system, machine, has_openvino):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = {"sys_platform": system, "platform_machine": machine}
    needed = {
        requirement.name
        for requirement in map(Requirement, project["dependencies"])
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }
    assert ("openvino" in needed) == has_openvino
    assert len(needed & {"onnxruntime", "onnxruntime-gpu"}) == 1


def test_what_is_imported_is_declared():
    """A package that comes with another one alone may go with its next release."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = packages_distributions()
    for path in [
        path for room in ("cli", "engine", "pages", "store") for path in (ROOT / room).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for package in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
                assert declared & {*map(canonicalize_name, owners.get(package, [package]))}, (path, package)


def test_a_registry_shows_a_page_that_stands_alone():
    """Links into the checkout, and pictures that lie there, lead nowhere on a registry."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / project["readme"]).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)]+)\)|(?:src|href)=[\"']([^\"']+)|^\[[^]]+\]: (\S+)", page, re.MULTILINE)
    assert all("".join(link).startswith("https://") for link in linked)
    assert "pip install enc-features" in page
