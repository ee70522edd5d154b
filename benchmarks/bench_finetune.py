"""Training the whole model: enc against a plain Trainer script, and against the best head on frozen features.

Every contender does the whole job, from files to figures on the validation rows, with the same model,
rows, epochs, batch size, learning rate and seed, on the same threads. The plain script is what
transformers' documentation shows: texts tokenized once, a Trainer with its defaults, batches padded to
their longest text; and the same with run_glue.py's default, every text padded to the maximum.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..engine import Fraction, SolveConfig, build_features, load_encoder
from ..engine.encode.checkpoint import checkpoint_of
from ..engine.encode.facts import quiet
from ..engine.encode.model_files import model_folder
from ..engine.finetune.options import FineTuneOptions, parse_options
from ..engine.finetune.run import fine_tune
from ..engine.finetune.text_sets import FineTuneData, read_sets
from ..engine.train.examples import load_examples
from ..engine.train.solve import solve
from ..store import Source, Store
from ..store.duck import workspace
from ..store.parts import select_parts
from .results import Measurement, Results, in_turn, machine

BASELINE = "transformers Trainer, batches padded to their longest text"
PADDED = "transformers Trainer, padded to the maximum, as run_glue.py does"
ENC, FROZEN = "enc fine-tune", "enc, the best linear head on frozen features"
_Rows = tuple[dict[str, list[list[str]]], FineTuneData]
_Job = Callable[[FineTuneOptions, Path, _Rows], dict[str, float]]
CONTENDERS = {"enc": ENC, "plain": BASELINE, "padded": PADDED, "frozen": FROZEN}
"""By short names."""
_HELD_OUT = 0.2


def run(
    arguments: list[str], *, contenders: list[str], repetitions: int, say: Callable[[str], None]
) -> Results:
    """Do the job of a command line of `enc fine-tune` by each of the contenders named.

    The command line needs no --output_dir.
    """
    figures: dict[str, dict[str, float]] = {}
    read = _read_rows(parse_options([*arguments, "--output_dir", "unused"]))  # the peer is handed its texts

    def timed(name: str, job: _Job) -> tuple[Measurement, Callable[[], float]]:
        def one() -> float:
            with tempfile.TemporaryDirectory(prefix="enc-bench-") as folder:
                options = parse_options(
                    [*arguments, "--do_train", "--do_eval", "--save_strategy", "no", "--output_dir", folder]
                )
                started = time.perf_counter()
                figures[name] = job(options, Path(folder), read)
                return 3600 / (time.perf_counter() - started)

        return Measurement(name, "jobs/hour"), one

    jobs = {ENC: _enc, BASELINE: _plain, PADDED: _padded, FROZEN: _frozen}
    field = [timed(name, jobs[name]) for name in jobs if name in contenders]
    in_turn(field, repetitions, say)
    for measurement, _ in field:
        if measurement.rates:
            shown = {
                name: f"{value:.4f}"
                for name, value in figures[measurement.name].items()
                if np.isfinite(value)
            }
            measurement.remarks |= {"seconds": f"{3600 / measurement.median:.1f}", **shown}
    title = " ".join(word for word in arguments if word != "--overwrite_output_dir")
    baseline = BASELINE if BASELINE in contenders else ENC
    return Results(
        "fine-tune",
        baseline,
        {"options": f"`{title}`", "repetitions": repetitions},
        [m for m, _ in field],
        machine(("accelerate",)),
    )


def _enc(options: FineTuneOptions, _: Path, __: _Rows) -> dict[str, float]:
    with quiet():
        metrics = fine_tune(options).metrics
    return {
        name.removeprefix("eval_"): value
        for name, value in metrics.items()
        if name.startswith("eval_") and not name.endswith(("_runtime", "_second", "_samples", "_loss"))
    }


def _padded(options: FineTuneOptions, folder: Path, read: _Rows) -> dict[str, float]:
    return _plain(options, folder, read, pad_all=True)


def _plain(options: FineTuneOptions, folder: Path, read: _Rows, *, pad_all: bool = False) -> dict[str, float]:
    """The documented way."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        default_data_collator,
        set_seed,
    )

    given, length = options.training, options.data.max_seq_length
    path = model_folder(options.model.model_name_or_path or "")
    texts, data = read
    set_seed(given.seed)
    tokenizer = AutoTokenizer.from_pretrained(path)
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            path, num_labels=len(data.classes.names) or 1, dtype=torch.float32
        )
    rows = {}
    for name, columns in texts.items():
        encoded = tokenizer(
            *columns, truncation=True, max_length=length, padding="max_length" if pad_all else False
        )
        targets = data.sets[name].targets
        assert targets is not None
        keys = list(encoded)
        rows[name] = [
            {**{key: encoded[key][i] for key in keys}, "labels": target}
            for i, target in enumerate(targets.tolist())
        ]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "plain"),
            learning_rate=given.learning_rate,
            num_train_epochs=given.num_train_epochs,
            max_steps=given.max_steps,
            per_device_train_batch_size=given.per_device_train_batch_size,
            per_device_eval_batch_size=given.per_device_eval_batch_size,
            warmup_steps=given.warmup_steps,
            weight_decay=given.weight_decay,
            seed=given.seed,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=given.use_cpu,
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=rows["train"],  # type: ignore[arg-type]
        eval_dataset=rows["validation"],  # type: ignore[arg-type]
        data_collator=default_data_collator if pad_all else DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda p: data.classes.computed(np.asarray(p.predictions), np.asarray(p.label_ids)),
    )
    trainer.train()
    found = trainer.evaluate()
    return {
        name: found[f"eval_{name}"]
        for name in (*data.classes.metrics, "combined_score")
        if f"eval_{name}" in found
    }


def _read_rows(options: FineTuneOptions) -> _Rows:
    """The first and second texts of each set, and the sets with their targets."""
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
    return texts, data


def _frozen(options: FineTuneOptions, folder: Path, read: _Rows) -> dict[str, float]:
    """Encode once, choose layers and regularisation on held-out training rows, and train on all of them."""
    path, data = model_folder(options.model.model_name_or_path or ""), read[1]
    sources = [_source(read, name, folder) for name in ("train", "validation")]
    kind = "single-label" if data.classes.names else "regression"
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
        held = load_examples(sources[0], table, valid=Fraction(_HELD_OUT), task=kind, use=use)
        head = solve(held, SolveConfig())
        tried.append((float(head.metrics["loss"]), float(head.record["l2"]), use))
    _, l2, use = min(tried, key=lambda one: one[0])
    full = load_examples(sources[0], table, valid=sources[1], task=kind, use=use)
    head = solve(full, SolveConfig(l2=[l2]))
    outputs = np.concatenate([head.outputs(block) for block in full.valid.features.blocks(4096)])
    targets = full.valid.targets
    if data.classes.names:  # the head has numbered its labels in its own order
        order = np.array(head.labels.values)
        targets, outputs = order[targets], outputs[:, np.argsort(order)]
    return data.classes.computed(outputs, targets)


def _source(read: _Rows, name: str, folder: Path) -> Source:
    """A file of a set's rows, those and no others, whose labels are the numbers of the classes."""
    texts, data = read
    columns = dict(zip(("text", "pair"), texts[name], strict=False))
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({**columns, "label": data.sets[name].targets}), path)
    return Source(path, text_column="text", pair_column="pair" if data.pair_column else None)
