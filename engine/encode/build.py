"""Source to feature table: find what is missing, tokenize, encode, write, commit."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from ...store import FeatureTable, Source, Store, default_name
from ...store.duck import scan_memory, workspace
from ...store.first_pass import FirstPass, stage_parts
from ...store.log_folder import has_log
from ...store.lookup import Lookup, look_up
from ...store.prefetch import prefetched
from ...store.progress import Progress, hears_progress, listener
from ...store.share import WHOLE, Share
from ...store.shielded import shielded
from ...store.sides import encoded_texts
from ...store.stage import Stage, rejects_path, stage_source
from ...store.writer import TableWriter
from .collected import CollectedFeatures
from .encoder import Encoder
from .stopwatch import Stopwatch
from .windows import WINDOW_SECONDS, FixedWindows, Pace, Window, tokenized


@dataclass(frozen=True)
class BuildSummary:
    """What a run of :func:`build_features` did."""

    rows: int
    """Rows read, rejected ones included."""
    distinct: int
    """Distinct texts or pairs among them; of pairs that are encoded apart, distinct texts."""
    cached: int
    """Those that were in the store already."""
    encoded: int
    truncated: int
    """Encoded texts longer than max_length."""
    longest: int
    """Tokens of the longest encoded text, before truncation."""
    rejected: int
    rejects: dict[str, int]
    """Rejected rows by reason."""
    first_reject: str
    rejects_file: str | None
    seconds: dict[str, float]
    """Wall-clock time by stage: stage (read the source, hash, find what is missing), tokenize (in a
    second thread, beside encode), prepare (choose and load the backend), encode, wait (encoder idle, waiting
    for tokens), write (the same, for a window to be
    written, which else goes on beside encode, or committed), total."""
    texts_per_second: float
    """Encoded texts over the whole run, but for choosing and loading the backend."""
    encoder_busy: float
    """Share of the time after the first batch was ready in which the encoder was at work: encode / (encode +
    wait + write).
    """
    padding: float
    """Share of padding among the tokens that the encoder was given."""
    encoder: str
    """Backend, precision and device that encoded; empty if nothing was."""
    feature_set: str
    version: int


@hears_progress
def build_features(
    source: Source,
    store: Store | str | Path,
    encoder: Encoder,
    *,
    name: str | None = None,
    share: Share = WHOLE,
    first_pass: FirstPass | None = None,
    tokens_per_batch: int | None = None,
    commit_seconds: float | None = None,
    progress: Progress | None = None,
) -> BuildSummary:
    """Encode the source's texts, or those of a share, that the feature set does not hold yet; commit them.

    Several processes may build shares of a source at once, also the same share twice: the counts of all
    shares add up to those of the whole. With a finished ``first_pass`` each of them reads its own texts
    alone, as the source's files held them when the parts were written.

    The feature set is made if need be; ``name`` defaults to one that tells the setting. What was
    encoded when an exception (or Ctrl-C) ends the run is committed, and not encoded again. A kill costs
    what was encoded in the last ``commit_seconds`` (300 unless given).
    """
    name = name or default_name(encoder.spec, encoder.layer_count)
    clock = Stopwatch()
    with clock("total"), workspace() as con:
        with clock("stage"):
            is_new = not has_log(Store(store).path / name)
            if not is_new and encoder.spec.may_be_ragged:
                encoder.lay_out_as(FeatureTable(Store(store).path / name).spec)
            stage = _staged(con, source, "stage", share, first_pass, keep_text=is_new)
            table = Store(store).create(name, encoder.spec)
            texts = encoded_texts(stage)
            work = find_missing(texts, table.listed_shards.of_share(share))
            if work.missing and not texts.has_texts:
                # Reading the source again costs little beside encoding, and nothing where all is known.
                stage = _staged(con, source, "texts", share, first_pass, keep_text=True)
                texts = encoded_texts(stage)
                work = find_missing(texts, table.listed_shards.of_share(share))
        encode_missing(
            texts,
            work,
            table,
            encoder,
            tokens_per_batch=tokens_per_batch,
            commit_seconds=commit_seconds,
            clock=clock,
        )
        rejects = stage.write_rejects(rejects_path(store, name))
        reasons, first_reject = stage.reasons(), stage.first_reject()
    at_work = clock.seconds["total"] - clock.seconds.get("prepare", 0.0)
    return BuildSummary(
        rows=stage.rows,
        distinct=work.distinct,
        cached=work.distinct - work.missing,
        encoded=work.encoded,
        truncated=work.truncated,
        longest=work.longest,
        rejected=stage.rejected,
        rejects=reasons,
        first_reject=first_reject,
        rejects_file=str(rejects) if rejects else None,
        seconds=clock.rounded(),
        texts_per_second=round(work.encoded / at_work, 1) if work.encoded else 0.0,
        encoder_busy=round(busy_share(clock.seconds), 4),
        padding=round(1 - work.tokens / work.slots, 4) if work.slots else 0.0,
        encoder=encoder.title if work.encoded else "",
        feature_set=name,
        version=table.version,
    )


def _staged(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    name: str,
    share: Share,
    first_pass: FirstPass | None,
    *,
    keep_text: bool,
) -> Stage:
    if first_pass is None:
        return stage_source(con, source, name, keep_text=keep_text, share=share)
    return stage_parts(con, source, first_pass, share, name=name, keep_text=keep_text)


def busy_share(seconds: dict[str, float]) -> float:
    """The share of the time since the first batch in which the encoder was at work, of seconds by stage."""
    at_work = seconds.get("encode", 0.0)
    return at_work / (at_work + seconds.get("wait", 0.0) + seconds.get("write", 0.0)) if at_work else 0.0


@dataclass
class Work:
    """What there is to encode, and counts of what was; see BuildSummary."""

    found: Lookup
    """What the store has of the source."""
    widest: int
    """Bytes of the longest text or pair."""
    distinct: int
    missing: int
    encoded: int = 0
    truncated: int = 0
    longest: int = 0
    tokens: int = 0
    slots: int = 0
    """Tokens with padding, as encoded."""


def find_missing(stage: Stage, shards: Sequence[str]) -> Work:
    """The stage's texts that no shard has. To encode them, the stage must have kept its texts."""
    found, widest = look_up(stage, shards), 0
    if found.missing and stage.has_texts:
        size = "coalesce(strlen(text), 0) + coalesce(strlen(pair), 0)"
        widest = stage.con.sql(f"SELECT max({size}) FROM {stage.name}").fetchall()[0][0]
    return Work(found, widest, found.distinct, found.missing)


