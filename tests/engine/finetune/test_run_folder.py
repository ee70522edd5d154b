"""Where a run begins in its output folder, and what is refused."""

import json
import zipfile

import numpy as np
import pytest
from enc.engine.finetune.run_folder import (
    RUN_RECORD,
    Start,
    damage_of,
    partial_checkpoints,
    require_usable_folder,
    start_of,
    write_run,
)
from enc.store import SourceError
from safetensors.numpy import save_file

RUN = {
    "data": {"train": {"source": "a.tsv", "rows": 3, "fingerprint": "f", "digest": "d"}},
    "model": {"weights": "w"},
    "options": {"seed": 1, "learning_rate": 0.1},
}


def checkpoint(output, step):
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"a": np.ones(100, np.float32)}, folder / "model.safetensors")
    with zipfile.ZipFile(folder / "optimizer.pt", "w") as archive:
        archive.writestr("data", b"state" * 100)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


@pytest.fixture
def output(tmp_path):
    """The folder of a run that was killed after its second checkpoint."""
    output = tmp_path / "tuned"
    write_run(output, RUN, finished=False)
    for step in (9, 10):
        checkpoint(output, step)
    return output


def start(output, run=RUN, asked=None, overwrite=False):
    said = []
    return start_of(output, asked, run, said.append, overwrite=overwrite), said


def changed(group, **values):
    return {**RUN, group: {**RUN[group], **values}}


def test_a_run_goes_on_from_its_last_checkpoint(output):
    assert start(output) == (Start(output / "checkpoint-10"), [])
    assert start(output, asked=str(output / "checkpoint-9")) == (Start(output / "checkpoint-9"), [])
    assert start(output, overwrite=True) == (Start(), [])


def test_a_finished_run_is_not_trained_again(output):
    write_run(output, RUN, finished=True)
    assert start(output)[0] == Start(is_finished=True)
    assert start(output, overwrite=True)[0] == Start()
    assert start(output, asked=str(output / "checkpoint-9"))[0] == Start(output / "checkpoint-9")


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            changed("options", seed=2),
            r"holds a run with --seed 1, now 2; pass --overwrite_output_dir to begin",
        ),
        (changed("model", weights="v"), r"another model \(its weights\)"),
        (
            changed("data", train={**RUN["data"]["train"], "source": "b.tsv", "fingerprint": "g"}),
            r"other train rows \(a.tsv, now b.tsv\)",
        ),
        (
            changed("data", train={**RUN["data"]["train"], "digest": "e"}),
            "other tokens, targets or order of the train rows",
        ),
        (changed("data", validation=RUN["data"]["train"]), "no validation set"),
        (
            {**changed("options", seed=2, learning_rate=1, a=1, b=2), "model": {}},
            r"another model \(its weights\); --a None, now 1; --b None, now 2 and 2 more",
        ),
    ],
)
def test_other_data_and_options_are_refused(output, run, message, finished):
    write_run(output, RUN, finished=finished)
    for asked in (None, "True", str(output / "checkpoint-9")):
        with pytest.raises(SourceError, match=message):
            start(output, run, asked=asked)
    assert start(output, run, overwrite=True)[0] == Start()


def test_a_run_that_has_left_nothing_yet_may_be_changed(tmp_path):
    write_run(tmp_path, RUN, finished=False)
    assert start(tmp_path, changed("options", seed=2)) == (Start(), [])


def test_checkpoints_without_a_record(output):
    (output / RUN_RECORD).unlink()
    with pytest.raises(
        SourceError, match=r"has checkpoints and no enc-run.json.*--resume_from_checkpoint True"
    ):
        start(output)
    found, said = start(output, asked="True")
    assert found == Start(output / "checkpoint-10")
    assert said == [
        f"warning: '{output}' has no enc-run.json; nothing tells whether its data and options were the same"
    ]


