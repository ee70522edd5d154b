"""`enc store`, and how other commands name what is damaged."""

import json
from pathlib import Path

import pytest
from enc.store import FeatureTable
from feature_sets import add, filled, flip, page_start, served


@pytest.fixture
def store(tmp_path) -> Path:
    filled(tmp_path / "a store" / "one", range(10), range(10, 20))
    filled(tmp_path / "a store" / "two", range(5))
    return tmp_path / "a store"


def test_a_sound_store(enc, store):
    add(FeatureTable(store / "one"), range(3))
    lines = enc("store", "verify", store).stdout.splitlines()
    assert lines == [
        "one: 23 rows in 3 shards, version 3: sound; 3 doubles, which `enc store compact` removes",
        "two: 5 rows in 1 shard, version 1: sound",
    ]
    assert json.loads(enc("store", "verify", store, "two", "--json").stdout)["damaged"] == []


def test_damage_is_named_and_repaired(enc, store):
    path = Path(FeatureTable(store / "one").shards[0])
    flip(path, page_start(path, "features") + 3, 1)
    found = enc("store", "verify", store, code=2)
    assert "one: 0 rows in 2 shards, version 2: damaged" in found.stdout
    assert found.stderr.splitlines() == [
        f"shard {path} is damaged: row group 0 is not what was written",
        f"error: '{store}' is damaged; run `enc store verify '{store}' --repair`",
    ]
    found = enc("store", "verify", store, "--repair")
    assert "repaired: 0 rows of damaged shards kept, 10 dropped" in found.stdout
    assert "one: 10 rows in 1 shard, version 3: sound" in enc("store", "verify", store, "one").stdout


def test_compact_delete_and_vacuum(enc, store):
    assert "one: 2 shards are now 1, 20 rows" in enc("store", "compact", store).stdout
    deleted = enc("store", "delete", store, "one", "--where", "n_tokens = 3").stdout
    assert "one: 1 rows deleted for 1 distinct texts, 0 of them unknown, version 4" in deleted
    assert "in 2 files of version 1 to 3; `enc store vacuum" in deleted
    assert "3 files" in enc("store", "vacuum", store, "one", "--retain", 0, "--dry-run").stdout
    assert "0 files, 0 B, removed; 3 of old versions kept" in enc("store", "vacuum", store, "one").stdout
    assert "one: 3 files" in enc("store", "vacuum", store, "--retain", 0).stdout
    assert "no older version has them" in enc("store", "delete", store, "one", "--where", "false").stdout
    assert sorted(served(store / "one")) == [n for n in range(20) if n != 3]


def test_delete_texts_of_a_file_from_all_feature_sets(enc, built, tmp_path, write):
    before = FeatureTable(next((tmp_path / "store").iterdir())).rows
    asked = write("asked.tsv", "sentence\nnever seen\n")
    said = enc("store", "delete", tmp_path / "store", "--keys-from", asked).stdout
    assert "0 rows deleted for 1 distinct texts, 1 of them unknown" in said
    said = enc("store", "delete", tmp_path / "store", "--keys-from", built, "--json").stdout
    assert json.loads(said)["deleted"] == before


@pytest.fixture
def built(enc, write, tiny_bert, tmp_path):
    reviews = write("reviews.tsv", "sentence\tlabel\n" + "".join(f"good {n}\t{n % 2}\n" for n in range(12)))
    enc("build-features", reviews, "--store", tmp_path / "store", "--model", tiny_bert, "--max-length", 16)
    return reviews


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("delete",), "say what to delete"),
        (("delete", "--text-column", "a", "--where", "true"), "are of --keys-from"),
        (("delete", "--where", "label = 1"), "it is a condition over key, n_tokens and truncated"),
        (("delete", "--keys-from", "nothing.tsv"), "no file 'nothing.tsv'"),
        (("vacuum", "--retain", "-1"), "--retain"),
        (("vacuum", "none"), "there is no feature set 'none'"),
    ],
)
def test_mistakes_are_told(enc, store, arguments, message):
    command, *more = arguments
    assert message in enc("store", command, store, *more, code=2).output


def test_diff(enc, store):
    said = enc("store", "diff", store, "one", "two").stdout
    assert "5 texts in both; 15 only in one, 0 only in two" in said
    assert "cosine: mean 1.000000" in said
    there = json.loads(enc("store", "diff", store, "one", "one", "--other", store, "--json").stdout)
    assert there["rows"] == 20


def harm(store: Path, how: str) -> Path:
    """Damage a store's only feature set; returns what has to be named."""
    folder = next(store.iterdir())
    shard = Path(FeatureTable(folder).shards[0])
    data = shard.read_bytes()
    if how == "missing":
        shard.unlink()
    elif how == "bit":
        flip(shard, page_start(shard, "features") + 9, 3)
    elif how in ("empty", "cut", "foreign"):
        shard.write_bytes({"empty": b"", "cut": data[:99], "foreign": b"text" * (len(data) // 4)}[how])
    else:
        for path in (folder / "_delta_log").iterdir():
            path.unlink() if how == "no log" else path.write_text("{broken")
        return folder
    return shard


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "foreign", "bit", "no log", "damaged log"])
def test_every_command_names_what_is_damaged_and_the_way_out(enc, built, tiny_bert, tmp_path, how, write):
    import duckdb

    store = tmp_path / "store"
    enc("train-head", built, "--valid-fraction", 0.3, "--store", store, "--output", tmp_path / "head")
    duckdb.sql(f"COPY (FROM read_csv('{built}')) TO '{tmp_path / 'in.parquet'}'")
    named = harm(store, how)
    options = ("--store", store)
    commands = [
        ("train-head", built, "--valid-fraction", 0.3, "--output", tmp_path / "other", *options),
        ("score", tmp_path / "in.parquet", tmp_path / "out.parquet", "--head", tmp_path / "head", *options),
        ("store", "verify", store),
    ]
    if how != "bit":  # of features, which these do not read
        commands.append(("build-features", built, "--model", tiny_bert, "--max-length", 16, *options))
        if how != "foreign":  # of the same size; ls reads the log, and no shard
            commands.append(("store", "ls", store))
    for command in commands:
        said = enc(*command, code=2).stderr
        assert str(named) in said, command
        assert f"enc store verify '{store}' --repair" in said, command
        assert "Traceback" not in said
        assert len(said.splitlines()) <= 2
    assert not (tmp_path / "out.parquet").exists()

    enc("store", "verify", store, "--repair")
    build = ("build-features", built, "--model", tiny_bert, "--max-length", 16, "--json", *options)
    assert json.loads(enc(*build).stdout)["encoded"] == (0 if "log" in how else 12)
    enc(*commands[0])


def test_a_store_with_an_empty_folder(enc, store):
    (store / "empty").mkdir()
    assert "has no log" in enc("store", "show", store, "empty", code=2).stderr
    assert "empty" not in enc("store", "ls", store).stdout