def encode_missing(
    stage: Stage,
    work: Work,
    table: FeatureTable,
    encoder: Encoder,
    *,
    tokens_per_batch: int | None = None,
    commit_seconds: float | None = None,
    clock: Stopwatch | None = None,
    fixed: FixedWindows | None = None,
) -> None:
    """Encode what :func:`find_missing` found, append it to ``table``, and count it in ``work``.

    With ``fixed`` windows and batches are those of all their texts, of which only the missing are written.
    """
    clock = clock or Stopwatch()
    if not work.missing:
        return
    if not stage.has_texts:
        raise ValueError(f"stage {stage.name} was made without texts; there is nothing to encode")
    pace = Pace(encoder.spec.row_bytes)
    told = listener()  # which other threads tell, too
    made = tokenized(stage, work.found, work.widest, encoder, pace, clock, fixed, told)
    # The thread that reads ahead must end, whatever happens here, before its connection is closed.
    reading = closing(prefetched(made, "enc-tokenize"))
    # A window is written while the next one is encoded, and all before the writer commits.
    writing = ThreadPoolExecutor(1, "enc-write")
    writing_to = table.writer(commit_seconds=commit_seconds)
    with scan_memory(stage.con, work.widest), writing_to as writer, writing, reading as windows:
        written = _Written(writer, writing, work, clock)
        while True:
            with clock("wait"):
                window = next(windows, None)
            if window is None:
                break
            tokens = window.tokens
            with clock("prepare"):
                encoder.prepare(tokens, work.missing)
            if fixed and not work.encoded:
                fixed.begun()
            if not work.encoded:
                told("encoding", 0, work.missing)
            features = CollectedFeatures(tokens, encoder.spec)
            started = written_at = time.perf_counter()
            try:
                batches = window.batches(tokens_per_batch or encoder.tokens_per_batch)
                encoded = encoder.encode(tokens.batch(batch) for batch in batches)
                for batch in batches:
                    with clock("encode"):
                        values = next(encoded)
                    features.put(batch, values)
                    work.tokens += int(tokens.lengths[batch].sum())
                    work.slots += len(batch) * max(
                        int(tokens.lengths[batch[0]]), tokens.padding.to
                    )  # the longest comes first
                    done = work.encoded + int((features.done & window.wanted).sum())
                    told("encoding", done, work.missing)
                    if fixed and time.perf_counter() - written_at >= WINDOW_SECONDS:
                        shielded(written.add, window, features)
                        written_at = time.perf_counter()
                pace.learn(len(tokens), time.perf_counter() - started)
            finally:  # an interruption keeps what is encoded
                shielded(written.add, window, features)
        written.wait()
        with clock("write"):
            writer.commit()


class _Written:
    """Writes windows in a second thread, and counts what is written."""

    def __init__(self, writer: TableWriter, thread: ThreadPoolExecutor, work: Work, clock: Stopwatch):
        self._writer, self._thread, self._work, self._clock = writer, thread, work, clock
        self._last: Future[None] | None = None
        self._tell = listener()
        self._tell("writing", 0, work.missing)

    def add(self, window: Window, features: CollectedFeatures) -> None:
        """Write what is done and wanted of a window, which then is wanted no more.

        Who hears of progress may end the work by it; so nothing is told before the rows are handed over.
        """
        tokens, work = window.tokens, self._work
        done = features.done & window.wanted
        window.wanted[done] = False
        self._settle()
        written = work.encoded
        columns = (
            window.keys.filter(pa.array(done)),
            tokens.n_tokens[done],
            tokens.truncated[done],
            features.stored(done),
        )
        self._last = self._thread.submit(self._writer.write, *columns)
        work.encoded += int(done.sum())
        work.truncated += int(tokens.truncated[done].sum())
        work.longest = max(work.longest, int(tokens.n_tokens.max()))
        self._tell("writing", written, work.missing)

    def wait(self) -> None:
        """Return when what was added is written; raises what the writing raised."""
        self._settle()
        self._tell("writing", self._work.encoded, self._work.missing)

    def _settle(self) -> None:
        if self._last:
            with self._clock("write"):
                self._last.result()