@pytest.mark.parametrize("text", ["", "[1]", '{"format": 1}', "{"])
def test_a_damaged_record(output, text):
    (output / RUN_RECORD).write_text(text)
    with pytest.raises(
        SourceError, match=r"enc-run.json' is damaged; pass --overwrite_output_dir to begin anew"
    ):
        start(output)
    (output / RUN_RECORD).write_text('{"format": 2}')
    with pytest.raises(SourceError, match="was written by a newer enc"):
        start(output)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"state")] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "truncated weights": ("model.safetensors", truncate, "model.safetensors: "),
    "empty optimizer": (
        "optimizer.pt",
        lambda path: path.write_bytes(b""),
        "optimizer.pt: File is not a zip",
    ),
    "truncated optimizer": ("optimizer.pt", truncate, "optimizer.pt: File is not a zip"),
    "a flipped bit": ("optimizer.pt", flip, "optimizer.pt: data has another checksum"),
    "no weights": ("model.safetensors", lambda path: path.unlink(), "it has no weights"),
    "a broken state": (
        "trainer_state.json",
        lambda path: path.write_text("{"),
        "trainer_state.json cannot be read",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(output, name):
    file, damage, problem = DAMAGE[name]
    last = output / "checkpoint-10"
    assert damage_of(last) is None
    damage(last / file)
    found, said = start(output)
    assert found == Start(output / "checkpoint-9")
    assert said[0].startswith(f"warning: '{last}' is damaged ({problem}")
    assert said[0].endswith("; it is passed over")
    assert partial_checkpoints(output, found) == [last]
    if file != "trainer_state.json":
        with pytest.raises(SourceError, match=r"is damaged \(.*\); leave out --resume_from_checkpoint"):
            start(output, asked=str(last))
    damage(output / "checkpoint-9" / file)
    with pytest.raises(SourceError, match=r"checkpoint-10' is damaged \(.*\); pass --overwrite_output_dir"):
        start(output)


def test_which_checkpoints_are_deleted(output):
    half = output / "checkpoint-12"
    half.mkdir()
    (output / "checkpoint-best").mkdir()
    nine, ten = output / "checkpoint-9", output / "checkpoint-10"
    assert partial_checkpoints(output, Start(ten)) == [half]
    assert partial_checkpoints(output, Start(nine)) == [half]
    assert partial_checkpoints(output, Start()) == [nine, ten, half]


def test_folders_that_are_not_a_runs(tmp_path, write):
    require_usable_folder(tmp_path / "new", None, overwrite=False)
    require_usable_folder(tmp_path, None, overwrite=False)
    (tmp_path / "checkpoint-3").mkdir()  # of a run that was killed while it wrote its first
    (tmp_path / "train-rejects.parquet").touch()
    (tmp_path / ".enc-run-0123.json").touch()
    require_usable_folder(tmp_path, None, overwrite=False)
    letter = write("letter.txt", "")
    with pytest.raises(
        SourceError, match=r"is not empty \(it has: letter.txt\); pass --overwrite_output_dir"
    ):
        require_usable_folder(tmp_path, None, overwrite=False)
    require_usable_folder(tmp_path, None, overwrite=True)
    with pytest.raises(SourceError, match="is a file; pass a folder as --output_dir"):
        require_usable_folder(letter, None, overwrite=True)
    with pytest.raises(SourceError, match="is not a whole checkpoint"):
        require_usable_folder(tmp_path, str(tmp_path), overwrite=False)
    with pytest.raises(SourceError, match=r"no checkpoint in '.*' to go on from"):
        require_usable_folder(tmp_path, "True", overwrite=True)


def test_a_record_is_written_whole_or_not_at_all(output):
    before = (output / RUN_RECORD).read_bytes()
    with pytest.raises(TypeError):
        write_run(output, {**RUN, "options": {"seed": object()}}, finished=True)
    assert (output / RUN_RECORD).read_bytes() == before
