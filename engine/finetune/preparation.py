"""All that a run needs before a model is loaded: rows, settings, and where it begins."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from ...store import FeatureSpec, ModelError
from ...store.duck import workspace
from ..encode.checkpoint import checkpoint_of
from ..encode.facts import longest_input
from ..encode.model_files import model_folder
from .cached import require_cached, stored_states
from .early_checks import check_folders
from .option_fields import require_numbers
from .options import FineTuneOptions, is_main_process
from .run_folder import Start, start_of
from .run_record import run_of
from .sequence_model import own_labels
from .sources import wanted_sets
from .text_sets import FineTuneData, TextSet, read_sets

Say = Callable[[str], None]
_REJECTS = "{}-rejects.parquet"


@dataclass(frozen=True)
class Prepared:
    """What a run needs to begin."""

    output: Path
    folder: Path
    """Of the model to load: of a finished run, its output."""
    config: Any
    """The model's configuration."""
    tokenizer: Any
    """transformers' tokenizer, which is saved beside the model."""
    spec: FeatureSpec
    """Of the model's cls features."""
    length: int
    """Tokens that are kept of a text."""
    sets: FineTuneData
    run: dict[str, Any]
    """The record of the run; empty where nothing is trained."""
    start: Start


def prepare(options: FineTuneOptions, say: Say) -> Prepared:
    """Read and check all that a run needs, and say what it found.

    Raises SourceError, LabelError and ModelError for what cannot be read, used or done.
    """
    training, data, names = options.training, options.data, options.model
    require_numbers({**asdict(names), **asdict(data), **training.to_dict()})
    wanted = wanted_sets(
        train=training.do_train,
        evaluate=training.do_eval or training.eval_strategy != "no",
        predict=training.do_predict,
    )
    output, asked = Path(training.output_dir or "."), training.resume_from_checkpoint
    check_folders(names, data, output, trains=training.do_train, asked=asked)
    hub = {"revision": names.model_revision, "token": names.token, "cache_dir": names.cache_dir}
    folder = model_folder(names.model_name_or_path or "", **hub)
    config, tokenizer = _loaded(options, folder)
    require_cached(options, config)
    length = min(data.max_seq_length, longest_input(config, tokenizer))
    if length < data.max_seq_length:
        given = f"--max_seq_length {data.max_seq_length}"
        say(f"warning: {given} is more than the model takes; it is {length} now")
    texts = checkpoint_of(names.tokenizer_name or str(folder), max_length=length, pooling="cls")
    spec = texts.spec
    if names.tokenizer_name:
        weights = checkpoint_of(str(folder), max_length=length, pooling="cls").spec
        spec = replace(weights, tokenizer=texts.spec.tokenizer)
    run, start = {}, Start()
    with workspace() as con, tempfile.TemporaryDirectory(prefix="enc-") as scratch:
        sets = read_sets(
            con,
            data,
            wanted,
            texts.tokenizer,
            max_length=length,
            model_labels=own_labels(config),
            scratch=Path(scratch),
            say=say,
        )
        if training.do_train:
            run = run_of(options, sets, spec, config, length)
            start = start_of(output, asked, run, say, overwrite=data.overwrite_output_dir)
            _say_start(output, start, say)
        for rows in sets.sets.values():
            if is_main_process(training):
                say(_summary(rows, rows.stage.write_rejects(output / _REJECTS.format(rows.name))))
        if names.cached and not start.is_finished:
            stored_states(options, folder, length, sets, Path(scratch), say)
    if start.is_finished:
        folder, config = output, AutoConfig.from_pretrained(output, trust_remote_code=False)
    return Prepared(output, folder, config, tokenizer, spec, length, sets, run, start)


def _loaded(options: FineTuneOptions, folder: Path) -> tuple[Any, Any]:
    """A model's configuration and its tokenizer, from their own folders where the options name these."""
    names = options.model
    try:
        config = AutoConfig.from_pretrained(names.config_name or folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(names.tokenizer_name or folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"model '{names.model_name_or_path}' cannot be loaded: {reason}") from error
    return config, tokenizer


def _say_start(output: Path, start: Start, say: Say) -> None:
    if start.checkpoint:
        say(f"going on from '{start.checkpoint}'; --overwrite_output_dir begins anew")
    if start.is_finished:
        say(
            f"the run in '{output}' is finished, and is not trained again; --overwrite_output_dir begins anew"
        )


def _summary(rows: TextSet, rejects: object) -> str:
    line = (
        f"{rows.name}: {len(rows):,} rows of {rows.stage.source.title}, "
        f"{rows.tokens.lengths.mean():.0f} tokens on average"
    )
    cut = int(rows.tokens.truncated.sum())
    if cut:
        line += f", {cut:,} cut"
    left_out = []
    if rows.unlabelled:
        left_out.append(f"{rows.unlabelled:,} without label")
    if rejects:
        left_out.append(f"{rows.stage.rejected:,} rejected, listed in '{rejects}'")
    return line + (f"; left out: {', '.join(left_out)}" if left_out else "")
