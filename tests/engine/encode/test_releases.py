from importlib.metadata import version

from enc.engine.encode.releases import installed_release


def test_releases():
    assert installed_release("numpy") == version("numpy")
    assert installed_release("no-such-package-anywhere") is None
    assert installed_release("onnxruntime") is not None  # by whichever of its names it is installed
