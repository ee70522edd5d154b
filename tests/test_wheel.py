"""What is installed from the built wheel, rather than from the checkout."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import enc
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # what an older build left there would be packed again
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def site(wheel) -> Path:
    """A folder with what is in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


def test_the_wheel_holds_every_module(site):
    folders = ("benchmarks", "cli", "engine", "pages", "store")
    files = [ROOT / "__init__.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    packed = {path.relative_to(site).as_posix() for path in site.rglob("*.py")}
    assert packed == {f"enc/{path.relative_to(ROOT).as_posix()}" for path in files}
    assert (site / "enc" / "py.typed").is_file()
    templates = {path.name for path in (ROOT / "pages" / "templates").iterdir()}
    assert {path.name for path in (site / "enc" / "pages" / "templates").iterdir()} == templates


def test_the_wheel_names_its_version_and_its_licence(wheel, site):
    information = f"enc_features-{enc.__version__}.dist-info"
    assert wheel.name == f"enc_features-{enc.__version__}-py3-none-any.whl"
    licence = (site / information / "licenses" / "LICENSE").read_text(encoding="utf-8")
    assert licence == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in licence


def test_the_wheel_runs(site, tmp_path):
    code = (
        "import enc.engine, enc.store, enc.cli.main as m; "
        "print(enc.engine.__file__, enc.store.__file__, m.__file__, sep='\\n'); "
        "m.main(['store', '--help'])"
    )
    environment = {"PYTHONPATH": str(site), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    places = done.stdout.splitlines()
    assert all(place.startswith(str(site)) for place in places[:3])
    assert "Look at all shards, and mend what is broken" in done.stdout


CONSUMER = """\
import enc

reviews = enc.Source("reviews.tsv", text_column="sentence")
encoder = enc.load_encoder("minilm", pooling="mean", max_length=64)
head = enc.Head.load("head")
encoded: int = enc.build_features(reviews, "features", encoder, name="reviews").encoded
answer: float = enc.predict(head, ["A lovely stay."], encoder)[0].proba["good"]
scored: int = enc.score("new.parquet", "scored.parquet", head, "features").scored
rows: int = enc.Store("features").open("reviews").rows
head = enc.train_head(reviews, "features/reviews", valid=enc.Fraction(0.2))
enc.export_onnx("minilm", "head.onnx", head=head)
print(enc.solve, enc.search_path, enc.sweep, enc.train_head, enc.fine_tune, enc.export_onnx)
"""
MISTAKES = """\
import enc

enc.Source(3)
enc.load_encoder("minilm", poling="mean")
number: int = enc.Head.load("head").kind
"""


def test_a_consumers_script_passes_the_type_checker(site, tmp_path):
    """Types reach those who use the wheel; where they were unknown, no mistake would be found."""
    settings = {"typeCheckingMode": "standard", "extraPaths": [str(site)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    (tmp_path / "consumer.py").write_text(CONSUMER)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [
        (Path(problem["file"]).name, problem["range"]["start"]["line"] + 1, problem["rule"])
        for problem in json.loads(done.stdout)["generalDiagnostics"]
    ]
    assert found == [
        ("mistakes.py", 3, "reportArgumentType"),
        ("mistakes.py", 4, "reportCallIssue"),
        ("mistakes.py", 5, "reportAssignmentType"),
    ]
