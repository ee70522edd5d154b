"""Texts to token ids, kept as flat arrays: no Python object per row survives this module."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import tokenizers


@dataclass(frozen=True)
class TokenBatch:
    """A padded batch, as BERT takes it; three int64 arrays of shape [rows, length]."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    token_type_ids: np.ndarray

    def halves(self) -> "list[TokenBatch]":
        """The first and the second half of the rows."""
        half = len(self.input_ids) // 2
        arrays = (self.input_ids, self.attention_mask, self.token_type_ids)
        return [TokenBatch(*(a[:half] for a in arrays)), TokenBatch(*(a[half:] for a in arrays))]


@dataclass(frozen=True)
class Tokens:
    """Token sequences of many texts, concatenated: row i is ``ids[starts[i] : starts[i] + lengths[i]]``."""

    ids: np.ndarray
    """int32 [sum of lengths], special tokens included, truncated to max_length."""
    type_ids: np.ndarray
    """uint8, the shape of ids: 0 in the first segment, 1 in a pair's second."""
    lengths: np.ndarray
    """int32 [rows]"""
    n_tokens: np.ndarray
    """int32 [rows]: lengths before truncation."""
    pad_id: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def truncated(self) -> np.ndarray:
        """bool [rows]: whether tokens were cut off."""
        return self.n_tokens > self.lengths

    @property
    def starts(self) -> np.ndarray:
        """int64 [rows]: where each row begins in ``ids``."""
        return _starts(self.lengths)

    def batch(self, rows: np.ndarray) -> TokenBatch:
        """Rows (int64 [n]) padded on the right to the longest of them."""
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max(initial=0))
        inside = columns < lengths[:, None]
        index = np.where(inside, self.starts[rows][:, None] + columns, 0)
        return TokenBatch(
            np.where(inside, self.ids[index], self.pad_id).astype(np.int64),
            inside.astype(np.int64),
            np.where(inside, self.type_ids[index], 0).astype(np.int64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Tokens"]) -> "Tokens":
        """One set of rows out of several, in order."""
        names = ("ids", "type_ids", "lengths", "n_tokens")
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names), pad_id=parts[0].pad_id)


class Tokenizer:
    """A fast tokenizer with BERT-like special tokens, truncating to max_length.

    Truncation is done here, on arrays, because the number of tokens before it is wanted too; the
    result equals that of ``truncation="longest_first"`` in transformers, as a test checks.
    """

    def __init__(self, backend: tokenizers.Tokenizer, max_length: int, *, prefix: str = "", pad_id: int = 0):
        self._backend, self._max_length, self._prefix, self._pad_id = backend, max_length, prefix, pad_id
        backend.no_truncation()
        backend.no_padding()
        self._single = _Template.of(backend, pair=False)
        self._pair = _Template.of(backend, pair=True)

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Tokenize texts, or pairs of texts, on all cores."""
        first = self._ragged([self._prefix + text for text in texts] if self._prefix else texts)
        if pairs is None:
            return self._single.join([first], self._max_length, self._pad_id)
        return self._pair.join([first, self._ragged(pairs)], self._max_length, self._pad_id)

    def _ragged(self, texts: Sequence[str]) -> "_Ragged":
        # The library hands out a list per text; from here on they are one array.
        ids = [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return _Ragged(np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum())), lengths)


@dataclass(frozen=True)
class _Ragged:
    flat: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class _Template:
    """Special tokens before, between and after the segments, with the segment ids of all parts."""

    special: tuple[tuple[int, ...], ...]
    special_types: tuple[tuple[int, ...], ...]
    segment_types: tuple[int, ...]

    @classmethod
    def of(cls, backend: tokenizers.Tokenizer, *, pair: bool) -> "_Template":
        """Read the template off an encoded probe, whatever the tokenizer's post-processor is."""
        encoding = backend.encode("a", "a" if pair else None)
        sequences = encoding.sequence_ids
        special, types, segments, last = [[]], [[]], [], None
        for token, type_id, sequence in zip(encoding.ids, encoding.type_ids, sequences, strict=True):
            if sequence is None:
                special[-1].append(token)
                types[-1].append(type_id)
            elif sequence != last:
                segments.append(type_id)
                special.append([])
                types.append([])
                last = sequence
        return cls(tuple(map(tuple, special)), tuple(map(tuple, types)), tuple(segments))

    def join(self, segments: list[_Ragged], max_length: int, pad_id: int) -> Tokens:
        """Truncate the segments to fit, and put the special tokens around them."""
        special = sum(map(len, self.special))
        full = [s.lengths for s in segments]
        kept = _longest_first(full, max(max_length - special, 0))
        lengths = np.sum(kept, axis=0) + special
        ids = np.empty(int(lengths.sum()), np.int32)
        type_ids = np.empty(len(ids), np.uint8)
        cursor = _starts(lengths)
        for number, (tokens, types) in enumerate(zip(self.special, self.special_types, strict=True)):
            for token, type_id in zip(tokens, types, strict=True):
                ids[cursor], type_ids[cursor] = token, type_id
                cursor = cursor + 1
            if number < len(segments):
                inside = np.arange(int(kept[number].sum())) - np.repeat(_starts(kept[number]), kept[number])
                target = np.repeat(cursor, kept[number]) + inside
                ids[target] = segments[number].flat[np.repeat(_starts(full[number]), kept[number]) + inside]
                type_ids[target] = self.segment_types[number]
                cursor = cursor + kept[number]
        return Tokens(ids, type_ids, lengths.astype(np.int32), (np.sum(full, axis=0) + special).astype(np.int32), pad_id)


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths, dtype=np.int64) - lengths


def _longest_first(lengths: list[np.ndarray], room: int) -> list[np.ndarray]:
    """Lengths after truncation: the longer of a pair gives way first, then both share; the second gets the odd token."""
    if len(lengths) == 1:
        return [np.minimum(lengths[0], room)]
    first, second = lengths
    short, long = np.minimum(first, second), np.maximum(first, second)
    kept_long = np.where(short > room, short, np.maximum(short, room - short))
    share = short + kept_long > room
    kept_short = np.where(share, room // 2, short)
    kept_long = np.where(share, room // 2 + room % 2, kept_long)
    kept_long = np.minimum(kept_long, long)
    swapped = first > second
    return [np.where(swapped, kept_long, kept_short), np.where(swapped, kept_short, kept_long)]


def length_sorted_batches(lengths: np.ndarray, tokens_per_batch: int) -> Iterable[np.ndarray]:
    """Row numbers in batches of at most ``tokens_per_batch`` tokens, padding included, longest first.

    Every row is in exactly one batch; a row longer than the budget is a batch of its own. Longest
    first, so that a batch too large for the memory shows at once.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
        yield order[start : start + rows]
        start += rows
