"""Where the rows of a run are: files, and their columns of texts and labels.

Nothing here needs torch or transformers, so that a mistake is told before these are loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from ...store import Source, SourceError
from ...store.nearest import did_you_mean
from ...store.stage import source_columns
from .glue import GlueTask, glue_task
from .option_fields import DataOptions

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


@dataclass(frozen=True)
class SetSource:
    """The rows of one set."""

    source: Source
    """With its columns of texts."""
    label_column: str | None
    """None for a test set, whose labels are not read."""


def wanted_sets(*, train: bool, evaluate: bool, predict: bool) -> list[str]:
    """The sets that a run needs. Raises SourceError where there is nothing to do."""
    asked = {"train": train, "validation": evaluate, "test": predict}
    wanted = [name for name, is_asked in asked.items() if is_asked]
    if not wanted:
        raise SourceError("nothing to do: pass --do_train, --do_eval or --do_predict")
    return wanted


def task_of(options: DataOptions) -> GlueTask | None:
    """The GLUE task that the options name, if any. Raises SourceError for an unknown one."""
    return glue_task(options.task_name) if options.task_name else None


def set_sources(
    con: duckdb.DuckDBPyConnection, options: DataOptions, wanted: Sequence[str], scratch: Path
) -> dict[str, SetSource]:
    """The source of each wanted set; MNLI's come twice. What the hub has goes to the scratch folder.

    Raises SourceError for a file, column or data set that is not there.
    """
    glue = task_of(options)
    files = _files(options, glue, wanted, scratch)
    return {name: _source_in(con, name, file, options, glue) for name, file in files.items()}


def comes_from_hub(options: DataOptions) -> bool:
    """Whether the rows are fetched from the hub, which takes long."""
    has_files = options.train_file or options.validation_file or options.test_file or options.data_dir
    return bool(options.dataset_name or options.task_name) and not has_files


def _files(
    options: DataOptions, glue: GlueTask | None, wanted: Sequence[str], scratch: Path
) -> dict[str, Path]:
    """File of each wanted set."""
    given = {"train": options.train_file, "validation": options.validation_file, "test": options.test_file}
    if any(given.values()):
        for name in wanted:
            if not given[name]:
                raise SourceError(f"no {name} rows: pass --{name}_file")
        return {name: Path(given[name] or "") for name in wanted}
    names = list(wanted)
    if glue and glue.matched:
        names = [name for split in wanted for name in (split, f"{split}_mm") if name in SPLITS]
    if options.data_dir:
        folder = Path(options.data_dir)
        if glue:
            return {name: glue.file(folder, SPLITS[name]) for name in names}
        return {name: folder / f"{SPLITS[name]}.tsv" for name in names}
    if not glue and not options.dataset_name:
        raise SourceError(
            "which data? pass --data_dir with a task's TSV files, --train_file and --validation_file, "
            "or --dataset_name"
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
    title, config = options.dataset_name, options.dataset_config_name
    if not title:
        title, config = "nyu-mll/glue", glue.name if glue else None
    try:
        loaded = datasets.load_dataset(title, config)
    except Exception as error:  # what the hub's libraries raise without a network is not of one kind
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(
            f"data set '{title}' cannot be had ({reason}); pass --data_dir with the task's files"
        ) from error
    files = {}
    for name in names:
        split = _hub_split(name, glue)
        if split not in loaded:
            there = ", ".join(map(str, loaded))
            raise SourceError(f"data set '{title}' has no split '{split}' (it has: {there})")
        files[name] = scratch / f"{name}.parquet"
        loaded[split].to_parquet(files[name])
    return files


def _hub_split(name: str, glue: GlueTask | None) -> str:
    if name.endswith("_mm"):
        return f"{name.removesuffix('_mm')}_mismatched"
    if glue and glue.matched and name != "train":
        return f"{name}_matched"
    return name


def _source_in(
    con: duckdb.DuckDBPyConnection, name: str, file: Path, options: DataOptions, glue: GlueTask | None
) -> SetSource:
    """The source of a set in a file, with its columns. Raises SourceError for a column that is not there."""
    is_test = name.startswith("test")
    has_own_form = glue is not None and bool(options.data_dir)
    source = Source(file, columns=glue.columns if glue and has_own_form and not is_test else ())
    columns = source_columns(con, source)
    text, pair = _text_columns(columns, options, glue, source.title)
    source = replace(source, text_column=text, pair_column=pair)
    for column, flag in ((text, "--text_column"), (pair, "--pair_column")):
        if column is not None:
            _require_column(column, columns, source.title, flag)
    if is_test:
        return SetSource(source, None)
    label = options.label_column or (glue.label if glue and has_own_form else "label")
    _require_column(label, columns, source.title, "--label_column")
    return SetSource(source, label)


def _require_column(name: str, columns: dict[str, str], title: str, flag: str) -> None:
    if name not in columns:
        raise SourceError(
            f"{title} has no column '{name}' (it has: {', '.join(columns)}); pass {flag}"
            f"{did_you_mean(name, columns)}"
        )


def _text_columns(
    columns: dict[str, str], options: DataOptions, glue: GlueTask | None, title: str
) -> tuple[str, str | None]:
    """The columns that are asked for, else the task's, else those of usual names, else the first texts."""
    if options.text_column:
        if options.text_column == options.pair_column:
            raise SourceError(
                f"--text_column and --pair_column both name '{options.text_column}'; a pair has two columns"
            )
        return options.text_column, options.pair_column
    if options.pair_column:
        raise SourceError(
            "--pair_column alone does not say which column comes first; pass --text_column, too"
        )
    if glue and glue.text in columns:
        return glue.text, glue.pair
    usual = next((pair for pair in _PAIRS if set(pair) <= set(columns)), None)
    if usual and not (glue and not glue.pair):
        return usual
    single = next((name for name in ("sentence", "text") if name in columns), None)
    if single:
        return single, None
    label = options.label_column or "label"
    texts = [name for name, kind in columns.items() if name not in (label, *_NUMBERS) and kind == "VARCHAR"]
    if not texts:
        raise SourceError(
            f"which column of {title} is the text? it has: {', '.join(columns)}; pass --text_column"
        )
    return texts[0], texts[1] if len(texts) > 1 else None
