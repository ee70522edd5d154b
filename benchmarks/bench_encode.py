"""Texts to features: enc against transformers and sentence-transformers.

The same model, texts, maximum length and threads for all; each contender is loaded and warmed up
before it is timed, and is timed with tokenization. Peers get their own best documented way: batches
of 32 sorted by length (sentence-transformers does so itself), no gradients, and their own exports;
those that need other releases of packages than enc run in processes of their own environments.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..engine import build_features, encode_texts, load_encoder
from ..engine.encode.devices import cpu_has_bf16, pick_device
from ..engine.encode.encoder import Encoder
from ..engine.encode.model_files import model_folder
from ..store import Source, SourceError
from ..store.duck import workspace
from ..store.stage import stage_source
from .encode_details import achieved, batch_sizes, stages
from .encode_peers import one_by_one, pipeline, sentence_transformers, static, timed
from .peer_worker import PEERS
from .peers import Peers
from .results import Measurement, Results, in_turn, machine
from .static_peer import HEAD, STATIC, head_accuracy, labels_of, static_encoder

BASELINE = "sentence-transformers encode"
HALF = "sentence-transformers encode, fp16"
SAVED = "sentence-transformers encode and np.save"
UNIT = "texts/s"
_ONE_BY_ONE_TEXTS = 200  # of the slowest contender; its rate does not depend on their number


def run(
    source: Source,
    *,
    model: str,
    max_length: int,
    texts: int,
    repetitions: int,
    say: Callable[[str], None],
    peer_pythons: Sequence[str] = (),
    int8_model: str | None = None,
    static_model: str | None = None,
    label_column: str | None = None,
    device: str | None = None,
) -> Results:
    """Measure all contenders that are installed on a random sample of the source's distinct texts.

    ``peer_pythons`` are interpreters of environments with peers that this one cannot have;
    ``int8_model`` is the folder that `enc calibrate --precision int8` made of the model, ``static_model``
    one of model2vec. ``device`` is ``cuda`` or ``cpu``; the GPU if there is one unless given. With
    ``label_column``, a head on the features of both is judged.
    """
    place, folder = pick_device(device), model_folder(model)
    on_gpu = place.startswith("cuda")
    sample = sample_texts(source, texts)
    ours = {
        f"enc {name}": load_encoder(model, pooling="mean", max_length=max_length, device=device, **options)
        for name, options in _OURS.items()
        if _available(options, on_gpu=on_gpu)
    }
    contenders: list[tuple[Measurement, Callable[[], float]]] = []

    def contend(name: str, make: Callable[[], Callable[[], float]]) -> Measurement:
        """Load and warm up a contender; one that cannot be loaded is reported as such."""
        measurement = Measurement(name, UNIT)
        try:
            contenders.append((measurement, make()))
        except Exception as error:  # a peer may fail in any way, and the others go on
            measurement.fail(error)
            contenders.append((measurement, lambda: 0.0))
            say(f"{name}: {measurement.problem}")
        else:
            say(f"loaded {name}")
        return measurement

    reference = encode_texts(
        load_encoder(model, pooling="mean", max_length=max_length, backend="torch", dtype="float32"), sample
    )
    for name, encoder in ours.items():
        measurement = contend(
            name, lambda encoder=encoder: lambda: timed(len(sample), lambda: encode_texts(encoder, sample))
        )
        measurement.remarks["cosine to fp32"] = f"{_cosine(encode_texts(encoder, sample), reference):.5f}"
    small = None
    if int8_model:  # another feature set, so that it is no choice for the rows below
        small = quantized = load_encoder(int8_model, max_length=max_length)
        measurement = contend(
            "enc openvino int8", lambda: lambda: timed(len(sample), lambda: encode_texts(quantized, sample))
        )
        measurement.remarks["cosine to fp32"] = f"{_cosine(encode_texts(small, sample), reference):.5f}"
    fastest = max(
        ours.values(), key=lambda encoder: timed(len(sample), lambda: encode_texts(encoder, sample))
    )
    tokens = fastest.tokenize(sample)
    batches = [tokens.batch(rows) for rows in tokens.batches(fastest.tokens_per_batch)]
    contend(
        "kernel alone, tokenized and packed before",
        lambda: lambda: timed(len(sample), lambda: list(fastest.encode(batches))),
    )
    stage_seconds: dict[str, float] = {}
    contend(
        "enc build-features, to the committed table", lambda: lambda: _built(sample, fastest, stage_seconds)
    )
    if static_model:
        contend(STATIC, lambda: static(static_model, sample))
    if label_column:
        _judge([one for one, _ in contenders], source, label_column, sample, reference, static_model)
    ways = {BASELINE: {}, **({HALF: {"half": True}} if on_gpu else {}), SAVED: {"save": True}}
    for name, options in ways.items():
        contend(
            name,
            lambda options=options: sentence_transformers(folder, sample, max_length, place, **options),
        )
    contend("transformers pipeline, batches of 32", lambda: pipeline(folder, sample, max_length, place))
    contend(
        "transformers, one text at a time",
        lambda: one_by_one(folder, sample[:_ONE_BY_ONE_TEXTS], max_length, place),
    )
    with Peers(model, sample, max_length, peer_pythons) as peers:
        for name in PEERS:
            measurement = contend(name, lambda name=name: peers.start(name))
            if not measurement.problem:
                measurement.remarks |= peers.remarks(name)
                measurement.remarks["cosine to fp32"] = f"{_cosine(peers.features(name), reference):.5f}"
        in_turn(contenders, repetitions, say)
    say("batch sizes")
    measured = {measurement.name: measurement.median for measurement, _ in contenders}
    every = {**ours, **({"enc openvino int8": small} if small else {})}
    details = {
        "batch_sizes": batch_sizes(every, sample),
        "stages": stages(stage_seconds),
        "roofline": achieved(folder, measured, every, sample),
    }
    settings = {
        "model": Path(model).name,  # names suffice, and a report may be shown to others
        "source": "a query" if source.query else " ".join(Path(file).name for file in source.files()),
        "texts": len(sample),
        "mean tokens": round(float(np.mean(next(iter(ours.values())).tokenize(sample).lengths)), 1),
        "max_length": max_length,
        "kernel and build-features with": fastest.title,
        "repetitions": repetitions,
    }
    return Results(
        "encode",
        BASELINE,
        settings,
        [measurement for measurement, _ in contenders],
        machine(("model2vec",)),
        details=details,
    )


_OURS: dict[str, dict[str, Any]] = {
    "torch fp32": {"backend": "torch", "precision": "fp32"},
    "torch bf16": {"backend": "torch", "precision": "bf16"},
    "torch fp16": {"backend": "torch", "precision": "fp16"},
    "onnx fp32": {"backend": "onnx", "precision": "fp32"},
    "openvino fp32": {"backend": "openvino", "precision": "fp32"},
    "openvino bf16": {"backend": "openvino", "precision": "bf16"},
}


def _available(options: dict[str, str], *, on_gpu: bool) -> bool:
    if options["backend"] == "openvino" and on_gpu:
        return False
    has = {"fp32": True, "bf16": on_gpu or cpu_has_bf16(), "fp16": on_gpu}
    return find_spec(options["backend"]) is not None and has[options["precision"]]


def sample_texts(source: Source, texts: int) -> list[str]:
    """A random sample of a source's distinct texts, the same one every time. Raises SourceError for none."""
    with workspace() as con:
        stage = stage_source(con, source)
        distinct = f"SELECT DISTINCT text FROM {stage.name} WHERE key IS NOT NULL"
        rows = con.sql(f"SELECT text FROM ({distinct}) ORDER BY md5(text) LIMIT {texts}").fetchall()
    if not rows:
        raise SourceError(f"{source.title} has no text to measure on")
    return [row[0] for row in rows]


