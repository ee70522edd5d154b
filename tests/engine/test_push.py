"""Heads and models go to a hub and come back, and nothing else of their folders does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from enc.engine import Head, TrainConfig, build_features, load_encoder, train_head
from enc.engine.classifier import load_classifier
from enc.engine.encode.hub_names import HubName
from enc.engine.publish.public import public_model, public_record
from enc.engine.push import push_head
from enc.engine.reports.runs import read_run
from enc.store import EncError, HubError, Store
from fake_hub import READER, TOKEN, Repository, point_at, running_hub
from upper_layers import write_rows

FILES = {"README.md", "head.json", "head.safetensors", "metrics.json"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as hub:
        point_at(hub, monkeypatch, tmp_path / "home")
        yield hub


@pytest.fixture(scope="module")
def made(tiny_bert, tmp_path_factory) -> Path:
    """A folder with a head as `train-head` leaves it, of an encoder in a folder."""
    folder = tmp_path_factory.mktemp("made")
    source = write_rows(folder / "secret-rows.tsv")
    encoder = load_encoder(tiny_bert, backend="torch", max_length=16, pooling="mean")
    build_features(source, folder / "store", encoder, name="tiny")
    config = TrainConfig(epochs=2, learning_rate=0.03)
    head = train_head(source, Store(folder / "store").open("tiny"), valid=source, config=config)
    command = f"enc train-head {folder}/secret-rows.tsv --output {folder}/head"
    head.replace(record={**head.record, "command": command}).save(folder / "head")
    (folder / "head" / "report.html").write_text("the text of a row")
    (folder / "head" / "notes.txt").write_text("mine")
    return folder / "head"


def sent(hub, repo="me/reviews", branch="main") -> dict[str, bytes]:
    files = dict(hub.repositories[repo].files(branch))
    del files[".gitattributes"]
    return files


def card_of(files) -> dict:
    return yaml.safe_load(files["README.md"].decode().split("---\n")[1])


def test_a_head_goes_and_comes_back(hub, made):
    pushed = push_head(made, "me/reviews")
    assert {*pushed.files} == {*sent(hub)} == FILES
    assert (pushed.private, pushed.is_changed, pushed.revision) == (False, True, "main")
    head, original = Head.load("hf://me/reviews"), Head.load(made)
    features = np.ones((3, *original.shape), np.float16)
    np.testing.assert_array_equal(head.outputs(features), original.outputs(features))
    assert head.spec.digest == original.spec.digest
    assert head.history == original.history
    assert head.metrics == original.metrics
    again = push_head(made, "hf://me/reviews")
    assert (again.is_changed, again.commit) == (False, pushed.commit)


def test_nothing_names_a_place_or_a_row(hub, made, tiny_bert):
    pushed = push_head(made, "me/reviews")
    for name, data in sent(hub).items():
        for secret in (str(made.parent), str(tiny_bert.parent), "train-head", "text of a row", TOKEN, "tmp/"):
            assert secret.encode() not in data, (name, secret)
    saved = json.loads(sent(hub)["head.json"])
    assert saved["record"]["sources"] == {"train": "secret-rows.tsv", "valid": "secret-rows.tsv"}
    assert not {"train", "command"} & {*saved["record"]}
    assert saved["features"]["spec"]["model"] == "tiny-bert"
    assert "--base-model" in pushed.remarks[0]


def test_the_card(hub, made):
    push_head(made, "me/reviews", base_model="owner/tiny-bert")
    card = card_of(sent(hub))
    assert (card["library_name"], card["pipeline_tag"]) == ("enc-features", "text-classification")
    assert card["base_model"] == "owner/tiny-bert"
    assert "accuracy" in card["metrics"]
    (result,) = card["model-index"][0]["results"]
    accuracy = next(one["value"] for one in result["metrics"] if one["type"] == "accuracy")
    assert accuracy == pytest.approx(Head.load(made).metrics["accuracy"], abs=1e-6)
    assert "enc predict --head hf://me/reviews" in sent(hub)["README.md"].decode()
    assert Head.load("hf://me/reviews").spec.model == "owner/tiny-bert"


def test_a_card_that_was_edited_stays(hub, made):
    push_head(made, "me/reviews")
    repository = hub.repositories["me/reviews"]
    files = repository.files()
    repository.commit("main", files | {"README.md": files["README.md"] + b"my words\n"})
    pushed = push_head(made, "me/reviews", base_model="owner/tiny-bert")
    assert sent(hub)["README.md"].endswith(b"my words\n")
    assert "README.md has been edited" in pushed.remarks[0]
    assert json.loads(sent(hub)["head.json"])["features"]["spec"]["model"] == "owner/tiny-bert"


def test_what_an_earlier_push_left_is_removed(hub, made):
    push_head(made, "me/reviews")
    repository = hub.repositories["me/reviews"]
    repository.commit("main", repository.files() | {"words.json": b"{}", "words.safetensors": b""})
    with pytest.raises(EncError, match=r"damaged.*words\.json"):
        Head.load("hf://me/reviews")
    assert push_head(made, "me/reviews").removed == ["words.json", "words.safetensors"]
    assert {*sent(hub)} == FILES


def test_branches(hub, made):
    pushed = push_head(made, "me/reviews", revision="try-2")
    assert {*sent(hub, branch="try-2")} == FILES
    assert sent(hub) == {}
    assert load_classifier("hf://me/reviews@try-2").labels == Head.load(made).labels
    assert load_classifier(f"hf://me/reviews@{pushed.commit}").labels == Head.load(made).labels
    with pytest.raises(HubError, match=r"'me/reviews' has no revision 'try-3'"):
        load_classifier("hf://me/reviews@try-3")
    with pytest.raises(HubError, match=r"holds neither a head that `enc push`"):
        load_classifier("hf://me/reviews")


def test_private_means_private(hub, made, monkeypatch):
    assert push_head(made, "me/mine", private=True).private
    hub.repositories["me/public"] = Repository()
    with pytest.raises(HubError, match=r"'me/public' is there, and is public"):
        push_head(made, "me/public", private=True)
    assert sent(hub, "me/public") == {}
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"there is no 'me/mine' at http.*, or it is private"):
        load_classifier("hf://me/mine")


@pytest.mark.parametrize(
    "files", [{"pytorch_model.bin": b""}, {"config.json": b"{}"}, {"head.json": b"{}", "data/rows.json": b""}]
)
def test_what_is_not_ours_is_left_alone(hub, made, files):
    hub.repositories["me/other"] = Repository()
    hub.repositories["me/other"].commit("main", files)
    with pytest.raises(HubError, match="holds something that `enc push` did not put there"):
        push_head(made, "me/other")
    assert hub.repositories["me/other"].files() == files


def test_tokens(hub, made, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(HubError, match="the hub refuses your token for 'me/reviews'") as error:
        push_head(made, "me/reviews")
    assert READER not in str(error.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"there is no token for the hub; `hf auth login`"):
        push_head(made, "me/reviews")
    assert not hub.repositories


def test_a_server_that_fails(hub, made):
    hub.fails = (500, f"cannot store it for {TOKEN}\nat line 3")
    with pytest.raises(HubError, match=r"the hub answers 500 for 'me/reviews'") as error:
        push_head(made, "me/reviews")
    assert TOKEN not in str(error.value)
    assert "\n" not in str(error.value)


def test_no_network(hub, made, monkeypatch):
    push_head(made, "me/reviews")
    labels = load_classifier("hf://me/reviews").labels
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_classifier("hf://me/reviews").labels == labels
    with pytest.raises(HubError, match=r"'hf://me/new' is not in the hub's cache, and HF_HUB_OFFLINE is set"):
        load_classifier("hf://me/new")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set; unset it"):
        push_head(made, "me/reviews")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubError, match=r"cannot be (had from|reached)"):
        load_classifier("hf://me/new")
    with pytest.raises(HubError, match=r"cannot be had from or sent to http://127\.0\.0\.1:1"):
        push_head(made, "me/reviews")


def test_own_code_is_imported_where_it_is_allowed(hub, made, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\n\nclass Mine(torch.nn.Linear):\n    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape[0], outputs)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = write_rows(tmp_path / "rows.tsv")
    table = Store(made.parent / "store").open("tiny")
    config = TrainConfig(epochs=1, head="mine:Mine", allow_code=True)
    train_head(source, table, valid=source, config=config).save(tmp_path / "own")
    with pytest.raises(EncError, match="--allow-code"):
        push_head(tmp_path / "own", "me/own")
    pushed = push_head(tmp_path / "own", "me/own", allow_code=True)
    assert "class of the head is not published" in " ".join(pushed.remarks)
    with pytest.raises(EncError, match="--allow-code"):
        load_classifier("hf://me/own")
    assert load_classifier("hf://me/own", allow_code=True).kind == "mine:Mine"


def test_a_fine_tuned_model(hub, tiny_bert, tmp_path):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = tmp_path / "tuned"
    shutil.copytree(tiny_bert, folder)
    config = AutoConfig.from_pretrained(tiny_bert, num_labels=2)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["name_or_path"] = "/home/me/models/tiny"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    arguments = ["--model_name_or_path", "google-bert/bert-base-cased", "--train_file", "/home/me/rows.tsv"]
    record = dict(format=1, task_name=None, labels=["no", "yes"], max_length=12, arguments=arguments)
    record |= dict(text_column="text", pair_column=None, metrics={"eval_accuracy": 0.75})
    (folder / "enc.json").write_text(json.dumps(record))
    (folder / "training_args.bin").write_bytes(b"pickled")
    pushed = push_head(folder, "me/tuned")
    assert not {"training_args.bin", "head.json"} & {*sent(hub, "me/tuned")}
    assert b"/home/me" not in b"".join(sent(hub, "me/tuned").values())
    assert card_of(sent(hub, "me/tuned"))["base_model"] == "google-bert/bert-base-cased"
    head, original = load_classifier("hf://me/tuned"), load_classifier(folder)
    assert head.spec.model == f"hf://me/tuned@{pushed.commit}"
    assert (head.spec.weights, head.feature_set) == (original.spec.weights, "tuned-cls-12")
    encoder = load_encoder(head.spec.model, backend="torch", **head.spec.setting)
    assert encoder.spec.digest == head.spec.digest
    (folder / "enc.json").unlink()  # a model that another program fine-tuned
    for _ in range(2):
        push_head(folder, "me/other")
    assert load_classifier("hf://me/other").labels.values == load_classifier(folder).labels.values
    assert read_run("hf://me/other").name == "other"


def test_only_files_of_the_head_are_sent(hub, made, tmp_path):
    shutil.copytree(made, tmp_path / "head")
    (tmp_path / "key.json").write_text("secret")
    path = tmp_path / "head" / "head.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"labels": ["a`b\n", "c"], "files": ["../key.json"]}))
    assert {*push_head(tmp_path / "head", "me/reviews").files} == FILES
    assert "Labels: `a'b\\n`, `c`." in sent(hub)["README.md"].decode()


@pytest.mark.parametrize("name", ["me", "me/a/b", "../x", "me/..", "me/a@", "me/a b", "me/a--b", ""])
def test_names_that_are_none(name):
    with pytest.raises(HubError, match=r"names no repository of the hub; write OWNER/REPO"):
        load_classifier(f"hf://{name}")


def test_names():
    assert HubName.of("hf://me/a@refs/pr/1") == HubName("me/a", "refs/pr/1")
    assert HubName.of(Path("hf://me/a")) == HubName("me/a")
    assert HubName.of("me/a") is None
    assert HubName.of("s3://me/a") is None


def test_what_is_published_of_a_record():
    cache = "/home/me/.cache/huggingface/hub/models--owner--name/snapshots/" + "a" * 40
    assert public_model(cache) == "owner/name"
    assert public_model("/home/me/bert") is None
    assert public_model("minilm") == "sentence-transformers/all-MiniLM-L6-v2"
    record = {"train": "/home/jo smith/a.tsv", "config": {"head_args": {"file": "C:\\me\\x.json"}},
              "command": "enc train-head /data/a.tsv", "unknown": "/data"}  # fmt: skip
    assert public_record(record) == {
        "sources": {"train": "a.tsv"},
        "config": {"head_args": {"file": "x.json"}},
    }
