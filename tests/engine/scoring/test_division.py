"""Several processes score as one does: here by a team in this process, and by real ones in test_workers."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from divided import WORKERS, both, load
from enc.engine import Fraction, Head, SolveConfig, build_features, score_parquet, train_head
from enc.engine.heads.kinds import TUNED
from enc.engine.sweep.with_words import add_words
from enc.engine.train.config import TrainConfig
from enc.store import FeatureTable, HeadError, Source, Store
from fakes import FakeEncoder


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


def test_no_rows_need_no_parts(world, head, team):
    table = pq.read_table(world / "rows.parquet").slice(0, 0)
    pq.write_table(table, world / "empty.parquet")
    score_parquet(Source(world / "empty.parquet"), world / "out.parquet", head, load=load, workers=WORKERS)
    assert pq.read_table(world / "out.parquet").num_rows == 0
    assert team.orders == []


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
