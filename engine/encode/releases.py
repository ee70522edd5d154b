"""Which releases of packages are installed; nothing is imported to tell."""

from importlib.metadata import PackageNotFoundError, version

_NAMES = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime")}


def installed_release(package: str) -> str | None:
    """The release of a package that is installed; None where it is not."""
    for name in _NAMES.get(package, (package,)):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
