"""Heads and scored files in an object store: what they are on this machine, and nothing by halves."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from enc.cli.main import main
from enc.engine import Head, TrainConfig, build_features, score_parquet, train_head
from enc.engine.heads.output import require_output
from enc.engine.scoring.urls import local_output
from enc.store import HeadError, Source, SourceError, Store
from enc.store.errors import PlaceError
from enc.store.places import RemotePath, folder_to_write, local_folder
from fakes import FakeEncoder
from object_server import SECRET

HEAD, SCORED = "s3://bucket/heads/one", "s3://bucket/out/scored.parquet"


@pytest.fixture
def trained(tmp_path, objects):
    texts = [f"{'word ' * (1 + 5 * (i % 2))}n{i}" for i in range(40)]
    labels = ["long" if i % 2 else "short" for i in range(40)]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [*texts, None], "label": [*labels, "long"]}), path)
    build_features(Source(path), tmp_path / "store", FakeEncoder(), name="set")
    table = Store(tmp_path / "store").open()
    head = train_head(Source(path), table, valid=Source(path), config=TrainConfig(epochs=2))
    return head, tmp_path / "store", path


def names(objects):
    return sorted(objects.objects)


def test_a_head_at_a_url_is_the_head_and_its_old_files_go(trained, objects, tmp_path):
    head, _, _ = trained
    RemotePath(f"{HEAD}/head.json").write_text("an older one")
    RemotePath(f"{HEAD}/out_of_fold.parquet").write_text("of it")
    require_output(HEAD)
    head.save(HEAD)
    head.save(tmp_path / "here")
    here = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert names(objects) == [f"heads/one/{name}" for name in here]
    loaded = Head.load(HEAD)
    for name, weights in head.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], weights)
    assert all("probe" not in name for name in names(objects))


def test_what_is_no_head_is_not_replaced(objects):
    RemotePath(f"{HEAD}/notes.txt").write_text("mine")
    with pytest.raises(HeadError, match="is there and is not a head"):
        require_output(HEAD)


def test_a_block_that_fails_puts_nothing(objects):
    RemotePath(f"{HEAD}/head.json").write_text("an older one")
    with pytest.raises(ZeroDivisionError), folder_to_write(HEAD, "head.json") as folder:
        folder.mkdir()
        (folder / "head.json").write_text("a new one")
        _ = 1 / 0
    assert RemotePath(f"{HEAD}/head.json").read_text() == "an older one"


def test_a_folder_that_changes_while_it_is_copied_is_refused(objects, monkeypatch):
    RemotePath("s3://bucket/changing/a").write_text("old")
    whole = RemotePath.download

    def then_changed(place, file):
        whole(place, file)
        RemotePath("s3://bucket/changing/a").write_text("new")

    monkeypatch.setattr(RemotePath, "download", then_changed)
    with pytest.raises(PlaceError, match="was written while it was read; run this again"):
        local_folder("s3://bucket/changing")


def test_a_file_is_scored_to_a_url_as_to_this_machine(trained, objects, tmp_path):
    head, store, path = trained
    here = score_parquet(path, tmp_path / "scored.parquet", head, store)
    there = score_parquet(path, SCORED, head, store)
    assert there.outputs == [SCORED]
    assert there.rejects_file == f"{SCORED}.rejects.parquet"
    assert RemotePath(SCORED).read_bytes() == (tmp_path / "scored.parquet").read_bytes()
    assert here.rejected == there.rejected == 1
    assert names(objects) == ["out/scored.parquet", "out/scored.parquet.rejects.parquet"]
    assert not list((tmp_path / "cache-home" / "enc" / "outputs").iterdir())
    with pytest.raises(SourceError, match=r"is there already; pass --overwrite"):
        score_parquet(path, SCORED, head, store)
    score_parquet(path, SCORED, head, store, overwrite=True)


def test_a_folder_at_a_url_has_a_file_for_each_input(trained, objects):
    head, store, path = trained
    other = path.with_name("other.parquet")
    pq.write_table(pq.read_table(path).slice(0, 3), other)
    found = score_parquet([path, other], "s3://bucket/folder/", head, store)
    assert found.outputs == ["s3://bucket/folder/rows.parquet", "s3://bucket/folder/other.parquet"]
    assert pq.read_table(pa.BufferReader(RemotePath(found.outputs[1]).read_bytes())).num_rows == 3


def test_an_interrupted_score_puts_nothing_and_goes_on(trained, objects, monkeypatch):
    head, store, path = trained
    monkeypatch.setattr("enc.engine.scoring.urls.put_folder", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_parquet(path, SCORED, head, store)
    assert names(objects) == []
    monkeypatch.undo()


def test_a_bucket_is_no_file(objects):
    with (
        pytest.raises(SourceError, match="is a bucket; name a file in it"),
        local_output("s3://bucket", overwrite=False),
    ):
        pass


@pytest.mark.parametrize("bad", [{"AWS_ACCESS_KEY_ID": "wrong"}, {"AWS_ACCESS_KEY_ID": ""}])
def test_wrong_credentials_are_one_line_before_any_work_and_never_told(objects, monkeypatch, bad, tmp_path):
    for name, value in bad.items():
        monkeypatch.setenv(name, value)
    said = []
    for action in (lambda: require_output(HEAD), lambda: local_output(SCORED, overwrite=False).__enter__()):
        with pytest.raises(PlaceError) as raised:
            action()
        said.append(str(raised.value))
    assert all("AWS_ACCESS_KEY_ID" in line and SECRET not in line and "\n" not in line for line in said)


def test_a_bucket_that_is_not_there_is_named(objects):
    with pytest.raises(PlaceError, match="nowhere"):
        require_output("s3://nowhere/head")


def test_the_commands_take_urls(trained, objects, tmp_path):
    _, store, path = trained
    run = CliRunner()
    made = run.invoke(
        main,
        [
            "train-head",
            str(path),
            "--store",
            str(store),
            "--valid-fraction",
            "0.2",
            "--epochs",
            "1",
            "--output",
            HEAD,
        ],
    )
    assert made.exit_code == 0, made.output
    assert f"head saved in '{HEAD}'" in made.output
    scored = run.invoke(main, ["score", str(path), SCORED, "--head", HEAD, "--store", str(store)])
    assert scored.exit_code == 0, scored.output
    assert SCORED in scored.output + scored.stderr
    assert "out/scored.parquet" in names(objects)
