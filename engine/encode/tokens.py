"""Texts to token ids, kept as flat arrays: no Python object per row survives this module."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ...store import FeatureSpec, SpecError

if TYPE_CHECKING:
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
class Padding:
    """How sequences of different lengths become one array."""

    pad_id: int = 0
    left: bool = False
    to: int = 0
    """Length to pad to at least; 0: to the longest of the batch."""
    masked: bool = True
    """Whether attention_mask is 0 at padding."""


@dataclass(frozen=True)
class Tokens:
    """Token sequences of many texts, concatenated: sequence i is ``ids[starts[i] : starts[i] + lengths[i]]``.

    A text is one sequence, or several in a row where long texts are encoded in windows.
    """

    ids: np.ndarray
    """int32 [sum of lengths], special tokens included, truncated to max_length."""
    type_ids: np.ndarray
    """uint8, the shape of ids: 0 in the first segment, 1 in a pair's second."""
    lengths: np.ndarray
    """int32 [sequences]"""
    n_tokens: np.ndarray
    """int32 [texts]: the whole text's, before truncation."""
    truncated: np.ndarray
    """bool [texts]: whether a part of the text is in no sequence."""
    owners: np.ndarray
    """int64 [sequences]: the text that each belongs to, ascending."""
    padding: Padding = Padding()

    def __len__(self) -> int:
        return len(self.n_tokens)

    @property
    def starts(self) -> np.ndarray:
        """int64 [sequences]: where each begins in ``ids``."""
        return _starts(self.lengths)

    def batches(self, tokens_per_batch: int) -> list[np.ndarray]:
        """Sequence numbers in batches of like length; see :func:`length_sorted_batches`."""
        return length_sorted_batches(np.maximum(self.lengths, self.padding.to), tokens_per_batch)

    def batch(self, sequences: np.ndarray) -> TokenBatch:
        """Sequences (int64 [n]) as one padded batch."""
        lengths, padding = self.lengths[sequences], self.padding
        width = max(int(lengths.max(initial=0)), padding.to)
        columns = np.arange(width) - (width - lengths[:, None] if padding.left else 0)
        inside = (columns >= 0) & (columns < lengths[:, None])
        index = np.where(inside, self.starts[sequences][:, None] + columns, 0)
        return TokenBatch(
            np.where(inside, self.ids[index], padding.pad_id).astype(np.int64),
            inside.astype(np.int64) if padding.masked else np.ones(inside.shape, np.int64),
            np.where(inside, self.type_ids[index], 0).astype(np.int64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Tokens"]) -> "Tokens":
        """One set of texts out of several, in order."""
        names = ("ids", "type_ids", "lengths", "n_tokens", "truncated")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        before = np.cumsum([0, *map(len, parts)])
        owners = np.concatenate([part.owners + start for part, start in zip(parts, before, strict=False)])
        return cls(**joined, owners=owners, padding=parts[0].padding)


class Tokenizer:
    """A fast tokenizer with BERT-like special tokens, cutting texts as a setting says.

    Truncation is done here, on arrays, because the number of tokens before it is wanted too; the
    result equals that of ``truncation="longest_first"`` in transformers, as a test checks.
    """

    def __init__(self, backend: "tokenizers.Tokenizer", spec: FeatureSpec, *, pad_id: int = 0):
        self.backend, self._spec = backend, spec
        backend.no_truncation()
        backend.no_padding()
        if spec.lowercase:
            _put_in_lower_case(backend)
        left = spec.padding_side == "left"
        # Positions count from the left, and padding that is attended to is input like any other: both
        # must not depend on the rest of a batch.
        fixed = left or not spec.attention_mask
        self.padding = Padding(
            pad_id if spec.attention_mask else 0,
            left,
            to=spec.max_length if fixed else 0,
            masked=spec.attention_mask,
        )
        self._single, self._pair = (
            _Template.of(backend, pair=pair, special=spec.special_tokens) for pair in (False, True)
        )

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Tokenize texts, or pairs of texts, on all cores. Raises SpecError for pairs in windows."""
        spec = self._spec
        segments = [self._ragged(texts, spec.prefix)]
        template = self._single
        if pairs is not None:
            if spec.long_text == "windows":
                raise SpecError(
                    "long_text 'windows' is for single texts, not for pairs; leave it at truncate"
                )
            segments.append(self._ragged(pairs, ""))
            template = self._pair
        room = max(spec.max_length - template.size, 0)
        if spec.long_text == "windows":
            cuts = [_windows(segments[0], room, room - spec.stride)]
        else:
            cuts = _truncated(segments, room, from_left=self.padding.left)
        ids, type_ids, lengths = template.join(segments, cuts)
        n_tokens = np.sum([segment.lengths for segment in segments], axis=0) + template.size
        cut = n_tokens > lengths if spec.long_text == "truncate" else np.zeros(len(n_tokens), bool)
        if spec.first_characters:
            cut |= np.fromiter((len(text) > spec.first_characters for text in texts), bool, len(texts))
        return Tokens(ids, type_ids, lengths, n_tokens.astype(np.int32), cut, cuts[0].owners, self.padding)

    def _ragged(self, texts: Sequence[str], prefix: str) -> "_Ragged":
        kept = self._spec.first_characters or None
        texts = [prefix + text[:kept] for text in texts] if prefix or kept else list(texts)
        # The library hands out a list per text; from here on they are one array.
        ids = [encoding.ids for encoding in self.backend.encode_batch_fast(texts, add_special_tokens=False)]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return _Ragged(np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum())), lengths)


@dataclass(frozen=True)
class _Ragged:
    flat: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class _Cut:
    """What is taken of a segment for each sequence; three int64 arrays [sequences]."""

    starts: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray


def _truncated(segments: list[_Ragged], room: int, *, from_left: bool) -> list[_Cut]:
    """One sequence a text: as much of its segments as there is room for."""
    kept = _longest_first([segment.lengths for segment in segments], room)
    owners = np.arange(len(segments[0].lengths))
    return [
        _Cut(_starts(segment.lengths) + (segment.lengths - lengths if from_left else 0), lengths, owners)
        for segment, lengths in zip(segments, kept, strict=True)
    ]


def _windows(segment: _Ragged, room: int, step: int) -> _Cut:
    """As many sequences a text as it takes to cover it, each ``step`` tokens after the one before."""
    counts = 1 + np.maximum(0, -((room - segment.lengths) // step))
    owners = np.repeat(np.arange(len(counts)), counts)
    offsets = (np.arange(len(owners)) - np.repeat(_starts(counts), counts)) * step
    return _Cut(
        _starts(segment.lengths)[owners] + offsets,
        np.minimum(segment.lengths[owners] - offsets, room),
        owners,
    )


@dataclass(frozen=True)
class _Template:
    """Special tokens before, between and after the segments, with the segment ids of all parts."""

    special: tuple[tuple[int, ...], ...]
    special_types: tuple[tuple[int, ...], ...]
    segment_types: tuple[int, ...]

    @classmethod
    def of(cls, backend: "tokenizers.Tokenizer", *, pair: bool, special: bool = True) -> "_Template":
        """Read the template off an encoded probe, whatever the tokenizer's post-processor is."""
        encoding = backend.encode("a", "a" if pair else None)
        sequences = encoding.sequence_ids
        tokens, types, segments, last = [[]], [[]], [], None
        for token, type_id, sequence in zip(encoding.ids, encoding.type_ids, sequences, strict=True):
            if sequence is None:
                tokens[-1] += [token] * special
                types[-1] += [type_id] * special
            elif sequence != last:
                segments.append(type_id)
                tokens.append([])
                types.append([])
                last = sequence
        return cls(tuple(map(tuple, tokens)), tuple(map(tuple, types)), tuple(segments))

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return sum(map(len, self.special))

    def join(self, segments: list[_Ragged], cuts: list[_Cut]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids (int32), segment ids (uint8) and lengths (int32) of the cut segments with special tokens around
        them.
        """
        lengths = np.sum([cut.lengths for cut in cuts], axis=0) + self.size
        ids = np.empty(int(lengths.sum()), np.int32)
        type_ids = np.empty(len(ids), np.uint8)
        cursor = _starts(lengths)
        for number, (tokens, types) in enumerate(zip(self.special, self.special_types, strict=True)):
            for token, type_id in zip(tokens, types, strict=True):
                ids[cursor], type_ids[cursor] = token, type_id
                cursor = cursor + 1
            if number < len(segments):
                cut = cuts[number]
                inside = np.arange(int(cut.lengths.sum())) - np.repeat(_starts(cut.lengths), cut.lengths)
                target = np.repeat(cursor, cut.lengths) + inside
                ids[target] = segments[number].flat[np.repeat(cut.starts, cut.lengths) + inside]
                type_ids[target] = self.segment_types[number]
                cursor = cursor + cut.lengths
        return ids, type_ids, lengths.astype(np.int32)


def _put_in_lower_case(backend: "tokenizers.Tokenizer") -> None:
    """Let the tokenizer put a text in lower case before all else, as sentence-transformers does."""
    from tokenizers import normalizers

    own = backend.normalizer
    lower = normalizers.Lowercase()
    backend.normalizer = normalizers.Sequence([lower, own] if own is not None else [lower])


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths, dtype=np.int64) - lengths


def _longest_first(lengths: list[np.ndarray], room: int) -> list[np.ndarray]:
    """Lengths after truncation: the longer of a pair gives way first, then both share; the second gets the
    odd token.
    """
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


def length_sorted_batches(lengths: np.ndarray, tokens_per_batch: int) -> list[np.ndarray]:
    """Row numbers in batches of at most ``tokens_per_batch`` tokens, padding included, longest first.

    Every row is in exactly one batch; a row longer than the budget is a batch of its own. Longest
    first, so that a batch too large for the memory shows at once.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches
