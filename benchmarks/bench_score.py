"""Scoring files of rows: known texts against copying the file, new texts against the usual libraries.

Known texts: a Parquet file whose texts are all in the store is scored by a linear head. The floor is what
reads the file and writes it again, which any scoring does; pyarrow does it here, with all its threads.

New texts: nothing is in a store. All contenders read the same Parquet file, classify its texts with the
same weights and threads, and write a file with the predictions; models are loaded and warmed up before.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..engine import Head, Labels, load_classifier, load_encoder, score_parquet
from ..engine.encode.encoder import Encoder
from ..engine.encode.facts import quiet
from ..engine.encode.model_files import model_folder
from ..store import FeatureSpec, FeatureTable, Source, plan
from .bench_encode import sample_texts
from .random_features import HIDDEN
from .results import Measurement, Results, in_turn, machine

COPY = "copy of the file by pyarrow"
PIPELINE = "transformers pipeline, batches of 32"
_BLOCK_ROWS = 50_000


def run_known(*, rows: int, repetitions: int, say: Callable[[str], None]) -> Results:
    """Score a file of known texts, and copy it."""
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as name:
        folder = Path(name)
        say(f"writing {rows:,} rows and their features")
        head = write_known(folder, rows)
        path, out = folder / "rows.parquet", folder / "out.parquet"

        def copy() -> float:
            started = time.perf_counter()
            pq.write_table(pq.read_table(path), out)
            return time.perf_counter() - started

        def score() -> float:
            started = time.perf_counter()
            summary = score_parquet(path, out, head, folder / "store", overwrite=True)
            seconds = time.perf_counter() - started
            if (summary.scored, summary.encoded) != (rows, 0):
                raise AssertionError(f"scored {summary.scored:,}, encoded {summary.encoded:,}")
            return seconds

        copy()
        score()  # the files are in the page cache from here on
        contenders = [
            (Measurement(COPY, "s"), copy),
            (Measurement("enc score", "s", remarks={"target": "3x"}), score),
        ]
        in_turn(contenders, repetitions, say)
    settings = {
        "rows": rows,
        "features": f"{HIDDEN} float16",
        "head": "linear, 2 labels",
        "repetitions": repetitions,
    }
    measurements = [measurement for measurement, _ in contenders]
    return Results("score, known texts", COPY, settings, measurements, machine(), less_is_better=True)


def write_known(folder: Path, rows: int) -> Head:
    """Write rows.parquet and a store with features of its texts; returns a linear head on these."""
    digest = "0" * 64
    spec = FeatureSpec(
        "random", digest, digest, hidden_size=HIDDEN, layers=(1,), pooling=("mean",), max_length=128
    )
    table, rng = FeatureTable.create(folder / "store" / "random", spec), np.random.default_rng(0)
    text = "'The room ' || i || ' was clean, the staff ' || hash(i) || ' friendly, and breakfast was good.'"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT i AS id, {text} AS text, hash(i) % 2 AS label FROM range({rows}) r(i)) "
            f"TO {plan.literal(str(folder / 'rows.parquet'))} (FORMAT parquet, COMPRESSION snappy)"
        )
        with table.writer() as writer:
            for start in range(0, rows, _BLOCK_ROWS):
                size = min(_BLOCK_ROWS, rows - start)
                keys = con.sql(
                    f"SELECT {plan.key_sql(text)} AS key FROM range({start}, {start + size}) r(i)"
                ).to_arrow_table()
                features = rng.standard_normal((size, HIDDEN), dtype=np.float32).astype(np.float16)
                key = keys.column(0).combine_chunks().cast(pa.binary(32))
                writer.write(key, np.full(size, 20, np.int32), np.zeros(size, bool), features)
    weights = {
        "head.fc1.weight": rng.standard_normal((2, HIDDEN), dtype=np.float32),
        "head.fc1.bias": np.zeros(2, np.float32),
        "mean": np.zeros(HIDDEN, np.float32),
        "scale": np.ones(HIDDEN, np.float32),
    }
    return Head("linear", Labels((0, 1)), spec, weights, "random", "text")


def run_new(
    source: Source,
    *,
    model: str,
    texts: int,
    max_length: int,
    repetitions: int,
    say: Callable[[str], None],
) -> Results:
    """Score new texts by a fine-tuned model, and by a linear head on mean features, in several ways."""
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as name:
        folder = Path(name)
        sample = sample_texts(source, texts)
        pq.write_table(pa.table({"text": sample}), folder / "rows.parquet")
        tuned = _classifier(model, folder / "tuned", max_length)
        contenders: list[tuple[Measurement, Callable[[], float]]] = []
        predictions: dict[str, list[Any]] = {}

        def contend(name: str, make: Callable[[], Callable[[], list[Any]]], like: str) -> None:
            """Load a contender and run it once; ``like`` is the one whose predictions it should have."""
            measurement = Measurement(name, "texts/s")
            contenders.append((measurement, lambda: 0.0))
            try:
                classify = make()
                predictions[name] = classify()
            except Exception as error:  # a peer may fail in any way, and the others go on
                measurement.fail(error)
                return
            same = np.mean([a == b for a, b in zip(predictions[name], predictions[like], strict=True)])
            measurement.remarks["same predictions"] = f"{same:.4f}"
            contenders[-1] = (measurement, lambda: _rate(len(sample), classify))
            say(f"loaded {name}")

        contend(PIPELINE, lambda: _pipeline(tuned, folder, max_length), PIPELINE)
        contend("enc score, the same model", lambda: _enc(load_classifier(tuned), tuned, folder), PIPELINE)
        peer = "sentence-transformers and scikit-learn"
        parts: dict[str, Any] = {}
        contend(peer, lambda: _sklearn(model_folder(model), folder, max_length, parts), peer)
        contend(
            "enc score, the same head", lambda: _enc(_head(model, max_length, parts), model, folder), peer
        )
        in_turn(contenders, repetitions, say)
    settings = {
        "model": Path(model).name, "texts": len(sample), "max_length": max_length, "repetitions": repetitions,
    }  # fmt: skip
    measurements = [measurement for measurement, _ in contenders]
    packages = ("scikit-learn",)
    return Results("score, new texts", PIPELINE, settings, measurements, machine(packages))


def _rate(texts: int, classify: Callable[[], list[Any]]) -> float:
    started = time.perf_counter()
    classify()
    return texts / (time.perf_counter() - started)


def _classifier(model: str, folder: Path, max_length: int) -> Path:
    """A model for sequence classification whose classifier is random: its speed is that of a trained one."""
    import torch
    import transformers

    torch.manual_seed(0)
    with quiet():
        source = model_folder(model)
        network = transformers.AutoModelForSequenceClassification.from_pretrained(source, num_labels=2)
        torch.nn.init.normal_(network.classifier.weight)
        network.save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        tokenizer.model_max_length = max_length
        tokenizer.save_pretrained(folder)
    return folder


def _write(folder: Path, predictions: list[Any]) -> None:
    table = pq.read_table(folder / "rows.parquet").append_column("prediction", pa.array(predictions))
    pq.write_table(table, folder / "peer.parquet")


def _by_length(folder: Path) -> tuple[list[str], list[int]]:
    """The texts, the longest first, and the position of each in the file."""
    texts = pq.read_table(folder / "rows.parquet").column("text").to_pylist()
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    return [texts[i] for i in order], order


def _pipeline(tuned: Path, folder: Path, max_length: int) -> Callable[[], list[Any]]:
    import transformers

    with quiet():
        classify = transformers.pipeline(
            "text-classification", model=str(tuned), device="cpu", batch_size=32, truncation=True,
            max_length=max_length,
        )  # fmt: skip

    def run() -> list[Any]:
        texts, order = _by_length(folder)
        found: list[Any] = [None] * len(texts)
        for i, answer in zip(order, classify(texts), strict=True):
            found[i] = answer["label"]
        _write(folder, found)
        return found

    return run


def _enc(head: Head, model: str | Path, folder: Path) -> Callable[[], list[Any]]:
    encoder: list[Encoder] = []

    def load(spec: FeatureSpec) -> Encoder:
        if not encoder:
            encoder.append(load_encoder(str(model), **spec.setting))
        return encoder[0]

    def run() -> list[Any]:
        score_parquet(folder / "rows.parquet", folder / "enc.parquet", head, load=load, overwrite=True)
        return pq.read_table(folder / "enc.parquet").column("prediction").to_pylist()

    return run


def _sklearn(model: Path, folder: Path, max_length: int, parts: dict[str, Any]) -> Callable[[], list[Any]]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from sklearn.linear_model import LogisticRegression

    with quiet():
        transformer = Transformer(str(model), max_seq_length=max_length)
        pooling = Pooling(transformer.get_embedding_dimension(), "mean")
        network = SentenceTransformer(modules=[transformer, pooling], device="cpu")

    def encode() -> np.ndarray:
        texts = pq.read_table(folder / "rows.parquet").column("text").to_pylist()
        return network.encode(texts, show_progress_bar=False)

    features = encode()
    labels = np.random.default_rng(0).integers(0, 2, len(features))
    regression = LogisticRegression(max_iter=1000).fit(features, labels)
    parts["regression"] = regression

    def run() -> list[Any]:
        found = regression.predict(encode()).tolist()
        _write(folder, found)
        return found

    return run


def _head(model: str, max_length: int, parts: dict[str, Any]) -> Head:
    """scikit-learn's regression as a head."""
    regression = parts["regression"]
    spec = load_encoder(model, max_length=max_length, pooling="mean").spec
    weight = regression.coef_.astype(np.float32)
    bias = regression.intercept_.astype(np.float32)
    weights = {
        "head.fc1.weight": np.concatenate([np.zeros_like(weight), weight]),
        "head.fc1.bias": np.concatenate([np.zeros_like(bias), bias]),
        "mean": np.zeros(spec.hidden_size, np.float32),
        "scale": np.ones(spec.hidden_size, np.float32),
    }
    return Head("linear", Labels((0, 1)), spec, weights, "bench", "text")
