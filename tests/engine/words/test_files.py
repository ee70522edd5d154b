"""Words on disk: the same afterwards, and refused where they are damaged."""

import json

import numpy as np
import pytest
from enc.engine.words.features import fit_features
from enc.engine.words.files import load_words, save_words
from enc.engine.words.joining import Joining
from enc.engine.words.model import WordModel
from enc.engine.words.part import WordPart
from enc.engine.words.settings import WordSettings
from enc.engine.words.texts import Texts

TEXTS = Texts.of(["a good film", "no good", "a bad film", '"quoted"\t\u2028 good film'])


@pytest.fixture
def saved(tmp_path):
    features, _ = fit_features(TEXTS, WordSettings(min_count=1), 2)
    weights = np.random.default_rng(0).random((2, features.width), np.float32)
    part = WordPart(
        WordModel(features, weights, np.float32([1, 2])), Joining(0.5, 1.25, np.float32([0.5, -1]))
    )
    return part, tmp_path, save_words(part, tmp_path)


def test_what_is_loaded_gives_the_same_logits(saved):
    part, folder, digests = saved
    loaded = load_words(folder, digests, 2)
    logits = np.zeros((4, 2), np.float32)
    np.testing.assert_array_equal(loaded.joined(logits, TEXTS), part.joined(logits, TEXTS))
    assert loaded.model.features.title == part.model.features.title
    assert len(loaded.model.logits(TEXTS.take(np.array([], np.int64)))) == 0
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("name", ["words.json", "words.safetensors"])
def test_every_changed_byte_is_found(saved, name):
    _, folder, digests = saved
    content = bytearray((folder / name).read_bytes())
    content[len(content) * 2 // 3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not the file"):
        load_words(folder, digests, 2)


def test_words_of_a_head_with_other_outputs_are_refused(saved):
    _, folder, digests = saved
    with pytest.raises(ValueError, match="weights of its words"):
        load_words(folder, digests, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one["terms"].pop(), "numbers for"),
        (lambda one: one["terms"].__setitem__(0, one["terms"][1]), "there twice"),
        (lambda one: one["terms"].__setitem__(0, 3), "no texts"),
        (lambda one: one.__setitem__("analyzer", "code"), "that there are not"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(saved, change, told):
    from hashlib import sha256

    _, folder, digests = saved
    description = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    change(description["blocks"][0])
    text = json.dumps(description)
    (folder / "words.json").write_text(text, encoding="utf-8")
    digests = {**digests, "words.json": sha256(text.encode()).hexdigest()}
    with pytest.raises(ValueError, match=told):
        load_words(folder, digests, 2)
