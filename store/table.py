"""A feature table: a Delta table of shards whose identity is an encoder setting."""

import json
import time
import uuid
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from .errors import SpecError, StoreError
from .files import replaced_file
from .shard import ShardWriter
from .spec import FeatureSpec

SHARD_BYTES = 256 << 20
COMMIT_SECONDS = 60.0  # a killed process loses this much encoding, and its open window
_SPEC_KEY = "enc.spec"
# Delta knows no fixed-length binary; the shards' own schema is stricter than the table's.
_DELTA_SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("features", pa.binary(), nullable=False),
    ]
)


class FeatureTable:
    """Features of one encoder setting, keyed by content, at one version of their Delta table.

    ``spec`` is the setting, ``name`` the folder's name, ``version`` the Delta version that this
    handle sees; :meth:`refresh` moves it to the newest.
    """

    def __init__(self, path: str | Path):
        """Open an existing table. Raises StoreError if the folder is none."""
        self.path = Path(path)
        self.name = self.path.name
        try:
            self._delta = DeltaTable(self.path)
        except (TableNotFoundError, DeltaError, OSError) as error:
            raise StoreError(f"'{path}' is not a feature set") from error
        setting = self._delta.metadata().configuration.get(_SPEC_KEY)
        if setting is None:
            raise StoreError(f"'{path}' is a Delta table, but not one of enc's feature sets")
        self.spec = FeatureSpec.from_json(setting)

    @classmethod
    def create(cls, path: str | Path, spec: FeatureSpec) -> "FeatureTable":
        """Open the table at ``path``, creating it if it is not there.

        Raises SpecError, naming the fields, if a table of another setting is there.
        """
        path = Path(path)
        if not (path / "_delta_log").exists():
            if path.exists() and any(path.iterdir()):
                raise StoreError(f"'{path}' holds other files; choose another store or another --name")
            path.mkdir(parents=True, exist_ok=True)
            # One commit carries setting and schema; 'ignore' lets a second process find the first one's table.
            DeltaTable.create(
                path,
                _DELTA_SCHEMA,
                mode="ignore",
                name=path.name,
                description="BERT features, written by enc",
                configuration={_SPEC_KEY: spec.to_json(), "enc.spec.digest": spec.digest},
                raise_if_key_not_exists=False,
            )
            with replaced_file(path / "spec.json") as part:  # a copy for people
                part.write_text(spec.to_json() + "\n", encoding="utf-8")
        table = cls(path)
        table.require(spec)
        return table

    def require(self, spec: FeatureSpec) -> None:
        """Raise SpecError, naming every field that differs, unless this table has exactly that setting."""
        differences = self.spec.differences(spec)
        if differences:
            raise SpecError(
                f"feature set '{self.name}' has another setting ({'; '.join(differences)}); "
                "use its setting, or pass --name for a feature set of your own"
            )

    def refresh(self) -> "FeatureTable":
        """See what other writers have committed since."""
        self._delta.update_incremental()
        return self

    @property
    def version(self) -> int:
        """Delta version of this handle."""
        return self._delta.version()

    @property
    def shards(self) -> list[str]:
        """Paths of the committed shards, sorted, so that one version always gives one order."""
        return sorted(self._delta.file_uris())

    @property
    def rows(self) -> int:
        """Committed rows; a text that two writers encoded at once counts twice."""
        return sum(self._sizes("num_records"))

    @property
    def bytes(self) -> int:
        """Size of the committed shards in bytes."""
        return sum(self._sizes("size_bytes"))

    def _sizes(self, column: str) -> list[int]:
        return pa.table(self._delta.get_add_actions(flatten=True)).column(column).to_pylist()

    def writer(self) -> "TableWriter":
        """A context manager that appends rows and commits them shard by shard."""
        return TableWriter(self)

    def commit(self, shard: Path, rows: int) -> None:
        """Make a finished shard part of the table. Appends never conflict, whoever else appends."""
        size = shard.stat().st_size
        action = AddAction(
            shard.name, size, {}, int(time.time() * 1000), True, json.dumps({"numRecords": rows})
        )
        self._delta.create_write_transaction([action], mode="append", schema=_DELTA_SCHEMA)
        self.refresh()  # a transaction leaves its own handle at the version before


class TableWriter:
    """Appends rows to a feature table. Each shard becomes visible whole, or not at all.

    A shard is committed at ``SHARD_BYTES`` or ``COMMIT_SECONDS``, and at the end of the block,
    also when an exception ends it: rows written are finished work, and the next run finds them.
    """

    def __init__(self, table: FeatureTable):
        self._table = table
        self._shard: ShardWriter | None = None
        self._started = 0.0

    def write(
        self, keys: pa.Array, n_tokens: np.ndarray, truncated: np.ndarray, features: np.ndarray
    ) -> None:
        """Append rows; see :meth:`ShardWriter.write` for shapes."""
        if not len(keys):
            return
        if self._shard is None:
            self._shard = ShardWriter(self._table.path / f"part-{uuid.uuid4()}.parquet", self._table.spec)
            self._started = time.monotonic()
        try:
            self._shard.write(keys, n_tokens, truncated, features)
        except BaseException:
            self._shard.discard()  # it may hold half of a row group
            self._shard = None
            raise
        if self._shard.bytes >= SHARD_BYTES or time.monotonic() - self._started >= COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Close and commit the open shard, if there is one."""
        if self._shard is None:
            return
        shard, self._shard = self._shard, None
        shard.close()
        self._table.commit(shard.path, shard.rows)

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()
