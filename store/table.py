"""A feature table: a Delta table of shards whose identity is an encoder setting."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from .errors import DamagedLog, DamagedShard, SpecError, StoreError
from .locks import LOG_FOLDER, Lock, ShardPaths, commit_file, version_lock
from .log_folder import SPEC_KEY, create_table, delta_schema, first_line, has_log, has_remains, require_plain
from .spec import FeatureSpec

if TYPE_CHECKING:
    from .feature_rows import FeatureRows
    from .writer import TableWriter

_UNREAD_FEATURES = {
    "deletionVectors",
    "columnMapping",
}  # with which a shard's rows are not all there is to know


class LoggedShard(NamedTuple):
    """What a table's log says of a shard."""

    path: str
    bytes: int
    rows: int | None
    """None where another tool wrote the shard, and did not say."""


class FeatureTable:
    """Features of one encoder setting, keyed by content, at one version of their Delta table.

    ``spec`` is the setting, ``name`` the name of the folder, ``version`` the Delta version that this
    handle sees. :meth:`refresh` moves the handle to the newest version.
    """

    def __init__(self, path: str | Path):
        """Open an existing table. Raises StoreError if the folder holds none, or a damaged one."""
        self.path = Path(path)
        self.name = self.path.name
        self._lock: Lock | None = None
        self._looked_at = -1  # the version whose shards were looked at
        self._folder = self.path.absolute()  # a later change of the current folder does not matter
        require_plain(self._folder)
        if has_remains(self._folder):
            raise DamagedLog(
                f"the log of feature set '{path}' is missing, and its shards are there; restore the log "
                f"from a copy, or run `enc store verify '{self.path.parent}' --repair`"
            )
        inside = [] if has_log(self._folder) else _feature_sets_in(self._folder)
        if inside:
            raise StoreError(
                f"'{path}' is a store, not a feature set; name one of its own: '{self.path / inside[0]}', or "
                f"Store('{path}').open('{inside[0]}')"
            )
        if not has_log(self._folder):
            raise StoreError(
                f"'{path}' is not a feature set: it has no log; `enc build-features … --store "
                f"{self.path.parent} --name {self.name}` makes one"
            )
        try:
            self._delta = DeltaTable(self._folder)
        except (DeltaError, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self._hold()
        setting = self._delta.metadata().configuration.get(SPEC_KEY)
        if setting is None:
            raise StoreError(f"'{path}' is a Delta table, but not one of enc's feature sets")
        unknown = {*(self._delta.protocol().reader_features or [])} & _UNREAD_FEATURES
        if unknown:
            raise StoreError(
                f"another tool has turned on {', '.join(sorted(unknown))} in feature set '{path}', which enc "
                "does not read; turn this off there, or build the features in another store"
            )
        try:
            self.spec = FeatureSpec.from_json(setting)
        except (ValueError, TypeError) as error:
            raise self._unreadable(error) from error

    def __repr__(self) -> str:
        return f"FeatureTable({str(self.path)!r}, version={self.version}, rows={self.rows})"

    @classmethod
    def of(cls, table: "FeatureTable | str | Path") -> "FeatureTable":
        """The table itself, or the one at a path."""
        return table if isinstance(table, FeatureTable) else cls(table)

    @classmethod
    def create(cls, path: str | Path, spec: FeatureSpec) -> "FeatureTable":
        """Open the table at ``path``, creating it if it is not there. Several processes may do so at once.

        Raises SpecError, naming the fields, if a table of another setting is there, and StoreError if
        the folder holds other files or cannot be written.
        """
        path = Path(path)
        require_plain(path.absolute())
        try:
            if not has_log(path) and not has_remains(path):
                create_table(path, spec)
        except (DeltaError, OSError) as error:
            if not has_log(path):  # else another process was quicker
                raise StoreError(f"cannot make the feature set '{path}': {first_line(error)}") from error
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
        version = self.version
        self._update()
        if self.version != version:
            self._hold()
        return self

    def _update(self) -> None:
        try:
            self._delta.update_incremental()
        except (DeltaError, OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _hold(self) -> None:
        """Hold the newest version, so that a vacuum leaves its shards."""
        while True:
            self._lock = version_lock(self._folder, self.version)
            if not commit_file(self._folder, self.version + 1).exists():
                return
            self._update()

    def _unreadable(self, error: Exception) -> StoreError:
        denied = isinstance(error, PermissionError) or "ermission denied" in str(error)
        return (StoreError if denied else DamagedLog)(
            f"the log of feature set '{self.path}' cannot be read ({first_line(error)}); restore "
            f"'{self.path / LOG_FOLDER}' from a copy, or run `enc store verify '{self.path.parent}' --repair`"
        )

    @property
    def version(self) -> int:
        """Delta version of this handle."""
        return self._delta.version()

    @property
    def shards(self) -> list[str]:
        """Paths of the committed shards, sorted, so that one version always gives one order.

        A handle looks at their size, footers and keys when it is first asked at a version. Raises
        DamagedShard for a shard that is missing, or is not what was written. A vacuum leaves these shards as
        long as the list is held.
        """
        from .shard_file import require_readable  # which loads pyarrow

        logged = self.logged
        if self._looked_at != self.version:
            require_readable((shard.path, shard.bytes, shard.rows) for shard in logged)
            self._looked_at = self.version
        return ShardPaths((shard.path for shard in logged), self._lock)

    def require_files(self) -> None:
        """Look whether the committed shards are there, and as large as the log says. Raises DamagedShard."""
        for shard in self.logged:
            try:
                found = Path(shard.path).stat().st_size
            except OSError as error:
                raise DamagedShard(shard.path, "is missing") from error
            if found != shard.bytes:
                said = f"it has {found:,} bytes, and the log says {shard.bytes:,}"
                raise DamagedShard(shard.path, f"is damaged: {said}")

    @property
    def logged(self) -> list[LoggedShard]:
        """What the log says of the committed shards, sorted by path, whether they are there or not."""
        columns = ("path", "size_bytes", "num_records")
        actions = self._delta.get_add_actions(flatten=True)
        rows = zip(*(self._values(actions, column) for column in columns), strict=True)
        return sorted(LoggedShard(str(self._folder / name), size, rows) for name, size, rows in rows)

    @property
    def rows(self) -> int:
        """Committed rows; a text that two writers encoded at once counts twice."""
        return sum(_rows_of(shard) for shard in self.logged)

    @property
    def bytes(self) -> int:
        """Size of the committed shards in bytes."""
        return sum(shard.bytes for shard in self.logged)

    @staticmethod
    def _values(actions: Any, column: str) -> list[Any]:
        if column not in actions.schema.names:  # no shard has this statistic
            return [None] * actions.num_rows
        return actions.column(column).to_pylist()

    def lookup(
        self,
        texts: Any,
        pairs: Any = None,
        *,
        text_column: str | None = None,
        pair_column: str | None = None,
        use: FeatureSpec | str | None = None,
    ) -> "FeatureRows":
        """The features of texts in memory, in their order: :class:`enc.store.feature_rows.FeatureRows`.

        >>> rows = Store("features").open().lookup(["A lovely stay.", "Never again."])
        >>> rows.has_features, rows[rows.has_features]

        ``texts`` is a list, an array or a Series of texts, and ``pairs`` one of their second texts; or a
        table of pandas, polars or Arrow, with the columns ``text_column`` (``sentence`` or ``text``) and
        ``pair_column``. ``use`` is a part of the features: ``layers=9-12,pooling=mean``. Nothing is
        encoded: ``missing`` are the positions of texts that the table does not hold, and ``without_text``
        those of what is null or empty. Raises SourceError for what are no texts.
        """
        from .rows_of import rows_of_texts

        return rows_of_texts(texts, pairs, self, use, text_column=text_column, pair_column=pair_column)

    def writer(self) -> "TableWriter":
        """A context manager that appends rows and commits them shard by shard."""
        from .writer import TableWriter

        return TableWriter(self)

    def commit(
        self,
        added: Sequence[tuple[Path, int]] = (),
        removed: Sequence[LoggedShard] = (),
        *,
        rows_change: bool = True,
    ) -> None:
        """Take finished shards, with their number of rows, into the table, and others out, in one commit.

        Commits that only add never conflict, whoever else adds. ``rows_change`` tells readers of changes
        whether rows came or went. Raises StoreError where another process has removed one of the shards.
        """
        now = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [
            RemoveAction(self._name_in_log(shard.path), rows_change, now, shard.bytes, {})
            for shard in removed
        ]
        for shard, rows in added:
            statistics = json.dumps({"numRecords": rows})
            actions.append(AddAction(shard.name, shard.stat().st_size, {}, now, rows_change, statistics))
        try:
            self._delta.create_write_transaction(actions, mode="append", schema=delta_schema(self.spec))
        except (DeltaError, OSError) as error:
            raise StoreError(f"cannot commit to feature set '{self.path}': {first_line(error)}") from error
        self.refresh()  # a transaction leaves its own handle at the version before

    def _name_in_log(self, path: str) -> str:
        return str(Path(path).relative_to(self._folder)) if Path(path).is_relative_to(self._folder) else path


def _feature_sets_in(folder: Path) -> list[str]:
    """Names of the feature sets in a folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(inner.name for inner in folder.iterdir() if inner.is_dir() and has_log(inner))


def _rows_of(shard: LoggedShard) -> int:
    if shard.rows is not None:
        return shard.rows
    from .shard_file import opened, read_footer  # which loads pyarrow

    with opened(shard.path) as descriptor:
        return read_footer(shard.path, descriptor).num_rows
