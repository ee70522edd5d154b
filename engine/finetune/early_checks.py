"""What can be known to be wrong with a command line before torch and transformers are loaded.

These take seconds to load, so that the mistakes which are cheap to find are told first. The run
itself checks all of it again, with the options as transformers' parser reads them.
"""

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from ...store import ModelError, SourceError
from ...store.files import require_writable
from ..encode.model_files import EMBEDDED_MODEL, model_folder
from .command_line import flag_names, option_values, own_options, read_words
from .option_fields import DataOptions, ModelOptions
from .run_folder import require_usable_folder
from .sources import comes_from_hub, set_sources, task_of, wanted_sets

_FLAGS = {"do_train", "do_eval", "do_predict"}


def check_early(arguments: Sequence[str]) -> None:
    """Raise SourceError or ModelError for a mistake in a command line of :mod:`engine.finetune.options`.

    Found are: options given twice, numbers out of range, nothing to do, an output folder that holds
    other things or cannot be written, a model's folder without a model, and files and columns of
    texts and labels that are not there.
    """
    values = option_values(read_words(arguments, flag_names() | _FLAGS))
    model, data = own_options(values)
    trains = values.get("do_train") == "True"
    evaluates = values.get("eval_strategy", "no") != "no" or "early_stopping_patience" in values
    wanted = wanted_sets(
        train=trains,
        evaluate=evaluates or values.get("do_eval") == "True",
        predict=values.get("do_predict") == "True",
    )
    output = Path(values["output_dir"])
    check_folders(model, data, output, trains=trains, asked=values.get("resume_from_checkpoint"))
    task_of(data)
    if not comes_from_hub(data):
        with duckdb.connect() as con:
            set_sources(con, data, wanted, Path(tempfile.gettempdir()))


def check_folders(
    model: ModelOptions, data: DataOptions, output: Path, *, trains: bool, asked: str | None
) -> None:
    """Raise SourceError or ModelError for an output folder or a model that cannot be used as asked."""
    name = model.model_name_or_path or ""
    if trains and Path(name).is_dir() and Path(name).resolve() == output.resolve():
        raise SourceError(f"'{output}' is the model's own folder; choose another --output_dir")
    if trains:
        require_usable_folder(output, asked, overwrite=data.overwrite_output_dir)
    require_writable(output, SourceError)
    if Path(name).exists() and not Path(name).is_dir():
        raise ModelError(f"model '{name}' is a file; pass the folder that it is in")
    if name == EMBEDDED_MODEL or Path(name).is_dir():
        model_folder(name)
    if model.head_init:
        _require_linear(Path(model.head_init))
    if model.cached is not None:
        _require_cachable(model, trains=trains)


def _require_cachable(model: ModelOptions, *, trains: bool) -> None:
    """Raise SourceError for options that cannot hold where the states of a layer are stored."""
    problem = ""
    if not model.cached:
        problem = "--cached needs the folder of a store"
    elif model.freeze_layers < 1:
        problem = (
            "--cached stores what is frozen: pass --freeze_layers N, from 1 up, with the number of layers"
        )
    elif not trains:
        problem = "--cached is for training: add --do_train, or leave it out"
    elif model.lora:
        problem = "--lora changes all layers, and --cached begins above the lower ones; leave one of them out"
    elif model.tokenizer_name or model.config_name:
        problem = "--cached takes the model's own tokenizer and configuration; leave out the name of another"
    if problem:
        raise SourceError(problem)


def _require_linear(head_folder: Path) -> None:
    if not (head_folder / "head.json").is_file():
        raise SourceError(f"no head in '{head_folder}'; `enc train-head` makes one for --head_init")
    with suppress(ValueError, KeyError, TypeError):  # of a damaged head, which is told when it is read
        kind = json.loads((head_folder / "head.json").read_bytes())["kind"]
        if kind != "linear":
            raise SourceError(f"a classifier can begin as a linear head, not as '{kind}'; pass another one")
