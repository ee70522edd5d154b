"""All benchmarks, one after the other: interrupted, they go on where they ended."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..store import EncError, Source
from ..store.files import replaced_file
from ..store.progress import Progress, counted, heard_by, listener
from .bench_start import make_texts
from .results import SCHEMA, Results, write_report
from .saved import Saved, read_saved

_ASKED = "asked.json"
_MADE_UP_TEXTS = 600
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is measured, and on what."""

    sources: tuple[str, ...]
    """TSV, CSV, JSON lines or Parquet; made-up texts unless given."""
    text_column: str | None
    label_column: str
    """For the part of fine-tuning."""
    model: str
    max_length: int
    quick: bool


@dataclass(frozen=True)
class Part:
    """A benchmark of :func:`run_all`."""

    name: str
    seconds: tuple[float, float]
    """About how long it takes, in full and quick, on two cores of 2024."""
    run: Callable[[Asked, Path, Say], Results]
    """Of what is asked, a file of labelled texts, and what is told of progress."""


def _roofline(asked: Asked, _: Path, say: Say) -> Results:
    from .bench_roofline import run

    return run(seconds=0.4 if asked.quick else 2.0, repetitions=3, say=say)


def _encode(asked: Asked, texts: Path, say: Say) -> Results:
    from .bench_encode import run

    source = Source(list(asked.sources) or texts, text_column=asked.text_column)
    count, repetitions = (160, 2) if asked.quick else (2000, 3)
    return run(
        source, model=asked.model, max_length=asked.max_length, texts=count, repetitions=repetitions, say=say
    )


def _batches(asked: Asked, _: Path, say: Say) -> Results:
    from .bench_batches import run

    return run(
        tokens=False, rows=50_000 if asked.quick else 1_000_000, batch_size=4096, repetitions=3, say=say
    )


def _heads(asked: Asked, _: Path, say: Say) -> Results:
    from .bench_heads import run

    rows, token_rows, repetitions = (10_000, 500, 2) if asked.quick else (200_000, 10_000, 3)
    return run(rows=rows, token_rows=token_rows, batch_size=1024, repetitions=repetitions, say=say)


def _features(asked: Asked, _: Path, say: Say) -> Results:
    from .bench_features import run

    return run(rows=50_000 if asked.quick else 1_000_000, repetitions=2 if asked.quick else 3, say=say)


def _score(asked: Asked, _: Path, say: Say) -> Results:
    from .bench_score import run_known

    return run_known(rows=100_000 if asked.quick else 1_000_000, repetitions=3, say=say)


def _start(asked: Asked, _: Path, say: Say) -> Results:
    from .bench_start import run

    return run(model=asked.model, repetitions=1 if asked.quick else 5, say=say)


def _fine_tune(asked: Asked, texts: Path, say: Say) -> Results:
    from .bench_finetune import CONTENDERS, run

    path = str(asked.sources[0]) if asked.sources else str(texts)
    rows = 96 if asked.quick else 2000
    words = ["--model", asked.model, "--train_file", path, "--validation_file", path]
    words += ["--label_column", asked.label_column, "--max_seq_length", str(min(asked.max_length, 64))]
    words += ["--num_train_epochs", "1", "--max_train_samples", str(rows), "--max_eval_samples", str(rows)]
    words += ["--text_column", asked.text_column] if asked.text_column else []
    chosen = [CONTENDERS[name] for name in (("enc", "plain", "frozen") if asked.quick else CONTENDERS)]
    return run(words, contenders=chosen, repetitions=1, say=say)


PARTS = (
    Part("roofline", (40, 10), _roofline),
    Part("encode", (420, 24), _encode),
    Part("batches", (90, 6), _batches),
    Part("heads", (120, 5), _heads),
    Part("features", (90, 8), _features),
    Part("score", (60, 4), _score),
    Part("start", (180, 28), _start),
    Part("fine-tune", (300, 8), _fine_tune),
)


def about(parts: Sequence[Part], *, quick: bool) -> float:
    """About how many seconds parts take."""
    return sum(part.seconds[1 if quick else 0] for part in parts)


def run_all(asked: Asked, folder: Path, say: Say) -> list[Saved]:
    """Measure what is asked, a part after the other, each into a folder of its own; the results of all.

    Parts that the folder has of the same question are not measured again. A part that fails is told, and
    the others go on. Writes results.json with all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    question = json.dumps(asked.__dict__, sort_keys=True)
    waiting = [part for part in PARTS if not _is_done(folder / part.name, question)]
    if len(waiting) < len(PARTS):
        say(f"{len(PARTS) - len(waiting)} of {len(PARTS)} parts are there already")
    left = about(waiting, quick=asked.quick)
    say(
        f"about {left / 60:.0f} minutes on two cores; Ctrl-C ends it, and the same command goes on from there"
    )
    texts = folder / "made-up-texts.tsv"
    _write_texts(texts)
    for number, part in enumerate(counted(PARTS, "benchmarks", 0, len(PARTS)), 1):
        if part not in waiting:
            continue
        minutes = about(waiting[waiting.index(part) :], quick=asked.quick) / 60
        say(f"part {number} of {len(PARTS)}: {part.name}; about {minutes:.1f} minutes left")
        try:
            with heard_by(repetitions_alone(listener())):
                results = part.run(asked, texts, lambda line, part=part: say(f"  {part.name}: {line}"))
        except EncError as error:
            say(f"  {part.name} was not measured: {error}")
            continue
        write_report(results, folder / part.name)
        with replaced_file(folder / part.name / _ASKED) as new:
            new.write_text(question, encoding="utf-8")
    done = [part for part in PARTS if _is_done(folder / part.name, question)]
    found = [one for part in done for one in read_saved(folder / part.name / "results.json")]
    with replaced_file(folder / "results.json") as new:
        text = json.dumps({"schema": SCHEMA, "benchmarks": found}, indent=2, ensure_ascii=False)
        new.write_text(text + "\n", encoding="utf-8")
    return found


def repetitions_alone(told: Progress) -> Progress:
    """Hears how many runs of a part are done, and nothing of what happens in them."""

    def hear(stage: str, done: int, total: int, remark: str = "", /) -> None:
        if stage == "repeating":
            told(stage, done, total, remark)

    return hear


def _is_done(folder: Path, question: str) -> bool:
    try:
        is_same = (folder / _ASKED).read_text(encoding="utf-8") == question
    except OSError:
        return False
    return is_same and (folder / "results.json").is_file()


def _write_texts(path: Path) -> None:
    lines = [f"{text}\t{'bad' if i % 2 else 'good'}" for i, text in enumerate(make_texts(_MADE_UP_TEXTS))]
    with replaced_file(path) as new:
        new.write_text("\n".join(["sentence\tlabel", *lines]) + "\n", encoding="utf-8")
