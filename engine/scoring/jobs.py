"""Which input files go to which output file."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...store import Source, SourceError
from ...store.files import require_writable
from ...store.places import is_url
from ...store.source import FORMATS

QUERY = "the query"
"""The name of a source that is no file."""
UNFINISHED = ".enc-part"
"""How the folder of an unfinished output ends; see :mod:`engine.scoring.unfinished`."""


@dataclass(frozen=True)
class Job:
    """Input files whose rows go to one output file."""

    inputs: tuple[str, ...]
    output: Path


def with_files_of_folders(source: Source) -> Source:
    """The source with the Parquet files, at any depth, of the folders that it names; a query as it is."""
    if source.query:
        return source
    paths: list[str] = []
    for path in source.names:
        found = _parquet_files(Path(path)) if Path(path).is_dir() else [path]
        if not found:
            raise SourceError(f"there is no Parquet file in the folder '{path}'; name its files")
        paths += found
    return replace(source, paths=tuple(paths))


def _parquet_files(folder: Path) -> list[str]:
    """The Parquet files in a folder at any depth, but for what is left of unfinished outputs."""
    found = (path for path in folder.rglob("*.parquet") if path.is_file())
    return sorted(str(path) for path in found if not _is_unfinished(path.relative_to(folder)))


def _is_unfinished(path: Path) -> bool:
    return any(part.endswith(UNFINISHED) for part in path.parts)


def require_parquet_name(output: str | Path) -> None:
    """Raise SourceError for a file that is named as one of another format than Parquet, which it would be."""
    name = str(output)
    path = Path(name.removesuffix(".gz").removesuffix(".zst"))
    named = next((format for format, endings in FORMATS.items() if path.suffix.lower() in endings), "parquet")
    if named != "parquet" and not Path(name).is_dir() and not name.endswith(("/", os.sep)):
        raise SourceError(
            f"scored rows are written as Parquet, not as {path.suffix}; name it {path.stem}.parquet"
        )


def jobs_of(source: Source, output: str | Path, *, overwrite: bool) -> list[Job]:
    """One job for each output file.

    ``output`` is a folder if it is there as one or ends with a slash; each input file then has an output
    of its name in it, which ends in ``.parquet``. Else all rows go to one file, in the order of the
    inputs. Raises SourceError for an output that is an input, that is there (unless ``overwrite``), that is
    no regular file, or that two inputs would share.
    """
    files = [QUERY] if source.query else source.files()
    text = str(output)
    if source.query or not (Path(text).is_dir() or text.endswith(("/", os.sep))):
        jobs = [Job(tuple(files), Path(text))]
    else:
        base = Path(os.path.commonpath([Path(file).absolute().parent for file in files]))
        jobs = [
            Job((file,), (Path(text) / Path(file).absolute().relative_to(base)).with_suffix(".parquet"))
            for file in files
        ]
    taken: dict[Path, str] = {}
    for job in jobs:
        if job.output in taken:
            raise SourceError(
                f"'{taken[job.output]}' and '{job.inputs[0]}' would both be written to '{job.output}'; "
                "name one of them at a time"
            )
        taken[job.output] = job.inputs[0]
        require_output(job.output, files, overwrite=overwrite)
    return jobs


def rejects_file_of(output: str | Path) -> Path:
    """Where the rejected rows of an output are listed: beside it."""
    path = Path(os.path.abspath(output)) if Path(output).name in ("", "..") else Path(output)
    return path.with_name(f"{path.name}.rejects.parquet") if path.name else path / "rejects.parquet"


def require_output(output: Path, inputs: Sequence[str] = (), *, overwrite: bool) -> None:
    """Raise SourceError unless a file can be written here without harm to another one."""
    if is_url(output):
        raise SourceError(
            f"'{output}' is no file of this machine; write one, and copy it to the object store"
        )
    try:
        mode = os.lstat(output).st_mode
    except (FileNotFoundError, NotADirectoryError):
        require_writable(output.absolute().parent, SourceError)
        return
    if any(Path(file).exists() and os.path.samefile(file, output) for file in inputs if output.exists()):
        raise SourceError(f"'{output}' is the input itself; choose another output")
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise SourceError(f"'{output}' is {kind}; choose another output")
    if not overwrite:
        raise SourceError(f"'{output}' is there already; pass --overwrite to replace it")
    require_writable(output.absolute().parent, SourceError)
