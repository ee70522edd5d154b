"""Rows to fine-tune on: from files of GLUE or of any other form to token ids and targets, in arrays."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from ...store import LabelError, SourceError, plan
from ...store.stage import Stage, stage_source
from ..encode.tokens import Tokenizer, Tokens
from ..heads.labels import listing
from ..heads.tasks import REGRESSION
from .classes import Classes, glue_classes, own_classes, targets_of
from .frozen_states import FrozenStates
from .glue import GlueTask
from .option_fields import DataOptions
from .sources import set_sources, task_of


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
        self.stage, self.name, self.tokens, self.targets = stage, name, tokens, targets
        self.unlabelled = unlabelled
        """How many rows were left out, because they have no label."""
        self.rows = rows
        """int64 [rows]: where each stands in its file, from 1."""
        self.order = np.arange(len(rows))
        """int64 [rows]: the rows in the order in which they are served."""
        self.takes_type_ids = True
        self.states: FrozenStates | None = None
        """Served in place of token ids, where the model begins above a layer."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A padded batch, as the model takes it; int64 [rows, length], labels [rows].

        States are float32 [rows, length, hidden].
        """
        places = self.order[np.asarray(indices)]
        batch = self.tokens.batch(places)
        arrays = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if self.states is not None:
            width = batch.input_ids.shape[1]
            arrays = {
                "inputs_embeds": self.states.batch(places, width),
                "attention_mask": batch.attention_mask,
            }
        elif self.takes_type_ids:
            arrays["token_type_ids"] = batch.token_type_ids
        if self.targets is not None:
            arrays["labels"] = self.targets[places]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def texts(self) -> pa.Table:
        """``text`` and ``pair`` of the rows; only while the workspace in which they were read is open."""
        return self.stage.con.sql(_rows_sql(self.stage, "text, pair", len(self))).to_arrow_table()

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the file's texts and labels as a multiset."""
        return self.stage.con.sql(plan.fingerprint_sql(self.stage.name)).fetchall()[0][0]

    def digest(self) -> str:
        """SHA-256, in hex, of the token ids and targets in the file's order: of all that training sees."""
        total = hashlib.sha256()
        arrays = [self.tokens.ids, self.tokens.type_ids, self.tokens.lengths]
        if self.targets is not None:
            arrays.append(self.targets)
        for array in arrays:
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def longest_first(self) -> "TextSet":
        """Serve the longest rows first: batches are of like length, and the first needs the most memory.

        Returns the set itself.
        """
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
        if self.glue:
            return f"GLUE {self.glue.name.upper()}"
        return next(iter(self.sets.values())).stage.source.title


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
    glue = task_of(options)
    stages = {}
    for name, found in set_sources(con, options, wanted, scratch).items():
        stages[name] = stage_source(con, found.source, name, label_column=found.label_column)
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
        pad_to = max_length if options.pad_to_max_length else 0
        sets[name] = _tokenized(stage, name, classes, tokenizer, limit, pad_to=pad_to)
    for warning in _warnings(sets, classes):
        say(warning)
    return FineTuneData(sets, classes, first.text_column, first.pair_column, glue)


def _rows_sql(stage: Stage, columns: str, limit: int | None) -> str:
    """The usable rows in the files' order, or the first so many."""
    labelled = "label IS NOT NULL" if stage.label_columns else "true"
    return (
        f"SELECT {columns} FROM {stage.name} WHERE key IS NOT NULL AND {labelled} "
        f"ORDER BY source, row LIMIT {limit if limit is not None else 'ALL'}"
    )


def _tokenized(
    stage: Stage, name: str, classes: Classes, tokenizer: Tokenizer, limit: int | None, *, pad_to: int
) -> TextSet:
    rows = stage.con.sql(_rows_sql(stage, "row, text, pair, label", limit)).to_arrow_table()
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
