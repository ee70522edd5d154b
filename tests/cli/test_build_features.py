"""How the command divides a build among processes; what these do is tried in tests/engine/runners."""

import json
import sys

import pytest
from enc.store import Store


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--workers", "none"], "--workers none: pass a number from 1 to 1024, or auto"),
        (["--workers", "0"], "--workers 0: pass a number"),
        (["--workers", "9999"], "--workers 9999: pass a number"),
        (["--share", "4/3"], "there is no share 4 of 3; write one such as 1/8"),
        (["--share", "third"], "'third' is no share"),
        (["--cpus-per-worker", "2"], "--cpus-per-worker is of Ray's tasks; add --runner ray"),
        (["--runner", "ray", "--gpus-per-worker", "nan"], "--gpus-per-worker nan: pass a number from 0"),
        (["--runner", "ray", "--cpus-per-worker", "-1"], "--cpus-per-worker -1.0: pass a number from 0"),
    ],
)
def test_what_cannot_be_divided_so_is_told(enc, reviews, tmp_path, tiny_bert, options, line):
    store = tmp_path / "store"
    found = enc("build-features", reviews, "--store", store, "--model", tiny_bert, *options, code=2)
    assert line in found.stderr
    assert not store.exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--workers", "0"], "--workers 0: pass a number from 1 to 1024, or auto"),
        (["--gpus-per-worker", "1"], "--gpus-per-worker is of Ray's tasks; add --runner ray"),
    ],
)
def test_a_score_that_cannot_be_divided_so_is_told(enc, reviews, tmp_path, options, line):
    output = tmp_path / "out.parquet"
    assert line in enc("score", reviews, output, "--head", tmp_path / "head", *options, code=2).stderr
    assert not output.exists()


def test_shares_and_workers_make_one_feature_set(enc, reviews, tmp_path, tiny_bert):
    def build(*options):
        start = ("build-features", reviews, "--store", tmp_path / "store", "--max-length", 16)
        return json.loads(enc(*start, "--model", tiny_bert, "--backend", "torch", "--json", *options).stdout)

    first, second = build("--share", "1/2"), build("--share", "2/2", "--workers", "2")
    assert first["encoded"] + second["encoded"] == first["rows"] + second["rows"] == 60
    assert Store(tmp_path / "store").open().rows == build()["cached"] == 60


def test_pairs_that_are_encoded_apart_are_divided_by_their_texts(enc, tmp_path, tiny_bert):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\n" + "".join(f"x{n}\ty{n % 3}\n" for n in range(9)))
    pairs = ("--text-column", "a", "--pair-column", "b", "--pairs", "separate", "--workers", "2")
    options = ("--store", tmp_path / "s", "--model", tiny_bert, "--max-length", 16, "--backend", "torch")
    found = json.loads(enc("build-features", path, *options, *pairs, "--json").stdout)
    assert (found["rows"], found["distinct"], found["encoded"]) == (9, 12, 12)
    found = json.loads(
        enc("build-features", path, *options, *pairs, "--first-pass", "always", "--json").stdout
    )
    assert (found["rows"], found["distinct"], found["cached"]) == (9, 12, 12)


def test_without_ray_the_command_that_adds_it_is_told_in_one_line(
    enc, reviews, tmp_path, tiny_bert, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    store = ("--store", tmp_path / "s", "--model", tiny_bert)
    found = enc("build-features", reviews, *store, "--runner", "ray", code=2)
    told = [line for line in found.stderr.splitlines() if "Ray" in line]
    assert told == ["error: Ray is not installed; pip install 'enc-features[ray]'"]


def test_a_first_pass_is_made_alone_and_used_by_shares(enc, reviews, tmp_path, tiny_bert):
    def build(*options, code=0):
        start = ("build-features", reviews, "--store", tmp_path / "store", "--max-length", 16)
        return enc(*start, "--model", tiny_bert, "--backend", "torch", *options, code=code)

    told = build("--first-pass", "only")
    assert "rows read         60" in told.stdout
    made = json.loads(build("--first-pass", "only", "--json").stdout)
    assert (made["files"], made["read"], made["distinct"]) == (1, 0, 60)
    found = [json.loads(build("--share", share, "--json").stdout) for share in ("1/2", "2/2")]
    assert [one["rows"] for one in found] == [one["encoded"] for one in found]
    assert sum(one["encoded"] for one in found) == 60
    assert "leave out --share" in build("--first-pass", "only", "--share", "1/2", code=2).stderr
    assert len(json.loads(enc("store", "ls", tmp_path / "store", "--json").stdout)) == 1
    removed = enc("store", "vacuum", tmp_path / "store", "--retain", 0).stdout
    assert "2 files of a first pass" in removed
    assert not (tmp_path / "store" / "_work").exists()
