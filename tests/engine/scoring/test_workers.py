"""Scoring by processes of this machine, and by tasks of Ray."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import Head, build_features, load_encoder, score_parquet, train_head
from enc.engine.runners.team import Workers
from enc.engine.scoring import batches_of_ids, outputs_task
from enc.engine.train.config import TrainConfig
from enc.store import FeatureTable, Source, Store
from fakes import Heard
from team_here import Here

ROWS = 600
ASKED = {"backend": "torch", "precision": "fp32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_bert):
    """Rows half of whose texts are in a store, and a head."""
    folder = tmp_path_factory.mktemp("base")
    texts = [f"{'good bad '[: 5 * (i % 2)]} {i % 400} {'a b ' * (i % 5)}" for i in range(ROWS)]
    table = pa.table({"id": range(ROWS), "text": texts, "label": ["pn"[i % 2] for i in range(ROWS)]})
    pq.write_table(table, folder / "rows.parquet", row_group_size=100)
    pq.write_table(table.slice(0, 200), folder / "train.parquet")
    encoder = load_encoder(tiny_bert, max_length=16, dtype="float32", **ASKED)
    build_features(Source(folder / "train.parquet"), folder / "store", encoder, name="set")
    source = Source(folder / "train.parquet")
    config = TrainConfig(epochs=2, head="mlp", head_args={"hidden": 4})
    train_head(source, Store(folder / "store").open(), valid=source, config=config).save(folder / "head")
    return folder


@pytest.fixture
def world(base, tmp_path):
    shutil.copytree(base, tmp_path / "world")
    return tmp_path / "world"


def score(world, name, **options):
    return score_parquet(
        world / "rows.parquet", world / name, Head.load(world / "head"),
        proba=True, label_column="label", asked_of_encoder=ASKED, **options,
    )  # fmt: skip


def workers_of_this_process() -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "runners.worker"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def near(one, other):
    """Whether two outputs are the same but for the last bits of features from other batches."""
    one, other = pq.read_table(one), pq.read_table(other)
    assert one.schema.equals(other.schema, check_metadata=True)
    for name in one.column_names:
        if pa.types.is_floating(one.schema.field(name).type):
            np.testing.assert_allclose(one[name], other[name], atol=1e-5)
        else:
            assert one[name].equals(other[name])


def test_two_processes_score_as_one_does(world, monkeypatch):
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 128)
    shutil.copytree(world / "store", world / "other")
    one = score(world, "one.parquet", store=world / "store")
    heard = Heard()
    two = score(world, "two.parquet", store=world / "other", workers=Workers(2), progress=heard)
    near(world / "one.parquet", world / "two.parquet")
    for field in ("rows", "scored", "rejected", "cached", "encoded", "predictions", "metrics"):
        assert getattr(one, field) == getattr(two, field)
    assert two.encoded == 200
    assert FeatureTable(world / "other" / "set").rows == 400
    assert heard.of("encoding")[-1] == (200, 200)
    assert heard.of("computing")[-1] == heard.of("scoring")[-1] == (ROWS, ROWS)
    assert workers_of_this_process() == []
    again = score(world, "again.parquet", store=world / "store", workers=Workers(2))
    assert again.encoded == 0
    assert (world / "again.parquet").read_bytes() == (world / "one.parquet").read_bytes()
    assert not list(world.glob("*enc-part*"))


def test_upper_layers_are_computed_by_workers_too(world, tiny_bert, monkeypatch):
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 128)
    rows, store = Source(world / "rows.parquet"), world / "tokens"
    encoder = load_encoder(tiny_bert, max_length=16, layers="1", pooling="tokens", **ASKED)
    build_features(rows, store, encoder, name="states")
    head = train_head(
        Source(world / "train.parquet"), Store(store).open(), valid=Source(world / "train.parquet"),
        config=TrainConfig.of("encoder", epochs=1, head_args={"layers": 1, "precision": "fp32"}),
    )  # fmt: skip
    here = Here()
    outputs = [world / "one.parquet", world / "two.parquet"]
    score_parquet(rows, outputs[0], head, store, proba=True)
    monkeypatch.setattr(Workers, "team", lambda *_: nullcontext(here))
    monkeypatch.setattr(outputs_task, "_READ", [])
    score_parquet(rows, outputs[1], head, store, proba=True, workers=Workers(3))
    assert here.kinds() == ["OutputsTask"] * 5
    near(*outputs)


def test_a_killed_worker_is_replaced(world):
    killed, said = [], []

    def kill(stage, done, total, remark):
        if not killed:  # at the first that is heard of them: all of their work is before them
            killed.extend(workers_of_this_process())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    summary = score(world, "out.parquet", workers=Workers(2), progress=kill, say=said.append)
    assert any("was killed by signal 9; it starts again" in line for line in said)
    assert summary.encoded == 400
    score(world, "one.parquet", store=world / "store")
    near(world / "one.parquet", world / "out.parquet")


def test_an_interruption_keeps_what_workers_have_encoded(world):
    def interrupt(stage, done, total, remark):
        if stage == "computing":
            raise KeyboardInterrupt

    def no_encoder(spec):
        raise AssertionError("everything is encoded")

    with pytest.raises(KeyboardInterrupt):
        score(world, "out.parquet", workers=Workers(2), progress=interrupt)
    assert workers_of_this_process() == []
    assert FeatureTable(world / "out.parquet.enc-part" / "features-0").rows == 400
    said = []
    summary = score(world, "out.parquet", load=no_encoder, say=said.append)
    assert "going on with what an interrupted run left" in said[0]
    assert summary.encoded == 400
    score(world, "one.parquet", store=world / "store")
    near(world / "one.parquet", world / "out.parquet")
    assert not list(world.glob("*enc-part*"))


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_goes_on(world, end):
    command = [
        "score", "rows.parquet", "out.parquet", "--head", "head", "--workers", "2", "--backend", "torch",
        "--precision", "fp32", "--proba", "--json",
    ]  # fmt: skip
    whole = run_enc(world, [*command[:2], "whole.parquet", *command[3:]])
    assert whole.wait() == 0, whole.stderr.read()
    process = run_enc(world, command)
    folder, until = world / "out.parquet.enc-part", time.monotonic() + 300
    while not list(folder.glob("features-0/*.parquet")) and time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(end)
    said = process.communicate()[1]
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; what is finished is kept. Go on with: enc score rows.parquet" in said
    assert not (world / "out.parquet").exists()
    again = run_enc(world, command)
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert "going on with what an interrupted run left" in said
    near(world / "whole.parquet", world / "out.parquet")
    assert not folder.exists()


def run_enc(folder, arguments):
    return subprocess.Popen(
        [sys.executable, "-c", "from enc.cli.main import main; main(prog_name='enc')", *arguments],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_tasks_of_ray_score_as_one_process_does(world, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'enc-features[ray]'")
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 128)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        two = score(world, "two.parquet", workers=Workers(2, "ray"))
    finally:
        ray.shutdown()
    one = score(world, "one.parquet")
    near(world / "one.parquet", world / "two.parquet")
    assert (one.encoded, one.metrics) == (two.encoded, two.metrics)
