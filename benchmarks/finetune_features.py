"""The jobs of fine-tuning that train on stored features: the best linear head, and heads of upper layers.

Each of them encodes its own texts, into a store of its own.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import AutoConfig

from ..engine import Fraction, Head, SolveConfig, TrainConfig, build_features, fine_tune, load_encoder
from ..engine.encode.checkpoint import checkpoint_of
from ..engine.encode.facts import quiet
from ..engine.encode.model_files import model_folder
from ..engine.finetune.options import FineTuneOptions
from ..engine.finetune.text_sets import FineTuneData, read_sets
from ..engine.train.examples import TrainData, load_examples
from ..engine.train.fit import fit
from ..engine.train.solve import solve
from ..store import Source, SourceError, Store
from ..store.duck import workspace
from ..store.parts import select_parts

_HELD_OUT = 0.2


@dataclass(frozen=True)
class Rows:
    """The rows of a job by set, read before it begins."""

    texts: dict[str, list[list[str]]]
    """The first and, of pairs, the second texts."""
    data: FineTuneData
    """The sets with their targets."""

    def source(self, name: str, folder: Path) -> Source:
        """A file of a set's rows, those and no others, whose labels are the numbers of the classes."""
        columns = dict(zip(("text", "pair"), self.texts[name], strict=False))
        path = folder / f"{name}.parquet"
        pq.write_table(pa.table({**columns, "label": self.data.sets[name].targets}), path)
        return Source(path, text_column="text", pair_column="pair" if self.data.pair_column else None)

    def sources(self, folder: Path) -> tuple[Source, Source]:
        """Files of the training and of the validation rows."""
        return self.source("train", folder), self.source("validation", folder)

    @property
    def task(self) -> str:
        """The kind of task, as heads name it."""
        return "single-label" if self.data.classes.names else "regression"

    def figures(self, head: Head, data: TrainData) -> dict[str, float]:
        """The metrics of a head on the validation rows."""
        targets = data.valid.targets
        outputs = np.concatenate([head.outputs(block) for block in data.valid.features.blocks(4096)])
        if self.data.classes.names:  # the head has numbered its labels in its own order
            order = np.array(head.labels.values)
            targets, outputs = order[targets], outputs[:, np.argsort(order)]
        return self.data.classes.computed(outputs, targets)


def read_rows(options: FineTuneOptions) -> Rows:
    """The rows that the options name."""
    path = model_folder(options.model.model_name_or_path or "")
    with workspace() as con, tempfile.TemporaryDirectory() as scratch:
        data = read_sets(
            con,
            options.data,
            ["train", "validation"],
            checkpoint_of(str(path), max_length=8).tokenizer,
            max_length=8,
            model_labels=(),
            scratch=Path(scratch),
            say=lambda _: None,
        )
        texts = {}
        for name, rows in data.sets.items():
            table = con.sql(
                f"SELECT text, pair, row FROM {rows.stage.name} WHERE key IS NOT NULL ORDER BY row"
            ).to_arrow_table()
            kept = table.filter(np.isin(table["row"].to_numpy(), rows.rows))
            texts[name] = [
                kept[column].to_pylist() for column in ("text", "pair")[: 2 if data.pair_column else 1]
            ]
    return Rows(texts, data)


def frozen(options: FineTuneOptions, folder: Path, rows: Rows) -> dict[str, float]:
    """Encode once, choose layers and regularisation on held-out training rows, and train on all of them."""
    path = model_folder(options.model.model_name_or_path or "")
    sources, seed = rows.sources(folder), options.training.seed
    encoder = load_encoder(
        str(path), layers="all", max_length=options.data.max_seq_length, pooling="mean,cls"
    )
    for source in sources:
        build_features(source, folder / "features", encoder, name="all")
    table = Store(folder / "features").open("all")
    highest = encoder.layer_count
    parts = [
        f"layers={highest},pooling=mean",
        f"layers={max(1, highest - 2)}-{highest},pooling=mean",
        f"layers={highest}",
    ]
    tried: list[tuple[float, float, Any]] = []
    for part in parts:
        use = select_parts(table.spec, part)
        held = load_examples(sources[0], table, valid=Fraction(_HELD_OUT), task=rows.task, use=use, seed=seed)
        head = solve(held, SolveConfig())
        tried.append((float(head.metrics["loss"]), float(head.record["l2"]), use))
    _, l2, use = min(tried, key=lambda one: one[0])
    full = load_examples(sources[0], table, valid=sources[1], task=rows.task, use=use)
    return rows.figures(solve(full, SolveConfig(l2=[l2])), full)


def upper(options: FineTuneOptions, folder: Path, rows: Rows, layers: int) -> dict[str, float]:
    """Encode the states below the upper ``layers`` once, and train these layers on them as a head.

    The last epoch is what counts, as in a fine-tune: nothing is chosen on the validation rows.
    """
    given, model = options.training, options.model.model_name_or_path or ""
    path = model_folder(model)
    first = AutoConfig.from_pretrained(path, trust_remote_code=False).num_hidden_layers - layers
    if first < 1:
        raise SourceError(f"the model has {first + layers} layers, and {layers} of them leave none to store")
    epochs = round(given.num_train_epochs)
    if given.max_steps > 0 or epochs != given.num_train_epochs:
        raise SourceError("heads train whole epochs: pass --num_train_epochs N, and no --max_steps")
    encoder = load_encoder(
        str(path), layers=str(first), max_length=options.data.max_seq_length, pooling="tokens"
    )
    sources = rows.sources(folder)
    for source in sources:
        build_features(source, folder / "features", encoder, name="states")
    data = load_examples(
        sources[0], Store(folder / "features").open("states"), valid=sources[1], task=rows.task
    )
    decay, warmup = options.model.layerwise_lr_decay, given.warmup_steps
    steps = epochs * -(-len(data.train.targets) // given.per_device_train_batch_size)
    head = fit(
        data,
        TrainConfig.of(
            "encoder",
            head_args={"layers": layers} | ({"lr_decay": decay} if decay < 1 else {}),
            epochs=epochs,
            batch_size=given.per_device_train_batch_size,
            learning_rate=given.learning_rate,
            warmup=warmup if warmup < 1 else warmup / steps,
            weight_decay=given.weight_decay,
            seed=given.seed,
        ),
    )
    started = time.perf_counter()
    figures = rows.figures(head, data)
    judging = time.perf_counter() - started  # each epoch of a head ends with the same
    seconds = float(np.median([row["seconds"] for row in head.history]))
    return {"seconds an epoch": seconds - judging, **figures}


def whole(options: FineTuneOptions) -> dict[str, float]:
    """Train the whole model."""
    with quiet():
        found = fine_tune(options).metrics
    figures = {
        name.removeprefix("eval_"): value
        for name, value in found.items()
        if name.startswith("eval_") and not name.endswith(("_runtime", "_second", "_samples", "_loss"))
    }
    return {"seconds an epoch": found["train_runtime"] / found["epoch"], **figures}
