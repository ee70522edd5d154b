"""What a report tells of encoding beside rates: batch sizes, padding, stages, and the work that was done."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine.encode.encoder import Encoder
from .bench_roofline import config_of, points, work_of

BATCH_SIZES = (512, 1024, 2048, 4096, 8192)
_TEXTS = 256


def batch_sizes(encoders: Mapping[str, Encoder], sample: Sequence[str]) -> list[dict[str, Any]]:
    """Rate in texts/s and padding, a part of all tokens, by contender and tokens in a batch, once each."""
    texts, found = list(sample[:_TEXTS]), []
    for name, encoder in encoders.items():
        tokens = encoder.tokenize(texts)
        for size in BATCH_SIZES:
            batches = [tokens.batch(rows) for rows in tokens.batches(size)]
            computed = sum(batch.input_ids.size for batch in batches)
            started = time.perf_counter()
            for _ in encoder.encode(batches):
                pass
            rate = len(texts) / (time.perf_counter() - started)
            padding = 1 - int(tokens.lengths.sum()) / computed
            found.append({"name": name, "tokens_per_batch": size, "rate": rate, "padding": padding})
    return found


def stages(seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Seconds by stage of a build, as :class:`engine.encode.build.BuildSummary` has them."""
    names = ("stage", "wait", "prepare", "encode", "write")  # tokenizing runs beside the encoder
    return [{"stage": name, "seconds": seconds[name]} for name in names if name in seconds]


def achieved(
    folder: Path, rates: Mapping[str, float], encoders: Mapping[str, Encoder], sample: Sequence[str]
) -> list[dict[str, Any]]:
    """See :func:`benchmarks.bench_roofline.points`; nothing for a model whose sizes are not known."""
    work = work_of(config_of(folder))
    if work is None:
        return []
    lengths = next(iter(encoders.values())).tokenize(list(sample)).lengths.tolist()
    sizes = {name: encoder.tokens_per_batch for name, encoder in encoders.items()}
    return points(work, {name: rates[name] for name in encoders if name in rates}, lengths, sizes)
