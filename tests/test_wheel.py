"""What is installed from the built wheel, rather than from the checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_every_module_and_runs(tmp_path):
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # what an older build left there would be packed again
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
        assert "enc/py.typed" in archive.namelist()
        archive.extractall(tmp_path / "site")
    folders = ("benchmarks", "cli", "engine", "store")
    files = [ROOT / "__init__.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    modules = {f"enc/{path.relative_to(ROOT)}" for path in files}
    assert packed == modules

    code = (
        "import enc.engine, enc.store, enc.cli.main as m; print(enc.engine.__file__, enc.store.__file__, m.__file__, sep='\\n'); "
        "m.main(['store', '--help'])"
    )
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    places = done.stdout.splitlines()
    assert all(place.startswith(str(tmp_path / "site")) for place in places[:3])
    assert "Look into a store." in done.stdout
