"""The folder of a feature table: its log, what else lies in it, and beginning one."""

import os
import re

from deltalake import CommitProperties, DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType

from . import places
from .errors import StoreError
from .files import replaced_file
from .locks import LOG_FOLDER
from .places import Place
from .spec import FeatureSpec

SPEC_FILE = "spec.json"
SPEC_KEY = "enc.spec"
# Delta knows no fixed-length binary; the shards' own schema is stricter than the table's.
_DELTA_TYPES = {
    "key": "binary",
    "n_tokens": "integer",
    "truncated": "boolean",
    "kept_tokens": "integer",
    "features": "binary",
}


def delta_schema(spec: FeatureSpec) -> Schema:
    """The schema of a table's log."""
    return Schema([Field(name, PrimitiveType(_DELTA_TYPES[name]), nullable=False) for name in spec.columns])


def has_log(path: Place) -> bool:
    """Whether a folder holds a Delta log with at least one commit or checkpoint."""
    return any((path / LOG_FOLDER).glob("[0-9]*"))


def has_remains(path: Place) -> bool:
    """Whether a folder has no log, and files that only a feature set has: its log is lost."""
    remains = any(path.glob("part-*.parquet")) or ((path / LOG_FOLDER).is_dir() and bool(other_files(path)))
    return remains and not has_log(path)  # which another process may have made in the meantime


def other_files(path: Place) -> set[str]:
    """Names in a folder without a table that no process leaves there which is just making one."""
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")}
    # The log comes second: another process may have made the table, and put shards there, in the meantime.
    return set() if has_log(path) else names - {LOG_FOLDER, SPEC_FILE}


def feature_sets_in(folder: Place) -> list[str]:
    """Names of the feature sets in a folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(inner.name for inner in folder.iterdir() if inner.is_dir() and has_log(inner))


def create_table(path: Place, spec: FeatureSpec) -> None:
    """Make a table. Raises StoreError where the folder holds other files."""
    if path.exists() and other_files(path):
        raise StoreError(f"'{path}' holds other files; choose another store or another --name")
    path.mkdir(parents=True, exist_ok=True)
    places.require_safe_commits(path)
    places.retried(lambda: has_log(path) or create_log(path, spec), path)


def write_spec(path: Place, spec: FeatureSpec) -> None:
    """Write a table's setting for people, where that is not done."""
    if not (path / SPEC_FILE).exists():
        with replaced_file(path / SPEC_FILE) as part:
            part.write_text(spec.to_json() + "\n", encoding="utf-8")


def create_log(path: Place, spec: FeatureSpec) -> None:
    """Begin the log of a table."""
    # One commit carries setting and schema. Without retries, a process that comes second fails here, and
    # does not commit its setting once more after the first one's: appends to the table would then fail.
    DeltaTable.create(
        places.table_uri(path),
        delta_schema(spec),
        mode="error",
        storage_options=places.commit_options(path),
        commit_properties=CommitProperties(max_commit_retries=0),
        name=path.name,
        description="BERT features, written by enc",
        configuration={SPEC_KEY: spec.to_json(), "enc.spec.digest": spec.digest},
        raise_if_key_not_exists=False,
    )


def require_plain(path: Place) -> None:
    """Raise StoreError for a path that could be taken for another one."""
    # delta-rs decodes such a part of a path, and would then use the files of another folder.
    encoded = re.search(r"%[0-9A-Fa-f]{2}", str(path))
    if encoded:
        raise StoreError(
            f"'{path}' cannot hold features: '{encoded[0]}' in a path is not told from a URL's; rename it"
        )


def first_line(error: Exception) -> str:
    """What is wrong, in one line: the system's own word for it, where there is one."""
    system = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(system[1])) if system else str(error).strip().partition("\n")[0]
