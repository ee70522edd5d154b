"""A feature table: a Delta table of shards whose identity is an encoder setting."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from .commit import Added, Commit
from .errors import DamagedLog, DamagedShard, SpecError, StoreError
from .key_bounds import Bounds, LoggedBounds, to_statistics
from .locks import LOG_FOLDER, Lock, ShardPaths, commit_file, version_lock
from .log_folder import (
    SPEC_KEY,
    create_table,
    feature_sets_in,
    first_line,
    has_log,
    has_remains,
    require_plain,
    write_spec,
)
from .logged import LoggedShard, logged_shards, rows_of
from .places import Place, commit_options, folder_of, place_of, retried, sizes_in, table_uri
from .spec import FeatureSpec

if TYPE_CHECKING:
    from .feature_rows import FeatureRows
    from .listed_shards import ListedShards
    from .writer import TableWriter

_UNREAD_FEATURES = {
    "deletionVectors",
    "columnMapping",
}  # with which a shard's rows are not all there is to know


class FeatureTable:
    """Features of one encoder setting, keyed by content, at one version of their Delta table.

    ``spec`` is the setting, ``name`` the name of the folder, ``version`` the Delta version that this
    handle sees. :meth:`refresh` moves the handle to the newest version.
    """

    def __init__(self, path: str | Place):
        """Open an existing table. Raises StoreError if the folder holds none, or a damaged one."""
        self.path: Place = place_of(path)
        self.name = self.path.name
        self._lock: Lock | None = None
        self._looked_at = -1  # the version whose shards were looked at
        self._place = self.path.absolute()  # a later change of the current folder does not matter
        self._bounds = LoggedBounds(self._place)
        self._folder = folder_of(self._place)
        require_plain(self._place)
        if has_remains(self._place):
            raise DamagedLog(
                f"the log of feature set '{path}' is missing, and its shards are there; restore the log "
                f"from a copy, or run `enc store verify '{self.path.parent}' --repair`"
            )
        inside = [] if has_log(self._place) else feature_sets_in(self._place)
        if inside:
            raise StoreError(
                f"'{path}' is a store, not a feature set; name one of its own: '{self.path / inside[0]}', or "
                f"Store('{path}').open('{inside[0]}')"
            )
        if not has_log(self._place):
            raise StoreError(
                f"'{path}' is not a feature set: it has no log; `enc build-features … --store "
                f"{self.path.parent} --name {self.name}` makes one"
            )
        try:
            self._delta = retried(self._opened, self._place)
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
    def of(cls, table: "FeatureTable | str | Place") -> "FeatureTable":
        """The table itself, or the one at a path."""
        return table if isinstance(table, FeatureTable) else cls(table)

    @classmethod
    def create(cls, path: str | Place, spec: FeatureSpec) -> "FeatureTable":
        """Open the table at ``path``, creating it if it is not there. Several processes may do so at once.

        Raises SpecError, naming the fields, if a table of another setting is there, and StoreError if
        the folder holds other files or cannot be written.
        """
        path = place_of(path)
        require_plain(path.absolute())

        try:
            if not has_log(path) and not has_remains(path):
                create_table(path, spec)
        except (DeltaError, OSError) as error:
            if not has_log(path):  # else another process was quicker
                raise StoreError(f"cannot make the feature set '{path}': {first_line(error)}") from error
        table = cls(path)
        table.require(spec)
        write_spec(path, spec)
        return table

    def require(self, spec: FeatureSpec) -> None:
        """Raise SpecError, naming every field that differs, unless this table has exactly that setting."""
        differences = self.spec.differences(spec)
        if self.spec.imported and not spec.imported:
            raise SpecError(
                f"feature set '{self.name}' holds vectors that '{self.spec.imported}' made outside enc, and "
                "no encoder adds to them; pass --name for a feature set of your own, or take in more vectors "
                "of that model with `enc import-features`"
            )
        if differences:
            raise SpecError(
                f"feature set '{self.name}' has another setting ({'; '.join(differences)}); "
                "use its setting, or pass --name for a feature set of your own"
            )

    def refresh(self) -> "FeatureTable":
        """See what other writers have committed since."""
        version = self.version
        self.update()
        if self.version != version:
            self._hold()
        return self

    @property
    def delta(self) -> DeltaTable:
        """The Delta table."""
        return self._delta

    def _opened(self) -> DeltaTable:
        return DeltaTable(table_uri(self._place), storage_options=commit_options(self._place))

    def update(self) -> None:
        """See the newest version, without holding it."""
        try:
            retried(self._delta.update_incremental, self._place)
        except (DeltaError, OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _hold(self) -> None:
        """Hold the newest version, so that a vacuum leaves its shards."""
        while True:
            self._lock = version_lock(self._place, self.version)
            if self._lock is None or not commit_file(self._place, self.version + 1).exists():
                return
            self.update()

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
        from .shard_keys import require_readable  # which loads pyarrow

        logged = self.logged
        if self._looked_at != self.version:
            require_readable(logged)
            self._looked_at = self.version
        return ShardPaths((shard.path for shard in logged), self._lock)

    @property
    def listed_shards(self) -> "ListedShards":
        """Paths as of :attr:`shards`, of files that nobody has looked at yet, with the bounds of their keys.

        For who reads few of them.
        """
        from .listed_shards import ListedShards  # which loads pyarrow

        logged = self.logged
        bounds = partial(self._bounds.of_shards, logged, self.version)
        return ListedShards(logged, bounds, sum(map(rows_of, logged)), self._lock)

    @property
    def key_bounds(self) -> dict[str, Bounds]:
        """Between which keys the rows of shards lie, by the shard's name, as far as the log says."""
        return self._bounds.at(self.version)

    def require_files(self) -> None:
        """Look whether the committed shards are there, and as large as the log says. Raises DamagedShard."""
        sizes = sizes_in(self._place)
        for shard in self.logged:
            found = sizes.get(Path(shard.path).name)
            if found is None:
                raise DamagedShard(shard.path, "is missing")
            if found != shard.bytes:
                said = f"it has {found:,} bytes, and the log says {shard.bytes:,}"
                raise DamagedShard(shard.path, f"is damaged: {said}")

    @property
    def logged(self) -> list[LoggedShard]:
        """What the log says of the committed shards, sorted by path, whether they are there or not."""
        return logged_shards(self._delta, self._folder)

    @property
    def rows(self) -> int:
        """Committed rows; a text that two writers encoded at once counts twice."""
        return sum(rows_of(shard) for shard in self.logged)

    @property
    def bytes(self) -> int:
        """Size of the committed shards in bytes."""
        return sum(shard.bytes for shard in self.logged)

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

    def writer(self, *, commit_seconds: float | None = None) -> "TableWriter":
        """A context manager that appends rows and commits them; see :class:`enc.store.writer.TableWriter`."""
        from .writer import TableWriter

        return TableWriter(self, commit_seconds=commit_seconds)

    def commit(
        self,
        added: Sequence[Added | tuple[Path, int]] = (),
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
        for shard, rows, bounds in (one if isinstance(one, Added) else Added(*one) for one in added):
            statistics = to_statistics(rows, bounds)
            actions.append(AddAction(shard.name, shard.stat().st_size, {}, now, rows_change, statistics))
        Commit(self, actions, removed).write()
        self.refresh()  # a transaction leaves its own handle at the version before

    def _name_in_log(self, path: str) -> str:
        return str(Path(path).relative_to(self._folder)) if Path(path).is_relative_to(self._folder) else path
