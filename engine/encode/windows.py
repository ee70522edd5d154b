"""Missing texts in windows: so many that they can be sorted by length, so few that they can be held.

The last bits of a text's features depend on the batch that it is in: on the other texts' lengths and number.
So where an interrupted run must end with the features of one that was not, all texts that were to be encoded
are divided into the same windows and batches again, and the batches whose texts are stored are left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from pyarrow import compute

from ...store import FeatureSpec
from ...store.lookup import Lookup
from ...store.progress import Progress
from ...store.stage import Stage
from .encoder import Encoder
from .stopwatch import Stopwatch
from .tokens import Tokens

pc: Any = compute  # its functions are made when it is imported, and type checkers know only some of them
READ_ROWS = 1024  # texts tokenized at a time
READ_BYTES = 4 << 20  # of the same; a tokenizer's own objects take up many times as much
WINDOW_ROWS = 16384  # texts sorted by length at a time, at the most: there is hardly any padding from here on
WINDOW_BYTES = 64 << 20  # of features in a window; two are held, one of them being written
WINDOW_SECONDS = (
    60.0  # of encoding; a window is written when it is finished, and lost if the process is killed
)
WINDOW_TOKENS = 8 << 20  # the same, of tokens; long texts that are encoded whole have many
FIRST_WINDOW_ROWS = 1024  # until the encoder's speed is known
TEXT_BYTES = 64 << 20  # of texts in a fixed window, which are held until they are tokenized


class Window(NamedTuple):
    """Texts that are divided into batches together."""

    keys: pa.Array
    """Binary of 32 bytes."""
    tokens: Tokens
    wanted: np.ndarray
    """bool [texts]: those whose features are to be written."""

    def batches(self, tokens_per_batch: int) -> list[np.ndarray]:
        """The batches, by numbers of sequences, in which there is something wanted."""
        wanted = self.wanted[self.tokens.owners]
        return [batch for batch in self.tokens.batches(tokens_per_batch) if wanted[batch].any()]


class Pace:
    """How many texts make up a window: as many as are encoded in WINDOW_SECONDS, within bounds."""

    def __init__(self, row_bytes: int):
        self.most_rows = max(1, min(WINDOW_ROWS, WINDOW_BYTES // row_bytes))
        self.window_rows = min(FIRST_WINDOW_ROWS, self.most_rows)

    def learn(self, rows: int, seconds: float) -> None:
        """Choose the next windows' size by the time that one took."""
        in_time = int(rows / max(seconds, 1e-9) * WINDOW_SECONDS)
        self.window_rows = min(max(in_time, FIRST_WINDOW_ROWS), self.most_rows)


@dataclass(frozen=True)
class FixedWindows:
    """How texts are divided, whatever is stored of them already, and however fast they are encoded."""

    texts: np.ndarray
    """bool [ids]: the rows whose texts are divided, each distinct text once."""
    tokens_per_batch: int | None = None
    """What batches had in an earlier run; the encoder's own number by default."""
    begun: Callable[[], None] = lambda: None
    """Called when the encoder is chosen, before anything is encoded."""

    def blocks(
        self, con: duckdb.DuckDBPyConnection, stage: Stage, found: Lookup, spec: FeatureSpec, most_rows: int
    ) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """Windows (``id, key, text, pair``) with texts that ``found`` misses, and which these are, bool [n].

        The first window has FIRST_WINDOW_ROWS texts, each one after it twice as many as the one before, and
        ``most_rows`` at the most; or as many as have WINDOW_TOKENS or TEXT_BYTES, by their bytes.
        """
        size, held, held_tokens, held_bytes = min(FIRST_WINDOW_ROWS, most_rows), 0, 0, 0
        pieces: list[pa.RecordBatch] = []
        for block in replace(found, is_first_missing=self.texts).missing_texts(con, stage, READ_ROWS):
            bytes_of = _bytes_of(block)
            tokens_of = bytes_of if spec.long_text == "windows" else np.minimum(bytes_of, spec.max_length)
            start = 0
            while start < block.num_rows:
                until = min(start + size - held, block.num_rows)
                is_full = (held_tokens + np.cumsum(tokens_of[start:until]) >= WINDOW_TOKENS) | (
                    held_bytes + np.cumsum(bytes_of[start:until]) >= TEXT_BYTES
                )
                stop = start + int(is_full.argmax()) + 1 if is_full.any() else until
                pieces.append(block.slice(start, stop - start))
                held += stop - start
                held_tokens += int(tokens_of[start:stop].sum())
                held_bytes += int(bytes_of[start:stop].sum())
                if is_full.any() or held == size:
                    yield from _wanted(pieces, found)
                    size, held, held_tokens, held_bytes, pieces = min(2 * size, most_rows), 0, 0, 0, []
                start = stop
        yield from _wanted(pieces, found)


