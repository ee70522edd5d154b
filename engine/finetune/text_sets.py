"""Rows to fine-tune on: from files of GLUE or of any other form to token ids and targets, in arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import torch
from torch.utils.data import Dataset

from ...store import LabelError, Source, SourceError
from ...store.stage import Stage, source_columns, stage_source
from ..encode.tokens import Tokenizer, Tokens
from ..heads.labels import listing
from ..heads.tasks import REGRESSION
from .classes import Classes, glue_classes, own_classes, targets_of
from .glue import GlueTask, glue_task
from .options import DataOptions

SPLITS = {
    "train": "train",
    "validation": "dev",
    "validation_mm": "dev_mismatched",
    "test": "test",
    "test_mm": "test_mismatched",
}
"""The sets of a run, with GLUE's names of their files."""
_PAIRS = (
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
)
_NUMBERS = ("idx", "index", "id", "row")


class TextSet(Dataset[dict[str, torch.Tensor]]):
    """Tokenized rows; a batch of them is made at once, from arrays."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        tokens: Tokens,
        targets: np.ndarray | None,
        rows: np.ndarray,
        unlabelled: int,
    ):
        self.stage, self.name, self.tokens, self.targets, self.unlabelled = (
            stage,
            name,
            tokens,
            targets,
            unlabelled,
        )
        self.rows = rows
        """int64 [rows]: where each stands in its file, from 1."""
        self.order = np.arange(len(rows))
        """int64 [rows]: the rows in the order in which they are served."""
        self.takes_type_ids = True

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A padded batch, as the model takes it; int64 [rows, length], labels [rows]."""
        places = self.order[np.asarray(indices)]
        batch = self.tokens.batch(places)
        arrays = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if self.takes_type_ids:
            arrays["token_type_ids"] = batch.token_type_ids
        if self.targets is not None:
            arrays["labels"] = self.targets[places]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def longest_first(self) -> "TextSet":
        """Serve the rows by length, so that batches are of like length; the first shows whether memory suffices."""
        self.order = np.argsort(-self.tokens.lengths, kind="stable")
        return self


@dataclass(frozen=True)
class FineTuneData:
    """The sets of a run by name (see SPLITS), and what is predicted."""

    sets: dict[str, TextSet]
    classes: Classes
    text_column: str
    pair_column: str | None
    glue: GlueTask | None

    @property
    def title(self) -> str:
        """The task, or the file of the first set, for people."""
        return (
            f"GLUE {self.glue.name.upper()}"
            if self.glue
            else next(iter(self.sets.values())).stage.source.title
        )


def read_sets(
    con: duckdb.DuckDBPyConnection,
    options: DataOptions,
    wanted: Sequence[str],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    model_labels: Sequence[str],
    scratch: Path,
    say: Callable[[str], None],
) -> FineTuneData:
    """Read the sets ``train``, ``validation`` and ``test``, as many as are wanted, and tokenize them.

    ``model_labels`` are the names of the model's classes in its order: that order is kept where they
    are the task's, and they are the classes where nothing is trained. Raises SourceError and
    LabelError for what cannot be read or used, naming file, row and value.
    """
    glue = glue_task(options.task_name) if options.task_name else None
    files = _files(options, glue, wanted, scratch)
    stages = {name: _staged(con, name, file, options, glue) for name, file in files.items()}
    first = next(iter(stages.values()))
    classes = glue_classes(glue) if glue else own_classes(stages, model_labels)
    classes = classes.ordered(model_labels)
    limits = {
        "train": options.max_train_samples,
        "validation": options.max_eval_samples,
        "test": options.max_predict_samples,
    }
    sets = {}
    for name, stage in stages.items():
        limit = limits[name.removesuffix("_mm")]
        sets[name] = _tokenized(
            stage, name, classes, tokenizer, limit, pad_to=max_length * options.pad_to_max_length
        )
    for warning in _warnings(sets, classes):
        say(warning)
    return FineTuneData(sets, classes, first.text_column, first.pair_column, glue)


def _files(
    options: DataOptions, glue: GlueTask | None, wanted: Sequence[str], scratch: Path
) -> dict[str, Path]:
    """File of each wanted set; MNLI's come twice."""
    given = {"train": options.train_file, "validation": options.validation_file, "test": options.test_file}
    if any(given.values()):
        absent = [name for name in wanted if not given[name]]
        if absent:
            raise SourceError(f"no {absent[0]} rows: pass --{absent[0]}_file")
        return {name: Path(given[name] or "") for name in wanted}
    names = [name for split in wanted for name in (split, f"{split}_mm") if name in SPLITS]
    if not (glue and glue.matched):
        names = list(wanted)
    if options.data_dir:
        folder = Path(options.data_dir)
        return {
            name: glue.file(folder, SPLITS[name]) if glue else folder / f"{SPLITS[name]}.tsv"
            for name in names
        }
    if not glue and not options.dataset_name:
        raise SourceError(
            "which data? pass --data_dir with a task's TSV files, --train_file and --validation_file, or --dataset_name"
        )
    return _from_hub(options, glue, names, scratch)


