"""The ways to encode, measured on texts of the user's: how fast each is, and how near to float32.

All candidates are measured in turn, round by round, so that what else the machine does meets them
alike. Where the rounds of one candidate differ much, the machine is busy, and the figures are worth
no more than the moment.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

from ...store import ModelError, Source, SourceError
from ...store.duck import workspace
from ...store.progress import counted, tell
from ...store.stage import stage_source
from ..encode.checkpoint import Checkpoint
from ..encode.encoder import Backend
from ..encode.tokens import TokenBatch, Tokens, length_sorted_batches
from .candidates import Candidate
from .registry import make_backend

MIN_COSINE = 0.9999
"""Mean cosine to float32 below which a backend is not of the precision class ``full``."""
ROUNDS = 3
SECONDS_A_ROUND = 0.2
MOST_SECONDS = 10.0
"""No further round is begun after this time: on a very busy machine a single batch takes long."""
STEADY = 1.5
"""A candidate's fastest round over its slowest; more means that the machine is busy."""
SAMPLE_TEXTS = 512
COMPARED_TEXTS = 24


@dataclass(frozen=True)
class Measured:
    """What was measured of the candidates."""

    candidates: list[Candidate]
    """In the order in which they were given."""
    is_steady: bool
    """Whether each candidate was about as fast in all rounds."""

    @property
    def best(self) -> Candidate | None:
        """The fastest candidate whose features can be used."""
        usable = [c for c in self.candidates if not c.problem]
        return max(usable, key=lambda c: c.texts_per_second, default=None)


def measure(checkpoint: Checkpoint, device: str, sample: Tokens, chosen: Sequence[Candidate]) -> Measured:
    """Rate of each candidate on the sample, and its cosine to float32 on torch."""
    started = time.monotonic()
    results = list(chosen)
    backends: dict[int, Backend] = {}
    for number, candidate in enumerate(counted(chosen, "measuring", 0, len(chosen) + ROUNDS)):
        try:
            backend = make_backend(candidate.backend, checkpoint, candidate.precision, device)
            results[number] = compared(backend, candidate, checkpoint, device, sample)
            backends[number] = backend
        except ModelError as error:
            results[number] = replace(candidate, problem=str(error))
    rates: dict[int, list[float]] = {number: [] for number in backends}
    for round_number in counted(range(ROUNDS), "measuring", len(chosen), len(chosen) + ROUNDS):
        if round_number and time.monotonic() - started > MOST_SECONDS:
            break
        for number, backend in backends.items():
            rates[number].append(rate(backend, sample, backend.tokens_per_batch))
    tell("measuring", len(chosen) + ROUNDS, len(chosen) + ROUNDS)
    for number, figures in rates.items():
        results[number] = replace(results[number], texts_per_second=round(float(np.median(figures)), 1))
    best = Measured(results, True).best
    if best is not None:
        number = results.index(best)
        results[number] = _with_best_batch_size(backends[number], best, sample)
    return Measured(results, is_steady=all(max(r) <= STEADY * min(r) for r in rates.values()))


def _with_best_batch_size(backend: Backend, candidate: Candidate, sample: Tokens) -> Candidate:
    """Half and twice the batch size are tried as well, for the winner only."""
    best = candidate
    for budget in (candidate.tokens_per_batch // 2, candidate.tokens_per_batch * 2):
        figures = [rate(backend, sample, budget) for _ in range(ROUNDS)]
        speed = round(float(np.median(figures)), 1)
        if speed > best.texts_per_second:
            best = replace(best, tokens_per_batch=budget, texts_per_second=speed)
    return best


def measure_int8(checkpoint: Checkpoint, full: Checkpoint, sample: Tokens) -> Candidate:
    """Rate of a quantized model on the sample, and its cosine to the full model in float32 on torch."""
    backend = make_backend("openvino", checkpoint, "int8", "cpu")
    result = compared(backend, Candidate("openvino", "int8"), full, "cpu", sample)
    figures = [rate(backend, sample, backend.tokens_per_batch) for _ in range(ROUNDS)]
    return replace(result, texts_per_second=round(float(np.median(figures)), 1))


def compared(
    backend: Backend, candidate: Candidate, checkpoint: Checkpoint, device: str, sample: Tokens
) -> Candidate:
    """The candidate with its cosine to float32 on torch, and with a problem where that is too low."""
    batch = sample.batch(_rows(sample)[:COMPARED_TEXTS])
    reference = next(iter(make_backend("torch", checkpoint, "fp32", device).run([batch])))
    features = next(iter(backend.run([batch])))  # also the warm-up
    cosine = round(float(np.mean(cosines(features, reference))), 6)
    is_full = candidate.precision == "int8" or cosine >= MIN_COSINE
    problem = "" if is_full else f"features differ from float32 (cosine {cosine:.5f})"
    return replace(candidate, tokens_per_batch=backend.tokens_per_batch, cosine=cosine, problem=problem)


def _rows(sample: Tokens) -> np.ndarray:
    """Sequences to measure on."""
    return np.sort(np.random.default_rng(0).permutation(len(sample.lengths))[:SAMPLE_TEXTS])


def sample_of(checkpoint: Checkpoint, source: Source) -> Tokens:
    """A random sample of a source's texts, tokenized. Raises SourceError if it has none."""
    with workspace() as con:
        stage = stage_source(con, source)
        rows = con.sql(
            f"SELECT text, pair FROM {stage.name} WHERE key IS NOT NULL "
            f"USING SAMPLE {SAMPLE_TEXTS} ROWS (reservoir, 0)"
        ).fetchall()
    if not rows:
        raise SourceError(f"{source.title} has no text to measure on")
    pairs = [pair for _, pair in rows] if stage.pair_column else None
    return checkpoint.tokenize([text for text, _ in rows], pairs)


def cosines(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine, float64 [rows], of each row's features with the reference's, all dimensions taken together."""
    a, b = (array.reshape(len(array), -1).astype(np.float64) for array in (features, reference))
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


def rate(
    backend: Backend,
    sample: Tokens,
    budget: int,
    *,
    rows: np.ndarray | None = None,
    seconds: float | None = None,
) -> float:
    """Texts a second over batches drawn evenly from the sample's lengths.

    ``rows`` int64 are the sequences to draw from, else SAMPLE_TEXTS of the sample's. It takes about
    ``seconds``, or SECONDS_A_ROUND, and one batch at least.
    """
    seconds = SECONDS_A_ROUND if seconds is None else seconds
    rows = _rows(sample) if rows is None else rows
    lengths = np.maximum(sample.lengths[rows], sample.padding.to)
    batches = [rows[b] for b in length_sorted_batches(lengths, budget)]
    order = np.random.default_rng(0).permutation(len(batches))
    started, done = time.perf_counter(), 0

    def drawn() -> Iterator[TokenBatch]:
        """As many as there is time for; a backend with several in flight has its due."""
        for given, number in enumerate(cycle(order)):
            if given and time.perf_counter() - started >= seconds:
                return
            yield sample.batch(batches[number])

    for features in backend.run(drawn()):
        done += len(features)
    return done / (time.perf_counter() - started)
