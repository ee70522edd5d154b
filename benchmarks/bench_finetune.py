"""Training the whole model: enc against a plain Trainer script, against heads of the upper layers, and
against the best head on frozen features.

Every contender does the whole job, from files to figures on the validation rows, with the same model,
rows, epochs, batch size, learning rate and seed, on the same threads. The plain script is what
transformers' documentation shows: texts tokenized once, a Trainer with its defaults, batches padded to
their longest text; and the same with run_glue.py's default, every text padded to the maximum.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..engine.encode.facts import quiet
from ..engine.encode.model_files import model_folder
from ..engine.finetune.options import FineTuneOptions, parse_options
from .finetune_features import Rows, frozen, read_rows, upper, whole
from .results import Measurement, Results, in_turn, machine

BASELINE = "transformers Trainer, batches padded to their longest text"
PADDED = "transformers Trainer, padded to the maximum, as run_glue.py does"
ENC, FROZEN = "enc fine-tune", "enc, the best linear head on frozen features"
_Job = Callable[[FineTuneOptions, Path, Rows], dict[str, float]]
CONTENDERS = {"enc": ENC, "plain": BASELINE, "padded": PADDED, "frozen": FROZEN}
"""By short names; heads of upper layers are named by their number of layers."""
_SECONDS = "seconds an epoch"


def upper_name(layers: int) -> str:
    """What a head of so many upper layers is called in the report."""
    return f"enc, head of the upper {layers} layers" if layers > 1 else "enc, head of the last layer"


def run(
    arguments: list[str],
    *,
    contenders: Sequence[str],
    layers: Sequence[int] = (),
    seeds: int = 1,
    repetitions: int,
    say: Callable[[str], None],
) -> Results:
    """Do the job of a command line of `enc fine-tune` by each of the contenders named, and by a head of each
    number of upper ``layers``; all of it with so many seeds, counted from the command line's own.

    The command line needs no --output_dir.
    """
    figures: dict[str, list[dict[str, float]]] = {}
    read = read_rows(parse_options([*arguments, "--output_dir", "unused"]))  # the peer is handed its texts

    def timed(name: str, job: _Job) -> tuple[Measurement, Callable[[], float]]:
        found = figures[name] = []

        def one() -> float:
            with tempfile.TemporaryDirectory(prefix="enc-bench-") as folder:
                options = parse_options(
                    [*arguments, "--do_train", "--do_eval", "--save_strategy", "no", "--output_dir", folder]
                )
                options.training.seed += len(found) % seeds
                started = time.perf_counter()
                result = job(options, Path(folder), read)
                seconds = time.perf_counter() - started
                found.append(result)
                return 3600 / seconds

        return Measurement(name, "jobs/hour"), one

    jobs: dict[str, _Job] = {ENC: lambda options, *_: whole(options)}
    jobs |= {upper_name(count): partial(upper, layers=count) for count in sorted(layers, reverse=True)}
    jobs |= {BASELINE: _plain, PADDED: _padded, FROZEN: frozen}
    chosen = {*contenders, *map(upper_name, layers)}
    field = [timed(name, jobs[name]) for name in jobs if name in chosen]
    in_turn(field, repetitions * seeds, say)
    for measurement, _ in field:
        if measurement.rates:
            measurement.remarks |= {"seconds": f"{3600 / measurement.median:.1f}"}
            measurement.remarks |= _shown(figures[measurement.name], seeds)
    title = " ".join(word for word in arguments if word != "--overwrite_output_dir")
    baseline = next(name for name in (BASELINE, ENC, *jobs) if name in chosen)
    return Results(
        "fine-tune",
        baseline,
        {"options": f"`{title}`", "seeds": seeds, "repetitions": repetitions},
        [m for m, _ in field],
        machine(("accelerate",)),
    )


def _shown(found: Sequence[dict[str, float]], seeds: int) -> dict[str, str]:
    """The median of an epoch's seconds, and the means of metrics with their deviations over the seeds."""
    shown = {}
    for name in found[0]:
        values = [one[name] for one in found if np.isfinite(one[name])]
        if not values:
            continue
        if name == _SECONDS:
            shown[name] = f"{statistics.median(values):.1f}"
            continue
        shown[name] = f"{statistics.fmean(values):.4f}"
        if seeds > 1 and len(values) > 1:
            shown[f"{name}, deviation"] = f"{statistics.stdev(values[:seeds]):.4f}"
    return shown


def _padded(options: FineTuneOptions, folder: Path, read: Rows) -> dict[str, float]:
    return _plain(options, folder, read, pad_all=True)


def _plain(options: FineTuneOptions, folder: Path, read: Rows, *, pad_all: bool = False) -> dict[str, float]:
    """The documented way."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        default_data_collator,
        set_seed,
    )

    given, length = options.training, options.data.max_seq_length
    path = model_folder(options.model.model_name_or_path or "")
    texts, data = read.texts, read.data
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
    trainer.remove_callback(PrinterCallback)
    trained = trainer.train().metrics
    found = trainer.evaluate()
    return {_SECONDS: trained["train_runtime"] / trained["epoch"]} | {
        name: found[f"eval_{name}"]
        for name in (*data.classes.metrics, "combined_score")
        if f"eval_{name}" in found
    }
