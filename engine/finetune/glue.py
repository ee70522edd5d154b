"""The nine GLUE tasks as a table: files, columns, labels and names of metrics.

Sources: the task's files as gluebenchmark.com distributes them; label names and orders of the Hugging
Face data set ``nyu-mll/glue``; metric names of ``run_glue.py``.
"""

from dataclasses import dataclass
from pathlib import Path

from ...store import SourceError
from ...store.nearest import did_you_mean

_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueTask:
    """One task."""

    name: str
    folder: str
    text: str
    """Column of the text in the task's own files."""
    label: str
    metrics: tuple[str, ...]
    """By GLUE's names."""
    pair: str | None = None
    labels: tuple[str, ...] = ()
    """Names of the classes, in the order of their numbers; none for a regression."""
    written: tuple[str, ...] = _BINARY
    """The classes as they stand in the files."""
    columns: tuple[str, ...] = ()
    """Of train and dev files without a header line; test files have one."""
    matched: bool = False
    """Whether dev and test come twice: ``dev_matched`` and ``dev_mismatched``."""

    def file(self, data_dir: str | Path, split: str) -> Path:
        """The file of ``train``, ``dev`` or ``test``, or of MNLI's ``dev_mismatched`` or ``test_mismatched``.

        It is in the folder, or in a folder of the task's name there. Raises SourceError, naming the
        file, where it is in neither.
        """
        folder = Path(data_dir)
        if not folder.is_dir():
            raise SourceError(f"no folder '{folder}'; --data_dir is the folder with {self.name}'s files")
        if self.matched and split in ("dev", "test"):
            split = f"{split}_matched"
        for place in (folder, folder / self.folder, folder / self.name):
            for path in (place / f"{split}.tsv", place / f"{split}.tsv.gz"):
                if path.is_file():
                    return path
        there = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise SourceError(
            f"task {self.name} needs {split}.tsv, which is neither in '{folder}' (it has: {there}) "
            f"nor in {self.folder}/"
        )


GLUE = {
    task.name: task
    for task in (
        GlueTask(
            "cola",
            "CoLA",
            "sentence",
            "label",
            ("matthews_correlation",),
            labels=("unacceptable", "acceptable"),
            columns=("source", "label", "mark", "sentence"),
        ),
        GlueTask("sst2", "SST-2", "sentence", "label", ("accuracy",), labels=("negative", "positive")),
        GlueTask(
            "mrpc",
            "MRPC",
            "#1 String",
            "Quality",
            ("accuracy", "f1"),
            pair="#2 String",
            labels=("not_equivalent", "equivalent"),
        ),
        GlueTask("stsb", "STS-B", "sentence1", "score", ("pearson", "spearmanr"), pair="sentence2"),
        GlueTask(
            "qqp",
            "QQP",
            "question1",
            "is_duplicate",
            ("accuracy", "f1"),
            pair="question2",
            labels=("not_duplicate", "duplicate"),
        ),
        GlueTask(
            "mnli",
            "MNLI",
            "sentence1",
            "gold_label",
            ("accuracy",),
            pair="sentence2",
            labels=("entailment", "neutral", "contradiction"),
            written=("entailment", "neutral", "contradiction"),
            matched=True,
        ),
        GlueTask(
            "qnli",
            "QNLI",
            "question",
            "label",
            ("accuracy",),
            pair="sentence",
            labels=_ENTAILMENT,
            written=_ENTAILMENT,
        ),
        GlueTask(
            "rte",
            "RTE",
            "sentence1",
            "label",
            ("accuracy",),
            pair="sentence2",
            labels=_ENTAILMENT,
            written=_ENTAILMENT,
        ),
        GlueTask(
            "wnli",
            "WNLI",
            "sentence1",
            "label",
            ("accuracy",),
            pair="sentence2",
            labels=("not_entailment", "entailment"),
        ),
    )
}
_OTHER_NAMES = {"sst-2": "sst2", "sts-b": "stsb", "mnli-mm": "mnli"}


def glue_task(name: str) -> GlueTask:
    """The task of a name, such as ``sst2`` or ``SST-2``. Raises SourceError that lists the nine."""
    known = _OTHER_NAMES.get(name.lower(), name.lower())
    if known not in GLUE:
        raise SourceError(
            f"unknown task '{name}'; there are {', '.join(GLUE)}. For data of your own leave out --task_name"
            f"{did_you_mean(name, GLUE)}"
        )
    return GLUE[known]
