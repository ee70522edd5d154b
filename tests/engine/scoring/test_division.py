"""Several processes score as one does: here by a team in this process, and by real ones in test_workers."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine import Fraction, Head, SolveConfig, build_features, score_parquet, train_head
from enc.engine.heads.kinds import TUNED
from enc.engine.runners import job
from enc.engine.runners.team import Workers
from enc.engine.scoring import batches_of_ids, outputs_task
from enc.engine.scoring.division import ComputedRows
from enc.engine.scoring.unfinished import OtherRun, Unfinished
from enc.engine.sweep.with_words import add_words
from enc.engine.train.config import TrainConfig
from enc.store import FeatureTable, HeadError, LabelError, Source, SourceError, Store, WorkerError
from fakes import FakeEncoder
from team_here import Here

ROWS = 100
WORKERS = Workers(3)


@pytest.fixture
def team(monkeypatch):
    """The team of whoever asks for workers; they load fake encoders."""
    made = Here()

    class Entered:
        def __enter__(self):
            return made

        def __exit__(self, *_):
            outputs_task._READ.clear()

    monkeypatch.setattr(Workers, "team", lambda *_: Entered())
    monkeypatch.setattr(job, "_kept", [])
    monkeypatch.setattr(job, "load_encoder_of", lambda spec, **_: FakeEncoder(**setting_of(spec)))
    monkeypatch.setattr(batches_of_ids, "BATCH_ROWS", 16)
    return made


def setting_of(spec):
    return {"pooling": spec.pooling, "layers": spec.layers, "special_tokens": spec.special_tokens}


def load(spec):
    return FakeEncoder(**setting_of(spec))


@pytest.fixture
def world(tmp_path):
    """Rows with known, new, repeated and bad texts as a Parquet file, and the store of the known ones."""
    texts = [f"{'word ' * (i % 7)}t{i % 80}" for i in range(ROWS)]
    texts[5], texts[77] = None, " "
    labels = ["long" if i % 7 > 2 else "short" for i in range(ROWS)]
    table = pa.table({"id": range(ROWS), "text": texts, "label": labels, "tag": [["a", None]] * ROWS})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=30)
    pq.write_table(table.slice(0, 40), tmp_path / "known.parquet")
    build_features(Source(tmp_path / "known.parquet"), tmp_path / "store", FakeEncoder(), name="set")
    return tmp_path


@pytest.fixture
def head(world):
    config = TrainConfig(epochs=4, learning_rate=0.05)
    source = Source(world / "known.parquet")
    return train_head(source, Store(world / "store").open(), valid=source, config=config)


def counts_of(summary) -> dict:
    values = dataclasses.asdict(summary)
    return {
        name: value for name, value in values.items() if name not in ("seconds", "outputs", "rejects_file")
    }


def copy_of(store, to):
    """A store with the same features, so that two runs find the same."""
    import shutil

    shutil.copytree(store, to)
    return to


def both(world, team, source, heads, *, folder=False, store=True, **options):
    """What one process and the team write: their outputs by name, and their counts."""
    found = []
    for name, workers in (("one", None), ("many", WORKERS)):
        place = world / name
        place.mkdir()
        given = copy_of(world / "store", place / "store") if store else None
        output = f"{place / 'out'}/" if folder else place / "out.parquet"
        summary = score_parquet(source, output, heads, given, load=load, workers=workers, **options)
        files = {
            str(path.relative_to(place)): path.read_bytes()
            for path in sorted(place.rglob("*.parquet"))
            if "store" not in path.parts
        }
        assert not [path.name for path in place.rglob("*enc-part*")]
        if given:
            files["rows in the store"] = FeatureTable(given / "set").rows
            assert sorted(path.name for path in place.iterdir() if path.name.startswith("store")) == ["store"]
        found.append((files, counts_of(summary)))
    return found


def in_two_files(world):
    folder = world / "in"
    folder.mkdir()
    table = pq.read_table(world / "rows.parquet")
    pq.write_table(table.slice(0, 70), folder / "a.parquet")
    pq.write_table(table.slice(70), folder / "b.parquet")
    return folder


def as_csv(world):
    lines = [
        f"{row['id']},{row['text'] or ''},{row['label']}"
        for row in pq.read_table(world / "rows.parquet").to_pylist()
    ]
    lines.insert(30, "too,many,columns,here")
    path = world / "rows.csv"
    path.write_text("\n".join(["id,text,label", *lines]) + "\n")
    return path


WAYS = {
    "a file": (lambda world: Source(world / "rows.parquet"), {}),
    "no store": (lambda world: Source(world / "rows.parquet"), {"store": False}),
    "a store that stays as it is": (lambda world: Source(world / "rows.parquet"), {"cache": False}),
    "files to a folder": (lambda world: Source(in_two_files(world)), {"folder": True}),
    "files to a file": (lambda world: Source(in_two_files(world)), {}),
    "a condition": (lambda world: Source(world / "rows.parquet", where="id % 3 <> 1"), {}),
    "csv": (lambda world: Source(as_csv(world)), {}),
    "a query": (
        lambda world: Source(
            world / "rows.parquet", query=f"SELECT * FROM '{world / 'rows.parquet'}' ORDER BY text, id"
        ),
        {},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_team_writes_what_one_process_does(world, head, team, way):
    source, options = WAYS[way]
    one, many = both(world, team, source(world), head, proba=True, label_column="label", **options)
    assert one == many
    assert one[1]["encoded"] > 0
    assert set(team.kinds()) == {"EncodeTask", "OutputsTask"}
    assert team.kinds().count("EncodeTask") == 1  # so few texts need no more


def test_new_texts_are_shared_out(world, head, team, monkeypatch):
    monkeypatch.setattr("enc.engine.scoring.division._TEXTS_PER_WORKER", 10)
    one, many = both(world, team, Source(world / "rows.parquet"), head)
    assert one == many
    assert team.kinds().count("EncodeTask") == 3


def test_known_rows_need_no_encoder(world, head, team):
    def no_encoder(spec):
        raise AssertionError("everything is in the store")

    source = Source(world / "known.parquet")
    summary = score_parquet(
        source, world / "out.parquet", head, world / "store", workers=WORKERS, load=no_encoder
    )
    assert (summary.encoded, set(team.kinds())) == (0, {"OutputsTask"})


def test_several_heads_score_in_one_pass(world, head, team):
    options = {"columns": ["id"], "top_k": 2, "threshold": {"long": 0.6}}
    source, known = Source(world / "rows.parquet"), Source(world / "known.parquet")
    build_features(known, world / "store", FakeEncoder(pooling=("max",)), name="max")
    config = TrainConfig(epochs=2, head="mlp", head_args={"hidden": 5})
    other = train_head(known, Store(world / "store").open("max"), valid=known, config=config)
    one, many = both(world, team, source, {"a_": head, "b_": other, "c_": head}, **options)
    assert one == many
    assert team.kinds().count("EncodeTask") == 2


def test_a_head_with_words_reads_the_texts(world, team, head):
    known = Source(world / "known.parquet")
    config = SolveConfig(l2=(0.01,))
    table = Store(world / "store").open("set")
    plain = train_head(known, table, valid=Fraction(0.3), config=config)
    words = add_words(plain, known, table, seed=config.seed, valid=Fraction(0.3)).head
    one, many = both(world, team, Source(world / "rows.parquet"), words, proba=True)
    assert one == many


@pytest.mark.parametrize("combine", ["cosines", "cosines,words,difference"])
def test_pairs_that_are_encoded_apart(tmp_path, team, combine):
    rows = [
        {"a": f"{'w ' * (i % 5)}xx", "b": f"{'w ' * (i % 4)}{'yz'[i % 2]} {i % 9}", "label": i % 5 == i % 4}
        for i in range(60)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    new = [{"a": row["b"], "b": row["a"] if n % 9 else " "} for n, row in enumerate(rows)]
    new += [{"a": "brand new", "b": f"new {n}"} for n in range(9)]
    pq.write_table(pa.Table.from_pylist(new), tmp_path / "rows.parquet")
    source = Source(tmp_path / "train.parquet", text_column="a", pair_column="b", pairs="separate")
    build_features(source, tmp_path / "store", FakeEncoder(), name="set")
    table, config = Store(tmp_path / "store").open("set"), SolveConfig(l2=(0.01,))
    head = train_head(source, table, valid=Fraction(0.3), config=config, combine=combine)
    one, many = both(tmp_path, team, Source(tmp_path / "rows.parquet"), head, proba=True)
    assert one == many
    assert one[1]["encoded"] == 10


def test_an_unknown_label_is_told_before_heads_are_computed(world, head, team):
    source = Source(
        world / "known.parquet", query=f"SELECT *, 'odd' AS other FROM '{world / 'known.parquet'}'"
    )
    with pytest.raises(LabelError, match="odd"):
        score_parquet(
            source, world / "out.parquet", head, world / "store", workers=WORKERS, label_column="other"
        )
    assert team.orders == []
    assert not list(world.glob("out.parquet*"))


@pytest.mark.parametrize("after", [0, 1, 2, 4, 7])
def test_an_interrupted_team_goes_on(world, head, team, monkeypatch, after):
    monkeypatch.setattr("enc.engine.scoring.division._TEXTS_PER_WORKER", 15)
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    whole = score_parquet(source, world / "whole.parquet", head, load=load, proba=True)
    team.breaks_after = after
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, proba=True, workers=WORKERS)
    assert out.with_name("out.parquet.enc-part").exists() == (after > 0)
    first = team.orders[:]
    team.breaks_after, team.orders = 1 << 30, []
    said = []
    again = score_parquet(source, out, head, load=load, proba=True, workers=WORKERS, say=said.append)
    assert any("going on" in line for line in said) == (after > 0)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()
    assert counts_of(again) == counts_of(whole)
    parts = {json.loads(json.loads(order)["task"]).get("part") for order in first} - {None}
    again_parts = {json.loads(json.loads(order)["task"]).get("part") for order in team.orders} - {None}
    assert not parts & again_parts
    assert len(parts | again_parts) == 7
    assert not list(world.glob("*.enc-part"))


def test_one_process_goes_on_with_what_a_team_began(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    whole = score_parquet(source, world / "whole.parquet", head, load=load)
    team.breaks_after = 3
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)

    def no_encoder(spec):
        raise AssertionError("everything is encoded")

    again = score_parquet(source, out, head, load=no_encoder)
    assert counts_of(again) == counts_of(whole)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_part_that_is_damaged_is_computed_again(world, head, team, damage):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    score_parquet(source, world / "whole.parquet", head, load=load)
    team.breaks_after = 4
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    [part] = world.glob("*.enc-part/outputs-*/0-1.part")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 4
    part.write_bytes(content if damage == "flipped" else content[:100])
    if damage == "gone":
        part.unlink()
    team.breaks_after = 1 << 30
    score_parquet(source, out, head, load=load, workers=WORKERS)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


def test_parts_of_another_head_are_not_taken(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    other = head.replace(weights={name: one * 2 for name, one in head.weights.items()})
    team.breaks_after = 4
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, other, load=load, workers=WORKERS)
    left = {path.name: path.read_bytes() for path in world.glob("*.enc-part/outputs-*/*")}
    [folder] = world.glob("*.enc-part/outputs-*")
    team.breaks_after = 1 << 30
    with pytest.raises(OtherRun):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    run = team.run

    def beside_a_worker_of_the_killed_run(tasks):
        folder.mkdir(exist_ok=True)
        for name, content in left.items():
            (folder / name).write_bytes(content)
        return run(tasks)

    team.run = beside_a_worker_of_the_killed_run
    score_parquet(source, out, head, load=load, workers=WORKERS, overwrite=True)
    score_parquet(source, world / "whole.parquet", head, load=load)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


def test_another_choice_of_columns_takes_the_same_parts(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    team.breaks_after = 4
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    team.breaks_after, team.orders = 1 << 30, []
    score_parquet(source, out, head, load=load, workers=WORKERS, proba=True)
    assert len(team.orders) == 7 - 3
    score_parquet(source, world / "whole.parquet", head, load=load, proba=True)
    assert out.read_bytes() == (world / "whole.parquet").read_bytes()


def test_an_input_that_changes_is_refused(world, head, team):
    source, out, run = Source(world / "rows.parquet"), world / "out.parquet", team.run

    def changed_meanwhile(tasks):
        found = run(tasks)
        table = pq.read_table(world / "rows.parquet")
        pq.write_table(table.slice(0, 90), world / "rows.parquet")
        return found

    team.run = changed_meanwhile
    with pytest.raises(SourceError, match="changed while it was read"):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    assert not out.exists()


def test_files_that_are_not_to_be_seen_are_told(world, head, team, monkeypatch):
    run = team.run

    def lost(tasks):
        found = run(tasks)
        for path in world.glob("*.enc-part/outputs-*/0-2.part"):
            path.unlink()
        return found

    team.run = lost
    with pytest.raises(WorkerError, match=r"1 of the files .* folder that all machines share"):
        score_parquet(
            Source(world / "known.parquet"), world / "out.parquet", head, world / "store", workers=WORKERS
        )
    assert not (world / "out.parquet").exists()


@pytest.mark.parametrize("file", ["missing-0.parquet", "plan.json"])
def test_a_worker_that_does_not_see_the_folder_says_so(world, head, team, file):
    run = team.run

    def unseen(tasks):
        for path in world.glob(f"*.enc-part/**/{file}"):
            path.unlink()
        return run(tasks)

    team.run = unseen
    with pytest.raises(
        WorkerError, match=f"the worker cannot see '.*{file}'.*folder that all machines share"
    ):
        score_parquet(Source(world / "rows.parquet"), world / "out.parquet", head, load=load, workers=WORKERS)
    assert not (world / "out.parquet").exists()


def test_a_store_and_an_output_at_urls(world, head, team, objects, monkeypatch):
    source, store = Source(world / "rows.parquet"), "s3://bucket/store"
    build_features(Source(world / "known.parquet"), store, FakeEncoder(), name="set")
    score_parquet(source, world / "one.parquet", head, world / "store", load=load)
    monkeypatch.chdir(world)
    many = score_parquet(source, "s3://bucket/out/many.parquet", head, store, load=load, workers=WORKERS)
    assert set(team.kinds()) == {"EncodeTask", "OutputsTask"}
    assert many.outputs == ["s3://bucket/out/many.parquet"]
    assert objects.objects["out/many.parquet"][0] == (world / "one.parquet").read_bytes()
    assert Store(store).open("set").rows == FeatureTable(world / "store" / "set").rows
    assert not list(world.glob("s3*"))


def test_nothing_is_kept_of_a_run_that_did_nothing(world, head, team):
    def broken(tasks):
        raise WorkerError("no such backend")

    team.run = broken
    with pytest.raises(WorkerError, match="no such backend"):
        score_parquet(Source(world / "rows.parquet"), world / "out.parquet", head, load=load, workers=WORKERS)
    assert not list(world.glob("out.parquet*"))


def test_outputs_are_found_over_the_bounds_of_parts(tmp_path, head):
    batches = batches_of_ids.Batches.of((0, 5, 5), 11, 4)
    assert batches.bounds.tolist() == [0, 4, 5, 9, 11]
    assert batches.part_starts().tolist() == [0, 4, 5, 9]
    values = np.arange(22, dtype=np.float32).reshape(11, 2)
    known = np.ones(11, np.bool_)
    rows = ComputedRows(tmp_path, 0, head, np.zeros(11, np.int64), batches)
    assert rows.missing() == {0, 1, 2, 3}
    for part in range(4):
        start, stop = batches.part(part)[[0, -1]]
        outputs_task.write_part(tmp_path / f"0-{part}.part", values[start:stop], known[start:stop])
    assert rows.missing() == set()
    ids = np.array([0, 3, 4, 8, 10])
    np.testing.assert_array_equal(rows.outputs(ids), values[ids])


def test_there_are_not_too_many_parts():
    batches = batches_of_ids.Batches.of((0,), 10_000, 2)
    assert batches.parts == 1250
    assert sum(len(batches.part(part)) - 1 for part in range(1250)) == 5000
    assert batches.part(1249)[-1] == 10_000


def test_no_rows_need_no_parts(world, head, team):
    table = pq.read_table(world / "rows.parquet").slice(0, 0)
    pq.write_table(table, world / "empty.parquet")
    score_parquet(Source(world / "empty.parquet"), world / "out.parquet", head, load=load, workers=WORKERS)
    assert pq.read_table(world / "out.parquet").num_rows == 0
    assert team.orders == []


def test_the_folder_that_is_left_is_cleared_by_another_run(world, head, team):
    source, out = Source(world / "rows.parquet"), world / "out.parquet"
    team.breaks_after = 3
    with pytest.raises(KeyboardInterrupt):
        score_parquet(source, out, head, load=load, workers=WORKERS)
    with Unfinished(out) as kept:
        assert kept.is_begun
    team.breaks_after = 1 << 30
    score_parquet(source, out, head, load=load, workers=WORKERS, overwrite=True, threshold=0.5)
    assert not list(world.glob("*.enc-part"))


def test_a_class_of_ones_own_is_computed_where_its_code_is(world, team, monkeypatch):
    monkeypatch.chdir(world)
    monkeypatch.syspath_prepend(world)
    module = world / "own_head_of_division.py"
    module.write_text(
        "from torch import nn\n\n\nclass Own(nn.Module):\n"
        "    def __init__(self, shape, outputs):\n        super().__init__()\n"
        "        self.fc = nn.Linear(shape[0], outputs)\n\n"
        "    def forward(self, x):\n        return self.fc(x)\n"
    )
    source = Source(world / "known.parquet")
    config = TrainConfig(epochs=1, head="own_head_of_division:Own", allow_code=True)
    train_head(source, Store(world / "store").open(), valid=source, config=config).save(world / "own")
    head = Head.load(world / "own", allow_code=True)
    one, many = both(world, team, Source(world / "rows.parquet"), head, proba=True)
    assert one == many
    module.write_text(module.read_text() + "\n")
    with pytest.raises(HeadError, match="was trained with a module"):
        score_parquet(source, world / "c.parquet", head, world / "store", workers=WORKERS)
    assert not list(world.glob("c.parquet*"))


def test_a_fine_tuned_model_is_computed_as_a_head(world, head, team):
    made = np.random.default_rng(0)
    weights = {
        "head.dense.weight": made.standard_normal((4, 4)).astype(np.float32),
        "head.dense.bias": np.zeros(4, np.float32),
        "head.classifier.weight": made.standard_normal((2, 4)).astype(np.float32),
        "head.classifier.bias": np.zeros(2, np.float32),
        "mean": np.zeros(4, np.float32),
        "scale": np.ones(4, np.float32),
    }
    tuned = head.replace(kind=TUNED, arguments={"activation": "tanh"}, weights=weights)
    one, many = both(world, team, Source(world / "rows.parquet"), tuned, proba=True)
    assert one == many


@pytest.mark.parametrize(
    ("options", "line"),
    [({"count": 0}, "0 workers do nothing"), ({"runner": "rya"}, "unknown runner 'rya'")],
)
def test_workers_that_cannot_be(options, line):
    with pytest.raises(WorkerError, match=line):
        Workers(**options)
