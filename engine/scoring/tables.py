"""Which feature table a head's features are read from, and where each row's features are."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import numpy as np

from ...store import FeatureSpec, FeatureTable, Source, SourceError, SpecError, Store, StoreError
from ...store.imported import require_known
from ...store.located import Located
from ...store.lookup import Lookup
from ...store.mapped import MappedFeatures
from ...store.mapped_tokens import mapped_features
from ...store.required import first_missing
from ...store.sides import locations_of_rows
from ...store.stage import Stage
from ..encode.build import Stopwatch, Work, encode_missing, find_missing
from ..encode.encoder import Encoder
from ..encode.windows import FixedWindows
from ..heads.head import Head
from .unfinished import Unfinished


@dataclass
class Group:
    """Heads whose features are read from the same tables, and where the rows' features are."""

    heads: list[str]
    tables: list[FeatureTable]
    spec: FeatureSpec
    """Setting of the tables."""
    shards: list[str] = field(default_factory=list)
    """Those of the tables, which :attr:`locations` number."""
    locations: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """int64 [ids of the stage], :data:`enc.store.lookup.NOWHERE` for rows without features; of pairs that are
    encoded apart [ids, 2].
    """

    _held: list[list[str]] = field(default_factory=list)
    """The lists that :attr:`shards` came from: a vacuum leaves shards as long as their list is held."""

    def read_shards(self) -> list[str]:
        """The shards that the tables have now."""
        if len(self.tables) == 1:  # those that may hold none of the texts are not even opened
            self.shards = self.tables[0].listed_shards
            self._held = [self.shards]
        else:
            self._held = [table.shards for table in self.tables]
            self.shards = [shard for shards in self._held for shard in shards]
        return self.shards

    def read_new_shards(self) -> list[str]:
        """The shards that the tables have now and had not before; they come after those, which stay."""
        known, lists = set(self.shards), [table.shards for table in self.tables]
        found = [shard for shards in lists for shard in shards if shard not in known]
        self._held += lists
        self.shards = self.shards + found
        return found

    def features(self, head: Head) -> MappedFeatures:
        """Random access to a head's features."""
        return mapped_features(self.shards, self.spec, head.spec)


@dataclass
class Counts:
    """Distinct texts that were in a store, and those that were encoded, of all groups."""

    cached: int = 0
    encoded: int = 0