def _from_hub(
    options: DataOptions, glue: GlueTask | None, names: list[str], scratch: Path
) -> dict[str, Path]:
    """The sets of a hub's data set as Parquet files in the scratch folder."""
    try:
        import datasets  # type: ignore[import-not-found]
    except ImportError as error:
        raise SourceError(
            "data from the hub is read with datasets: pip install datasets; or pass --data_dir with the files"
        ) from error
    title, config = (
        (options.dataset_name, options.dataset_config_name)
        if options.dataset_name
        else ("nyu-mll/glue", glue and glue.name)
    )
    try:
        loaded = datasets.load_dataset(title, config)
    except Exception as error:  # what the hub's libraries raise without a network is not of one kind
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(
            f"data set '{title}' cannot be had ({reason}); pass --data_dir with the task's files"
        ) from error
    matched = {"validation_mm": "validation_mismatched", "test_mm": "test_mismatched"}
    files = {}
    for name in names:
        split = matched.get(name, f"{name}_matched" if glue and glue.matched and name != "train" else name)
        if split not in loaded:
            raise SourceError(
                f"data set '{title}' has no split '{split}' (it has: {', '.join(map(str, loaded))})"
            )
        files[name] = scratch / f"{name}.parquet"
        loaded[split].to_parquet(files[name])
    return files


def _staged(
    con: duckdb.DuckDBPyConnection, name: str, file: Path, options: DataOptions, glue: GlueTask | None
) -> Stage:
    is_test = name.startswith("test")
    own_form = glue is not None and bool(options.data_dir)
    source = Source(file, columns=glue.columns if glue and own_form and not is_test else ())
    columns = source_columns(con, source)
    text, pair = _text_columns(columns, options, glue, source.title)
    source = replace(source, text_column=text, pair_column=pair)
    label = options.label_column or (glue.label if glue and own_form else "label")
    if is_test:
        return stage_source(con, source, name)
    if label not in columns:
        raise SourceError(
            f"{source.title} has no column '{label}' (it has: {', '.join(columns)}); pass --label_column"
        )
    return stage_source(con, source, name, label_column=label)


def _text_columns(
    columns: dict[str, str], options: DataOptions, glue: GlueTask | None, title: str
) -> tuple[str, str | None]:
    """The columns asked for, the task's, or those that the usual names or the order of the columns suggest."""
    if options.text_column:
        return options.text_column, options.pair_column
    if glue and glue.text in columns:
        return glue.text, glue.pair
    usual = next((pair for pair in _PAIRS if set(pair) <= set(columns)), None)
    if usual and not (glue and not glue.pair):
        return usual
    single = next((name for name in ("sentence", "text") if name in columns), None)
    label = options.label_column or "label"
    others = [name for name, kind in columns.items() if name not in (label, *_NUMBERS) and kind == "VARCHAR"]
    found = [single] if single else others[:2]
    if not found:
        raise SourceError(
            f"which column of {title} is the text? it has: {', '.join(columns)}; pass --text_column"
        )
    return found[0], options.pair_column or (found[1] if len(found) > 1 else None)


def _tokenized(
    stage: Stage, name: str, classes: Classes, tokenizer: Tokenizer, limit: int | None, *, pad_to: int
) -> TextSet:
    labelled = "label IS NOT NULL" if stage.label_columns else "true"
    rows = stage.con.sql(
        f"SELECT row, text, pair, label FROM {stage.name} WHERE key IS NOT NULL AND {labelled} ORDER BY source, row "
        f"LIMIT {limit if limit is not None else 'ALL'}"
    ).to_arrow_table()
    if not len(rows):
        raise SourceError(f"no row is left for the {name} set of {stage.source.title}")
    unlabelled = 0
    targets = None
    if stage.label_columns:
        unlabelled = stage.con.sql(
            f"SELECT count(*) FROM {stage.name} WHERE key IS NOT NULL AND label IS NULL"
        ).fetchall()[0][0]
        targets = targets_of(stage, rows["label"], classes)
    pairs = rows["pair"].to_pylist() if stage.pair_column else None
    tokens = tokenizer(rows["text"].to_pylist(), pairs)
    tokens = replace(tokens, padding=replace(tokens.padding, to=pad_to))
    return TextSet(stage, name, tokens, targets, rows["row"].to_numpy(), unlabelled)


def _warnings(sets: dict[str, TextSet], classes: Classes) -> list[str]:
    train = sets.get("train")
    if train is None or train.targets is None:
        return []
    if classes.task is REGRESSION:
        if train.targets.min() == train.targets.max():
            raise LabelError(
                f"all training rows have the label {train.targets[0]:g}; there is nothing to learn"
            )
        return []
    counts = np.bincount(train.targets, minlength=len(classes.names))
    absent = [name for name, count in zip(classes.names, counts, strict=True) if not count]
    if len(absent) == len(classes.names) - 1:
        return [f"warning: all training rows are of one class; nothing can be learned of {listing(absent)}"]
    return [f"warning: no training row has label {listing(absent)}"] if absent else []
