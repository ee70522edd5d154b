"""A store: a folder of feature sets."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import StoreError
from .log_folder import has_log, has_remains, other_files
from .naming import require_name
from .nearest import did_you_mean, did_you_mean_path
from .places import Place, RemotePath, place_of
from .spec import FeatureSpec
from .table import FeatureTable
from .work import WORK_FOLDER

if TYPE_CHECKING:
    from .feature_rows import FeatureRows
    from .source import Source


class Store(os.PathLike[str]):
    """A folder of feature sets, one for each encoder setting.

    >>> Store("features").open("minilm-mean-128").rows

    ``path`` is the folder: of this machine, or a URL such as ``s3://bucket/features``. A function that takes
    a store takes a Store or its path. The folder need not be there: :meth:`create` makes it.
    """

    def __init__(self, path: "str | Path | RemotePath | Store"):
        self.path: Place = path.path if isinstance(path, Store) else place_of(path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def feature_sets(self) -> list[str]:
        """Names of the feature sets, sorted. Raises StoreError if the folder is not a store."""
        names = self._names()
        if not names:
            raise StoreError(
                f"'{self}' is not a store: no feature set is in it; "
                "`enc build-features … --store DIR` makes one"
            )
        return names

    def open(self, name: str | None = None) -> FeatureTable:
        """Open a feature set by name; the name may be left out where the store has only one.

        Raises StoreError, naming the feature sets that there are, if this cannot be done.
        """
        names = self.feature_sets()
        if name is None and len(names) == 1:
            name = names[0]
        there = f"(it has: {', '.join(names)})"
        if name is None:
            raise StoreError(f"'{self}' has several feature sets {there}; pass one of them with --features")
        if name not in names and name != WORK_FOLDER and (self.path / name).is_dir():
            return FeatureTable(self.path / name)  # which says what it is instead
        if name not in names:
            raise StoreError(
                f"there is no feature set '{name}' in '{self}' {there}; name one of these"
                f"{did_you_mean(name, names)}"
            )
        return FeatureTable(self.path / name)

    def features(
        self,
        source: "Source | str | Path | Sequence[str | Path] | Any",
        name: str | None = None,
        *,
        use: FeatureSpec | str | None = None,
        text_column: str | None = None,
        pair_column: str | None = None,
    ) -> "FeatureRows":
        """The features of a source's rows, in their order: :class:`enc.store.feature_rows.FeatureRows`.

        >>> rows = Store("features").features("reviews.tsv", "minilm-mean-128")
        >>> rows.shape, rows[:10], numpy.asarray(rows), rows.as_arrow()

        ``source`` is a file, several, a Source, or a table of pandas, polars or Arrow. ``name`` is the
        feature set's, which may be left out where there is only one, and ``use`` a part of its features:
        ``layers=9-12,pooling=mean``. Rows without a usable text have no features, and stand in
        ``without_text``; lines that do not parse are no rows. Raises MissingFeatures for texts that the
        feature set does not hold, and SourceError for a source that cannot be read.
        """
        from .rows_of import rows_of_source, rows_of_texts
        from .source import Source, with_text_columns
        from .texts import is_table

        table = self.open(name)
        if is_table(source):
            columns = {"text_column": text_column, "pair_column": pair_column}
            return rows_of_texts(source, None, table, use, **columns, complete=True)
        given = source if isinstance(source, Source) else Source(source)
        return rows_of_source(with_text_columns(given, text_column, pair_column), table, use)

    def create(self, name: str, spec: FeatureSpec) -> FeatureTable:
        """Open a feature set, making the set and the store if they are not there.

        Raises SpecError if the feature set has another setting, and StoreError if the name or the
        folder cannot be used.
        """
        require_name(name)
        if self.path.exists():
            if not self.path.is_dir():
                raise StoreError(f"'{self}' is a file, not a store; pass a folder with --store")
            if not self._names() and any(map(_is_foreign, self.path.iterdir())):
                raise StoreError(
                    f"'{self}' is not a store: it holds other files and no feature set; "
                    "pass a new folder with --store"
                )
        return FeatureTable.create(self.path / name, spec)

    def _names(self) -> list[str]:
        if not self.path.is_dir():
            raise StoreError(
                f"there is no store at '{self}'; `enc build-features … --store {self}` makes one"
                f"{did_you_mean_path(str(self))}"
            )
        folders = [folder for folder in self.path.iterdir() if folder.name != WORK_FOLDER and folder.is_dir()]
        return sorted(folder.name for folder in folders if has_log(folder) or has_remains(folder))


def _is_foreign(entry: Place) -> bool:
    """Whether neither this program nor the system made an entry of a store that has no feature set yet."""
    if entry.name == WORK_FOLDER:
        return False
    if entry.is_dir():
        return bool(other_files(entry))
    return not entry.name.startswith(".")
