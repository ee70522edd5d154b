"""A model's facts and tokenizer come from transformers once, and are the same from the cache."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from enc.engine.encode.checkpoint import checkpoint_of, facts_of
from enc.engine.encode.facts import longest_input

TEXTS = ["a good hotel, very good!", "好 酒店 很 好", "x " * 40]


@pytest.fixture
def told(tiny_bert, fresh_memory):
    """What is said when the model is opened."""

    def open_model():
        said = []
        checkpoint = checkpoint_of(str(tiny_bert), pooling="mean", max_length=16, say=said.append)
        return said, checkpoint.layer_count, checkpoint.tokenize(TEXTS)

    return open_model


def test_the_cache_gives_the_same_tokens(told):
    (said, layers, tokens), (again, layers_again, tokens_again) = told(), told()
    assert (len(said), again) == (1, [])
    assert layers == layers_again == 2
    assert tokens.ids.tolist() == tokens_again.ids.tolist()
    assert tokens.truncated.tolist() == tokens_again.truncated.tolist() == [True, False, True]


def test_facts_of_a_known_model_need_no_transformers(tiny_bert, fresh_memory):
    facts = facts_of(str(tiny_bert))
    assert (facts.hidden_size, facts.layer_count, facts.longest_input, facts.pad_id) == (16, 2, 64, 0)
    script = (
        f"import sys; from enc.engine.encode.checkpoint import facts_of; facts_of({str(tiny_bert)!r}); "
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_facts_without_their_tokenizer_are_made_anew(told, tmp_path):
    told()
    (kept,) = (tmp_path / "cache" / "enc" / "models").glob("*.tokenizer.json")
    kept.unlink()
    said, _, _ = told()
    assert len(said) == 1


@pytest.mark.parametrize(
    ("model_type", "positions", "pad_id", "tokenizer_length", "longest"),
    [
        ("bert", 512, 0, 10**30, 512),
        ("bert", 512, 0, 256, 256),
        ("roberta", 514, 1, 10**30, 512),  # the first position is 2
        ("roberta", 514, 1, 512, 512),
        ("mpnet", 514, None, 10**30, 513),
        ("bert", None, 0, 300, 300),
    ],
)
def test_the_longest_input(model_type, positions, pad_id, tokenizer_length, longest):
    config = SimpleNamespace(model_type=model_type, max_position_embeddings=positions, pad_token_id=pad_id)
    assert longest_input(config, SimpleNamespace(model_max_length=tokenizer_length)) == longest