def _built(sample: list[str], encoder: Encoder, seconds: dict[str, float]) -> float:
    """Rate of a whole build; its seconds by stage are put into ``seconds``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(tempfile.mkdtemp())
    try:
        pq.write_table(pa.table({"text": sample}), folder / "texts.parquet")
        source = Source(folder / "texts.parquet")
        return timed(
            len(sample), lambda: seconds.update(build_features(source, folder / "store", encoder).seconds)
        )
    finally:
        shutil.rmtree(folder)


def _judge(
    measurements: Sequence[Measurement],
    source: Source,
    label_column: str,
    sample: list[str],
    reference: np.ndarray,
    static_model: str | None,
) -> None:
    """Put the accuracy of heads into the remarks of the first contender and of model2vec."""
    labels = labels_of(source, label_column, sample)
    measurements[0].remarks[HEAD] = f"{head_accuracy(reference, labels):.4f}"
    for measurement in measurements:
        if static_model and measurement.name == STATIC and not measurement.problem:
            accuracy = head_accuracy(static_encoder(static_model)(sample), labels)
            measurement.remarks[HEAD] = f"{accuracy:.4f}"


def _cosine(features: np.ndarray, reference: np.ndarray) -> float:
    a, b = features.astype(np.float64), reference.astype(np.float64)
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))
