"""Builds by a first pass over pieces of large text files: that they are those of one process."""

import json

import pytest
from enc.engine import build_features
from enc.engine.runners.build import build_with, first_pass_with
from enc.engine.runners.first_pass import PartTask, folder_of_job
from enc.store import Share, Source, SourceError, divisions
from enc.store.source_parts import parts_of
from fakes import FakeEncoder
from first_passes import (
    COUNTS,
    InThisProcess,
    features_of,
    job_of,
    require_going_on,
    require_like_one_process,
    work_of,
)

pytestmark = pytest.mark.usefixtures("small_text_pieces")


def texts(rows=400):
    """Texts that are in several pieces, and some that are none."""
    return [" " if i % 90 == 7 else f"x{'x' * (i % 40)} {i % 4}" for i in range(rows)]


def tsv():
    lines = [f"{text}\t{i}" for i, text in enumerate(texts())]
    return "\n".join(["text\tn", *lines[:250], "few", *lines[250:], ""])


def csv():
    return "text,n\n" + "".join(f'"{text},\n""b""",{i}\n' for i, text in enumerate(texts()))


def jsonl():
    lines = [json.dumps({"text": text, "n": i}) for i, text in enumerate(texts())]
    return "\n".join([*lines[:250], "no JSON", *lines[250:], ""])


@pytest.fixture(params=[tsv, csv, jsonl], ids=["tsv", "csv", "jsonl"])
def job(request, write, tmp_path):
    return job_of(Source(write(f"big.{request.param.__name__}", request.param())), tmp_path / "store")


def pieces_of(job):
    return parts_of(job.source, folder_of_job(job)).values()


def test_a_build_over_pieces_is_that_of_one_process(job, tmp_path):
    team = InThisProcess()
    summary = build_with(team, job, Share(), first_pass="always")
    pieces = [task.piece.lines for task in team.tasks if not hasattr(task, "share")]
    assert len(pieces) > 3
    assert all(pieces)
    assert [PartTask.from_json(task.to_json()) for task in team.tasks[:2]] == team.tasks[:2]
    if summary.rejected:
        require_like_one_process(summary, job, tmp_path / "one")
    else:
        one = build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
        assert [getattr(summary, name) for name in COUNTS] == [getattr(one, name) for name in COUNTS]
        assert features_of(job.store) == features_of(tmp_path / "one")
    assert work_of(job.store) == []


def test_what_was_broken_off_goes_on_with_another_number_of_workers(job, tmp_path, monkeypatch):
    pieces = len(pieces_of(job))
    monkeypatch.setattr(divisions, "pieces_of_text", None)  # which pieces there are is known from now on
    require_going_on(job, pieces, tmp_path / "one", first_pass="auto")


def test_shares_of_a_first_pass_over_pieces_add_up(job, tmp_path):
    told = first_pass_with(InThisProcess(), job)
    assert (told.files, told.read, told.parts) == (1, 1, len(pieces_of(job)))
    counts = [build_with(InThisProcess(1), job, Share(number, 3)) for number in (3, 1, 2)]
    one = build_features(job.source, tmp_path / "one", FakeEncoder(), name="set")
    for name in ("rows", "distinct", "encoded", "rejected"):
        assert sum(getattr(count, name) for count in counts) == getattr(one, name)
    assert (told.rows, told.rejects) == (one.rows, one.rejects)
    assert first_pass_with(InThisProcess(), job).read == 0


@pytest.mark.parametrize("row", ["few\n", '"closed" early,1\n'])
def test_a_file_of_which_a_piece_cannot_be_read_apart_is_one_piece(write, tmp_path, row):
    content = csv()
    job = job_of(Source(write("big.csv", content + row + content.partition("\n")[2])), tmp_path / "store")
    team = InThisProcess()
    told = first_pass_with(team, job)
    assert [task.piece.lines for task in team.tasks][-1] is None
    assert (told.parts, told.files) == (1, 1)
    summary = build_with(InThisProcess(), job, Share())
    assert summary.rejected == 1
    require_like_one_process(summary, job, tmp_path / "one")
    assert work_of(job.store) == []


def test_an_error_names_the_file_itself(write, tmp_path):
    file = write("big.tsv", tsv())
    for number, (options, said) in enumerate(
        [
            ({"where": "label > 1"}, f"{file} cannot be read: .*label"),
            ({"text_column": "review"}, f"column 'review' is not in {file} "),
        ]
    ):
        job = job_of(Source(file, **options), tmp_path / f"store-{number}")
        with pytest.raises(SourceError, match=f"^{said}"):
            build_with(InThisProcess(), job, Share(), first_pass="always")


def test_a_file_that_changed_since_is_divided_anew(write, tmp_path):
    job = job_of(Source(write("big.tsv", tsv())), tmp_path / "store")
    first_pass_with(InThisProcess(), job)
    write("big.tsv", tsv() + "new text\t1\n")
    summary = build_with(InThisProcess(), job, Share(), first_pass="always")
    require_like_one_process(summary, job, tmp_path / "one")
    assert work_of(job.store) == []