def tokenized(
    stage: Stage,
    found: Lookup,
    widest: int,
    encoder: Encoder,
    pace: Pace,
    clock: Stopwatch,
    fixed: FixedWindows | None,
    told: Progress,
) -> Iterator[Window]:
    """The missing texts that were ``found``, tokenized; in fixed windows, with others that are stored.

    ``widest`` is the size in bytes of the longest of them. ``told`` hears how many are tokenized.
    """
    done, of = 0, int(found.is_first_missing.sum()) if fixed is None else int(fixed.texts.sum())
    read_rows = max(1, min(READ_ROWS, pace.window_rows, READ_BYTES // max(widest, 1)))

    def tokens_of(batch: pa.RecordBatch) -> Tokens:
        nonlocal done
        with clock("tokenize"):
            pairs = batch.column("pair").to_pylist() if stage.pair_column else None
            tokens = encoder.tokenize(batch.column("text").to_pylist(), pairs)
        done += batch.num_rows
        told("tokenizing", min(done, of), of)
        return tokens

    with stage.con.cursor() as cursor:  # a result that is still being read would block the connection
        if fixed:
            for table, wanted in fixed.blocks(cursor, stage, found, encoder.spec, pace.most_rows):
                tokens = [tokens_of(batch) for batch in table.to_batches(max_chunksize=read_rows)]
                yield Window(table.column("key").combine_chunks(), Tokens.concatenate(tokens), wanted)
            return
        keys: list[pa.Array] = []
        tokens: list[Tokens] = []
        rows = held = 0
        for block in found.missing_texts(cursor, stage, READ_ROWS):
            for start in range(0, block.num_rows, read_rows):
                batch = block.slice(start, read_rows)
                tokens.append(tokens_of(batch))
                keys.append(batch.column("key"))
                rows += batch.num_rows
                held += len(tokens[-1].ids)
                if rows >= pace.window_rows or held >= WINDOW_TOKENS:
                    yield _window(keys, tokens)
                    keys, tokens, rows, held = [], [], 0, 0
        if rows:
            yield _window(keys, tokens)


def _window(keys: list[pa.Array], tokens: list[Tokens]) -> Window:
    joined = Tokens.concatenate(tokens)
    return Window(pa.concat_arrays(keys), joined, np.ones(len(joined), np.bool_))


def _wanted(pieces: list[pa.RecordBatch], found: Lookup) -> Iterator[tuple[pa.Table, np.ndarray]]:
    if pieces:
        window = pa.Table.from_batches(pieces)
        wanted = found.is_first_missing[window.column("id").to_numpy()]
        if wanted.any():
            yield window, wanted


def _bytes_of(block: pa.RecordBatch) -> np.ndarray:
    """Bytes of each text, or of both texts of each pair, int64 [n]."""
    total = np.zeros(block.num_rows, np.int64)
    for name in ("text", "pair"):
        total += pc.binary_length(block.column(name)).fill_null(0).to_numpy(zero_copy_only=False)
    return total
