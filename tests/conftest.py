import json
import os
import shutil
from pathlib import Path

import hypothesis
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ENC_REPORT"] = "0"  # which would begin a process that draws, in each test that trains
hypothesis.settings.register_profile(
    "untimed", deadline=None
)  # the machines are shared, and no test is timed
hypothesis.settings.load_profile("untimed")
SHARED = Path(os.environ.get("ENC_SHARED", Path(__file__).parents[1] / ".." / "shared")).resolve()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Let go of the tests, and so of the objects that they are parametrized with.

    pytest's loader of rewritten modules keeps the session until the interpreter has ended. Parameters of
    enc's classes keep modules of enc, and these keep DuckDB, whose binding then reports leaks after the
    summary.
    """
    session.items.clear()


@pytest.fixture(scope="session", autouse=True)
def no_memory_of_other_runs(tmp_path_factory):
    """Keep what enc remembers of this machine out of the tests, and the other way round."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def fresh_memory(tmp_path, monkeypatch):
    """For a test that measures: what is remembered of it would decide how later tests encode."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Optional data and models that are too large for the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no test data at {SHARED}; set ENC_SHARED to its folder")
    return SHARED


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """A folder with a random BERT (2 layers, 16 wide) whose words are single letters and a few Chinese
    characters.
    """
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,.!?'\"-好坏酒店很不"
    vocabulary = {token: i for i, token in enumerate([*special, *letters, *("##" + c for c in letters)])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100_000))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True)
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=64, model_input_names=inputs, **names
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_bert, tmp_path_factory):
    """A function that makes a folder with a random model of an architecture, as small as `tiny_bert` and with
    its tokenizer.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    sizes = dict(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
    )

    def make(model_type: str, **changes) -> Path:
        folder = tmp_path_factory.mktemp("models") / f"tiny-{model_type}"
        shutil.copytree(tiny_bert, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
        vocabulary = json.loads((tiny_bert / "config.json").read_text())["vocab_size"]
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            model_type, **sizes | dict(vocab_size=vocabulary, pad_token_id=0) | changes
        )
        AutoModel.from_config(config).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def write(tmp_path):
    """Write bytes or text to a file in the test's folder."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def golden():
    """Compare a text with a file under tests/golden; ENC_GOLDEN=write replaces the file."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if os.environ.get("ENC_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def objects(tmp_path, monkeypatch):
    """An object store on this machine, ``s3://bucket``, and the environment that leads there."""
    from object_server import KEY, SECRET, object_server

    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with object_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("ENC_SHARD_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("ENC_SHARD_CACHE_GB", "1")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache-home"))
        yield server


@pytest.fixture
def small_pieces(monkeypatch):
    """Parquet files of any size are read in pieces of about a hundred rows, if their row groups allow it."""
    from enc.store import row_groups

    monkeypatch.setattr(row_groups, "PIECE_BYTES", 100 * 300)
    monkeypatch.setattr(row_groups, "_LOOKED_AT", 0)
    row_groups.pieces_of.cache_clear()
    yield
    row_groups.pieces_of.cache_clear()


@pytest.fixture
def small_text_pieces(monkeypatch):
    """Text files of any size are read in pieces of about a hundred rows, and divided at any row that is far
    from the one before by 97 bytes.
    """
    from enc.store import row_groups, text_pieces

    monkeypatch.setattr(row_groups, "PIECE_BYTES", 100 * 270)
    monkeypatch.setattr(text_pieces, "LOOKED_AT", 0)
    monkeypatch.setattr(text_pieces, "BLOCK_BYTES", 97)