@dataclass(frozen=True)
class Features:
    """How heads get their features: from a store, and from encoders for texts that it has not."""

    heads: Mapping[str, Head]
    store: Store | None
    cache: bool
    """Whether what is encoded is added to the store."""
    scratch: Path
    """A folder for what is encoded and not added to the store."""
    load: Callable[[FeatureSpec], Encoder]
    kept: Unfinished | None = None
    """What an interrupted run has found and encoded, and where this one keeps that."""
    elsewhere: Callable[[Stage, Work, FeatureTable, Encoder, int], None] | None = None
    """Encodes the missing texts of a group, by its number, in other processes than this one; see
    :meth:`engine.scoring.division.Division.encode`.
    """

    def located(
        self,
        con: duckdb.DuckDBPyConnection,
        source: Source,
        label_column: str | Sequence[str] | None,
        clock: Stopwatch,
    ) -> tuple[Stage, list[Group], Counts]:
        """Read a source and find, or make, the features of its rows.

        Texts are read once more where there are some to encode.
        """
        groups, counts = self._groups(), Counts()
        with ExitStack() as scope:
            with clock("stage"):
                shards = [group.read_shards() for group in groups]
                needs_texts = any(head.words is not None for head in self.heads.values())
                located = scope.enter_context(
                    Located(con, source, shards, label_column=label_column, keep_text=needs_texts)
                )
                firsts = self._first_found(located)
                for number, found in enumerate(located.lookups):
                    together = self._texts_to_encode(number, found)
                    located.lookups[number] = replace(found, is_first_missing=together)
            texts: Stage | None = None
            for number, (group, found) in enumerate(zip(groups, located.lookups, strict=True)):
                group.locations = locations_of_rows(located.stage, found.locations)
                counts.cached += firsts[number]["cached"]
                counts.encoded += firsts[number]["missing"]
                if not found.missing:
                    continue
                if group.spec.imported:
                    first = first_missing(located.stage, found)
                    name = group.tables[0].name if group.tables else None
                    require_known(group.spec, found.missing, first, name)
                if texts is None:
                    with clock("stage"):
                        texts = located.stage_missing()
                self._encode(texts, group, number, clock)
                with clock("stage"):
                    first_shard = len(group.shards)
                    located.find_missing_in(number, group.read_new_shards(), first_shard)
            return located.stage, groups, counts

    def _encode(self, texts: Stage, group: Group, number: int, clock: Stopwatch) -> None:
        """Encode what a group lacks."""
        if self._is_apart and not self._table_apart(number).exists():
            group.tables.append(FeatureTable.create(self._table_apart(number), group.spec))
        with clock("stage"):
            work = find_missing(texts, group.shards)
        with clock("load"):
            encoder = self.load(group.spec)
        if self.elsewhere is not None:
            with clock("encode"):
                self.elsewhere(texts, work, group.tables[-1], encoder, number)
            return
        fixed = self._fixed_windows(self.kept, work, encoder, number) if self.kept else None
        encode_missing(
            texts,
            work,
            group.tables[-1],
            encoder,
            tokens_per_batch=fixed.tokens_per_batch if fixed else None,
            clock=clock,
            fixed=fixed,
        )

    @property
    def _is_apart(self) -> bool:
        """Whether what is encoded does not go into the store."""
        return not (self.cache and self.store)

    def _table_apart(self, number: int) -> Path:
        return self.scratch / f"features-{number}"

    def _first_found(self, located: Located) -> list[dict[str, int]]:
        """Of each group, how many distinct texts were found, and missed, when the run was begun.

        Raises OtherRun where an interrupted run had other rows.
        """
        stage, kept = located.stage, self.kept
        found = {
            "rows": [stage.rows, stage.rejected],
            "groups": [{"cached": f.distinct - f.missing, "missing": f.missing} for f in located.lookups],
        }
        if kept is None:
            return found["groups"]
        if stage.source.where:
            chosen = np.packbits(stage.kept_ids()).tobytes().rstrip(b"\0")
            found["rows"].append(hashlib.sha256(chosen).hexdigest())
        before = kept.last("found")
        if before is None:
            kept.note("found", found)
        elif before["rows"] != found["rows"]:
            raise kept.other_run("choice of rows, which the same condition makes differently each time")
        return (before or found)["groups"]

    def _texts_to_encode(self, number: int, found: Lookup) -> np.ndarray:
        """Which rows' texts are to be read: those that are missing, and those that were missing before."""
        before = self.kept.texts(number, len(found.is_first_missing)) if self.kept and found.missing else None
        return found.is_first_missing if before is None else found.is_first_missing | before

    def _fixed_windows(self, kept: Unfinished, work: Work, encoder: Encoder, number: int) -> FixedWindows:
        """All texts that the run had to encode when it was begun, and the encoder that it has chosen."""
        before = kept.encoding(number)
        texts = self._texts_to_encode(number, work.found)
        kept.write_texts(number, texts)
        if before:
            encoder.take(before["way"])

        def begun() -> None:
            if not before:
                kept.note_encoding(number, encoder.title, encoder.tokens_per_batch, encoder.taken)
            elif before["title"] != encoder.title:
                raise kept.other_run(f"encoder ({before['title']}, and this is {encoder.title})")

        return FixedWindows(texts, before["tokens"] if before else None, begun)

    def _groups(self) -> list[Group]:
        groups: list[Group] = []
        # Heads of more parts come first: those of fewer parts then find their features among them.
        for name, head in sorted(self.heads.items(), key=lambda item: -len(item[1].spec.parts)):
            create = self.cache and not head.spec.imported
            known = feature_table(head, self.store, create=create) if self.store else None
            for group in groups:
                if known and group.tables:
                    is_same = group.tables[0].path == known.path
                else:
                    is_same = group.spec.covers(head.spec)
                if is_same:
                    group.heads.append(name)
                    break
            else:
                groups.append(Group([name], [known] if known else [], known.spec if known else head.spec))
        for number, group in enumerate(groups):
            if self._is_apart and self._table_apart(number).exists():  # of an interrupted run
                group.tables.append(FeatureTable.create(self._table_apart(number), group.spec))
        return groups


def source_for(
    heads: Mapping[str, Head],
    source: Source | str | Path | Sequence[str | Path],
    text_column: str | None = None,
    pair_column: str | None = None,
) -> Source:
    """The source with the columns that are asked for, or those that the heads were trained on.

    Raises SourceError where the heads were trained on different columns.
    """
    given = source if isinstance(source, Source) else Source(source)
    trained = {(head.text_column or None, head.pair_column) for head in heads.values()}
    text, pair = text_column or given.text_column, pair_column or given.pair_column
    ways = {head.combination is not None for head in heads.values()}
    if len(ways) > 1:
        raise SourceError(
            "some of the heads take pairs that are encoded apart, and others do not; score with them one "
            "after the other"
        )
    if text is None and len(trained) > 1:
        raise SourceError(
            "the heads were trained on different columns; pass --text-column (and --pair-column)"
        )
    trained_text, trained_pair = trained.pop()
    pairs = "separate" if ways.pop() else "joint"
    return replace(given, text_column=text or trained_text, pair_column=pair or trained_pair, pairs=pairs)


def feature_table(head: Head, store: Store | str | Path, *, create: bool) -> FeatureTable | None:
    """The store's feature set with the head's setting, or one that has its parts among others.

    The one of the recorded name comes first, then one of exactly the head's setting.

    With ``create`` it is made where the store has none, else the answer is None. Raises SpecError
    where the recorded name now holds another setting, naming the fields.
    """
    store = Store(store)
    try:
        names = store.feature_sets()
    except StoreError:
        if not create and store.path.exists():
            raise
        names = []
    tables = [store.open(name) for name in sorted(names, key=lambda n: n != head.feature_set)]
    fitting = [table for table in tables if table.spec.covers(head.spec)]
    for table in fitting:
        if table.name == head.feature_set or table.spec.digest == head.spec.digest:
            return table
    if fitting:
        return fitting[0]
    if tables and tables[0].name == head.feature_set:
        differences = "; ".join(tables[0].spec.differences(head.spec))
        raise SpecError(
            f"feature set '{head.feature_set}' in '{store}' is not of the setting the head was trained "
            f"on ({differences})"
        )
    return store.create(head.feature_set, head.spec) if create else None
