import os
from pathlib import Path

import pytest
from enc.engine.scoring.jobs import (
    QUERY,
    Job,
    jobs_of,
    rejects_file_of,
    require_parquet_name,
    with_files_of_folders,
)
from enc.store import Source, SourceError


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / "in" / name for name in ("a.parquet", "b.parquet", "deep/a.parquet", "b.tsv")]
    for path in made:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("text\nx\n")
    return [str(path) for path in made]


def jobs(files, output, **options):
    return jobs_of(Source(files), output, **{"overwrite": False} | options)


def test_all_rows_to_one_file(files, tmp_path):
    assert jobs(files[:2], tmp_path / "out.parquet") == [Job(tuple(files[:2]), tmp_path / "out.parquet")]
    assert jobs_of(Source(query="SELECT 1"), "x.parquet", overwrite=False)[0].inputs == (QUERY,)


@pytest.mark.parametrize("make", [True, False])
def test_one_file_each_in_a_folder(files, tmp_path, make):
    folder = tmp_path / "out"
    if make:
        folder.mkdir()
    found = jobs(files[:3], folder if make else f"{folder}/")
    assert [job.output for job in found] == [
        folder / name for name in ("a.parquet", "b.parquet", "deep/a.parquet")
    ]
    with pytest.raises(SourceError, match=r"both be written to '.*b.parquet'"):
        jobs(files, f"{folder}/")


def test_rejects_lie_beside_the_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rejects_file_of("a/b.parquet") == Path("a/b.parquet.rejects.parquet")
    assert rejects_file_of("a/") == Path("a.rejects.parquet")
    assert rejects_file_of(".") == tmp_path.with_name(f"{tmp_path.name}.rejects.parquet")
    assert rejects_file_of("/") == Path("/rejects.parquet")


def test_files_of_folders(files, tmp_path):
    found = with_files_of_folders(Source([tmp_path / "in", "other.tsv"]))
    assert found.names == (*sorted(file for file in files if file.endswith("parquet")), "other.tsv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="there is no Parquet file in the folder"):
        with_files_of_folders(Source(tmp_path / "empty"))
    query = Source(tmp_path / "in", query="SELECT 1")
    assert with_files_of_folders(query) is query


def test_outputs_that_would_destroy_something(files, tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(SourceError, match=r"notes.txt' is there already; pass --overwrite"):
        jobs(files[:1], tmp_path / "notes.txt")
    assert jobs(files[:1], tmp_path / "notes.txt", overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "notes.txt")
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("link", "a link"), ("pipe", "no regular file")):
        with pytest.raises(SourceError, match=f"is {kind}; choose another output"):
            jobs(files[:1], tmp_path / name, overwrite=True)
    with pytest.raises(SourceError, match="is the input itself"):
        jobs(files, files[1], overwrite=True)
    with pytest.raises(SourceError, match=r"notes\.txt' cannot be written"):
        jobs(files[:1], tmp_path / "notes.txt" / "out.parquet")
    os.link(files[0], tmp_path / "same.parquet")
    with pytest.raises(SourceError, match="is the input itself"):
        jobs(files[:1], tmp_path / "same.parquet", overwrite=True)


@pytest.mark.parametrize("name", ["out.tsv", "out.CSV", "out.jsonl", "s3://bucket/out.json", "out.csv.gz"])
def test_an_output_is_not_named_as_another_format(name):
    with pytest.raises(SourceError, match=r"written as Parquet, not as \.\w+; name it out\.parquet"):
        require_parquet_name(name)


def test_other_names_and_folders_are_fine(tmp_path):
    (tmp_path / "old.csv").mkdir()
    for name in ("out.parquet", "out", "out.scored", "out.tsv/", tmp_path / "old.csv", "OUT.PQ"):
        require_parquet_name(name)
