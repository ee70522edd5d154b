"""The output folder of a run: its record, its checkpoints, and where a run that is started there begins.

A run goes on only where its data and options are those of the record that was written before it
began. Nothing here needs torch or transformers, so that a mistake is told before these are loaded.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...store import SourceError
from ...store.files import replaced_file

RUN_RECORD = "enc-run.json"
"""In the output folder: the data and options of the run, and whether it has finished."""
_PART = ".enc-run-"  # how a half-written record begins, which a killed run leaves
_PREFIX = "checkpoint-"
_BEGIN_ANEW = "pass --overwrite_output_dir to begin anew"


@dataclass(frozen=True)
class Start:
    """Where a run begins."""

    checkpoint: Path | None = None
    """The checkpoint to go on from; None: from the model."""
    is_finished: bool = False
    """Whether this very run has finished before, so that there is nothing to train."""


def require_usable_folder(output: Path, asked: str | None, *, overwrite: bool) -> None:
    """Raise SourceError for an output folder that a training run may not use.

    ``asked`` is the value of --resume_from_checkpoint: a checkpoint's folder, or ``True`` for the
    last checkpoint of the output folder. Refused are a folder of other things, a checkpoint that is
    not there, and checkpoints without a record, unless going on from them is asked for.
    """
    if output.exists() and not output.is_dir():
        raise SourceError(f"'{output}' is a file; pass a folder as --output_dir")
    if _asked_folder(asked):
        if not _is_whole(Path(asked or "")):
            raise SourceError(
                f"'{asked}' is not a whole checkpoint; leave out --resume_from_checkpoint "
                "to go on from the last one"
            )
        return
    checkpoints = _checkpoints(output)
    is_whole = any(map(_is_whole, checkpoints))
    if _is_asked(asked):
        if not is_whole:
            raise SourceError(
                f"no checkpoint in '{output}' to go on from; leave out --resume_from_checkpoint"
            )
        return
    if overwrite or not output.is_dir() or (output / RUN_RECORD).is_file():
        return
    if is_whole:
        raise SourceError(
            f"'{output}' has checkpoints and no {RUN_RECORD}, which tells their data and options; "
            f"{_BEGIN_ANEW}, or --resume_from_checkpoint True to go on all the same"
        )
    others = sorted(path.name for path in set(output.iterdir()) - set(checkpoints))
    others = [name for name in others if not name.endswith("-rejects.parquet")]
    others = [name for name in others if not name.startswith(_PART)]
    if others:
        raise SourceError(
            f"'{output}' is not empty (it has: {', '.join(others[:5])}); "
            "pass --overwrite_output_dir, or another folder"
        )


def start_of(
    output: Path, asked: str | None, run: dict[str, Any], say: Callable[[str], None], *, overwrite: bool
) -> Start:
    """Where the run of a record (see :func:`write_run`) begins in its output folder.

    Raises SourceError where the folder holds a run of other data or options, and where no checkpoint
    is sound. A damaged checkpoint is passed over for the one before it, which is said.
    """
    require_usable_folder(output, asked, overwrite=overwrite)
    if overwrite and not _is_asked(asked):
        return Start()
    chosen = _asked_folder(asked)
    folder = chosen.parent if chosen else output
    checkpoints = [chosen] if chosen else [path for path in _checkpoints(output) if _has_state(path)]
    recorded = _read(folder)
    is_finished = recorded is not None and bool(recorded.get("finished"))
    if recorded is not None and (checkpoints or is_finished):
        differing = _differences(recorded, run)
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise SourceError(
                f"'{folder}' holds a run with {'; '.join(differing[:3])}{more}; "
                f"{_BEGIN_ANEW}, or another folder"
            )
        if is_finished and not chosen:
            return Start(is_finished=True)
    if recorded is None and checkpoints:
        say(
            f"warning: '{folder}' has no {RUN_RECORD}; "
            "nothing tells whether its data and options were the same"
        )
    return Start(_last_sound(checkpoints, say, is_chosen=chosen is not None))


def _last_sound(checkpoints: list[Path], say: Callable[[str], None], *, is_chosen: bool) -> Path | None:
    """The last checkpoint without damage. Raises SourceError, naming the last one, where all are damaged."""
    problems = []
    for checkpoint in reversed(checkpoints):
        problem = damage_of(checkpoint)
        if problem is None:
            for line in problems:
                say(f"warning: {line}; it is passed over")
            return checkpoint
        problems.append(f"'{checkpoint}' is damaged ({problem})")
    if problems:
        way_out = "leave out --resume_from_checkpoint" if is_chosen else _BEGIN_ANEW
        raise SourceError(f"{problems[0]}; {way_out}")
    return None


def damage_of(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, None if nothing is found.

    Weights are looked at as a whole file, states of optimizer and scheduler by their checksums.
    """
    if not _is_whole(checkpoint):
        return "trainer_state.json cannot be read"
    weights = sorted(checkpoint.glob("*.safetensors"))
    if not weights:
        return "it has no weights"
    for path in weights:
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            return f"{path.name}: {str(error).splitlines()[0]}"
    for path in sorted((*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth"))):
        try:
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
        except (zipfile.BadZipFile, OSError) as error:
            return f"{path.name}: {str(error).splitlines()[0]}"
        if bad is not None:
            return f"{path.name}: {bad} has another checksum"
    return None


def write_run(output: Path, run: dict[str, Any], *, finished: bool) -> None:
    """Write the record of a run, whole or not at all.

    ``run`` has JSON values: ``data`` by set, ``model`` and ``options``.
    """
    text = json.dumps({"format": 1, **run, "finished": finished}, indent=2, ensure_ascii=False)
    with replaced_file(output / RUN_RECORD) as part:
        part.write_text(text + "\n", encoding="utf-8")


def partial_checkpoints(output: Path, start: Start) -> list[Path]:
    """The checkpoints that a run must not find: partial and damaged ones, or all when it starts afresh."""
    found = _checkpoints(output)
    if start.checkpoint is None:
        return found
    last = _step(start.checkpoint)
    return [path for path in found if not _is_whole(path) or (_step(path) > last and damage_of(path))]


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / RUN_RECORD
    if not path.is_file():
        return None
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if recorded["format"] != 1:
            raise SourceError(f"'{path}' was written by a newer enc; upgrade enc-features, or {_BEGIN_ANEW}")
        return {name: recorded[name] for name in ("data", "model", "options", "finished")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"'{path}' is damaged; {_BEGIN_ANEW}, or another folder") from error


def _differences(recorded: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """What differs between two records, a phrase each."""
    found = []
    for name in sorted({*recorded["data"], *run["data"]}):
        old, new = recorded["data"].get(name), run["data"].get(name)
        if old is None or new is None:
            found.append(f"{'no' if old is None else 'a'} {name} set")
        elif old["fingerprint"] != new["fingerprint"]:
            found.append(f"other {name} rows ({old['source']}, now {new['source']})")
        elif old["digest"] != new["digest"]:
            found.append(f"other tokens, targets or order of the {name} rows")
    for name in sorted({*recorded["model"], *run["model"]}):
        if recorded["model"].get(name) != run["model"].get(name):
            found.append(f"another model (its {name})")
    for name in sorted({*recorded["options"], *run["options"]}):
        old, new = recorded["options"].get(name), run["options"].get(name)
        if old != new:
            found.append(f"--{name} {old}, now {new}")
    return found


def _is_asked(asked: str | None) -> bool:
    return bool(asked) and str(asked).lower() not in ("false", "no", "0")


def _asked_folder(asked: str | None) -> Path | None:
    """The folder that --resume_from_checkpoint names, if it names one."""
    if not _is_asked(asked) or str(asked).lower() in ("true", "1", "yes"):
        return None
    return Path(str(asked))


def _checkpoints(output: Path) -> list[Path]:
    """Folders of checkpoints, whole or not, by their step."""
    found = [path for path in output.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdecimal()]
    return sorted(found, key=_step)


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() else -1


def _has_state(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: the trainer writes this file last."""
    return (checkpoint / "trainer_state.json").is_file()


def _is_whole(checkpoint: Path) -> bool:
    try:
        return bool(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False
