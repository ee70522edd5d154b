"""Source to feature table: find what is missing, tokenize, encode, write, commit."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ...store import FeatureTable, Source, SourceError, Store, default_name
from ...store.duck import scan_memory, workspace
from ...store.lookup import Lookup, look_up
from ...store.prefetch import prefetched
from ...store.share import WHOLE, Share
from ...store.sides import encoded_texts
from ...store.stage import Stage, rejects_path, stage_source
from ...store.table import LOG_FOLDER
from .collected import CollectedFeatures
from .encoder import Encoder
from .tokens import Tokens

READ_ROWS = 1024  # texts tokenized at a time
READ_BYTES = 4 << 20  # of the same; a tokenizer's own objects take up many times as much
WINDOW_ROWS = 16384  # texts sorted by length at a time, at the most: there is hardly any padding from here on
WINDOW_BYTES = 64 << 20  # of features in a window; two are held, one of them being written
WINDOW_SECONDS = (
    60.0  # of encoding; a window is written when it is finished, and lost if the process is killed
)
WINDOW_TOKENS = 8 << 20  # the same, of tokens; long texts that are encoded whole have many
FIRST_WINDOW_ROWS = 1024  # until the encoder's speed is known
Progress = Callable[[int, int], None]
"""Called with the texts encoded so far and those to encode in all."""


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


class Stopwatch:
    """Adds up seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of a block for ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start

    def rounded(self) -> dict[str, float]:
        """Seconds by stage, to the millisecond."""
        return {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}


def build_features(
    source: Source,
    store: Store | str | Path,
    encoder: Encoder,
    *,
    name: str | None = None,
    share: Share = WHOLE,
    tokens_per_batch: int | None = None,
    progress: Progress | None = None,
) -> BuildSummary:
    """Encode the source's texts, or those of a share, that the feature set does not hold yet; commit them.

    Several processes may build shares of a source at once, also the same share twice: the counts of all
    shares add up to those of the whole.

    The feature set is made if need be; ``name`` defaults to one that tells the setting. What was
    encoded when an exception (or Ctrl-C) ends the run is committed, and not encoded again.
    """
    name = name or default_name(encoder.spec, encoder.layer_count)
    if source.is_separate and not share.is_whole:  # a text of two pairs would be in two shares
        raise SourceError("shares and workers are for single texts and joint pairs; build each column alone")
    clock = Stopwatch()
    with clock("total"), workspace() as con:
        with clock("stage"):
            is_new = not (Path(store) / name / LOG_FOLDER).is_dir()
            stage = stage_source(con, source, keep_text=is_new, share=share)
            table = Store(store).create(name, encoder.spec)
            texts = encoded_texts(stage)
            work = find_missing(texts, table.shards)
            if work.missing and not texts.has_texts:
                # Reading the source again costs little beside encoding, and nothing where all is known.
                stage = stage_source(con, source, "texts", share=share)
                texts = encoded_texts(stage)
                work = find_missing(texts, table.shards)
        encode_missing(
            texts, work, table, encoder, tokens_per_batch=tokens_per_batch, progress=progress, clock=clock
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


def find_missing(stage: Stage, shards: list[str]) -> Work:
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
    progress: Progress | None = None,
    clock: Stopwatch | None = None,
) -> None:
    """Encode what :func:`find_missing` found, append it to ``table``, and count it in ``work``."""
    clock = clock or Stopwatch()
    if not work.missing:
        return
    if not stage.has_texts:
        raise ValueError(f"stage {stage.name} was made without texts; there is nothing to encode")
    pace = Pace(encoder.spec.row_bytes)
    # The thread that reads ahead must end, whatever happens here, before its connection is closed.
    reading = closing(prefetched(_windows(stage, work, encoder, pace, clock), "enc-tokenize"))
    # A window is written while the next one is encoded, and all before the writer commits.
    writing = ThreadPoolExecutor(1, "enc-write")
    with scan_memory(stage.con, work.widest), table.writer() as writer, writing, reading as windows:
        written: Future[None] | None = None
        while True:
            with clock("wait"):
                window = next(windows, None)
            if window is None:
                break
            keys, tokens = window
            with clock("prepare"):
                encoder.prepare(tokens, work.missing)
            if progress and not work.encoded:
                progress(0, work.missing)
            features = CollectedFeatures(tokens, encoder.spec)
            started = time.perf_counter()
            try:
                batches = tokens.batches(tokens_per_batch or encoder.tokens_per_batch)
                encoded = encoder.encode(tokens.batch(batch) for batch in batches)
                for batch in batches:
                    with clock("encode"):
                        values = next(encoded)
                    features.put(batch, values)
                    work.tokens += int(tokens.lengths[batch].sum())
                    work.slots += len(batch) * max(
                        int(tokens.lengths[batch[0]]), tokens.padding.to
                    )  # the longest comes first
                    if progress:
                        progress(work.encoded + int(features.done.sum()), work.missing)
                pace.learn(len(tokens), time.perf_counter() - started)
            finally:  # an interruption keeps what is encoded
                done = features.done
                if written:
                    with clock("write"):
                        written.result()
                columns = (
                    keys.filter(pa.array(done)),
                    tokens.n_tokens[done],
                    tokens.truncated[done],
                    features.values[done],
                )
                written = writing.submit(writer.write, *columns)
                work.encoded += int(done.sum())
                work.truncated += int(tokens.truncated[done].sum())
                work.longest = max(work.longest, int(tokens.n_tokens.max()))
        with clock("write"):
            if written:
                written.result()
            writer.commit()


class Pace:
    """How many texts make up a window: as many as are encoded in WINDOW_SECONDS, within bounds."""

    def __init__(self, row_bytes: int):
        self._most = max(1, min(WINDOW_ROWS, WINDOW_BYTES // row_bytes))
        self.window_rows = min(FIRST_WINDOW_ROWS, self._most)

    def learn(self, rows: int, seconds: float) -> None:
        """Choose the next windows' size by the time that one took."""
        in_time = int(rows / max(seconds, 1e-9) * WINDOW_SECONDS)
        self.window_rows = min(max(in_time, FIRST_WINDOW_ROWS), self._most)


Window = tuple[pa.Array, Tokens]
"""Keys (binary of 32 bytes) and tokens of the same rows."""


def _windows(stage: Stage, work: Work, encoder: Encoder, pace: Pace, clock: Stopwatch) -> Iterator[Window]:
    """The missing texts, tokenized, in blocks large enough to sort by length and small enough to hold."""
    keys: list[pa.Array] = []
    tokens: list[Tokens] = []
    rows = held = 0
    read_rows = max(1, min(READ_ROWS, pace.window_rows, READ_BYTES // max(work.widest, 1)))
    with stage.con.cursor() as cursor:  # a result that is still being read would block the connection
        for block in work.found.missing_texts(cursor, stage, READ_ROWS):
            for start in range(0, block.num_rows, read_rows):
                batch = block.slice(start, read_rows)
                with clock("tokenize"):
                    pairs = batch.column("pair").to_pylist() if stage.pair_column else None
                    tokens.append(encoder.tokenize(batch.column("text").to_pylist(), pairs))
                keys.append(batch.column("key"))
                rows += batch.num_rows
                held += len(tokens[-1].ids)
                if rows >= pace.window_rows or held >= WINDOW_TOKENS:
                    yield pa.concat_arrays(keys), Tokens.concatenate(tokens)
                    keys, tokens, rows, held = [], [], 0, 0
    if rows:
        yield pa.concat_arrays(keys), Tokens.concatenate(tokens)
