"""Counts of words are those that plain Python finds."""

import math
import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from enc.engine.pairs.words import BUCKETS, COUNTS, WordRarity, word_counts
from hypothesis import given
from hypothesis import strategies as st

EVEN = np.ones(BUCKETS, np.float32)


def counts(first: str, second: str, rarity=EVEN) -> dict[str, float]:
    found = word_counts(pa.array([first]), pa.array([second]), rarity)
    return dict(zip(COUNTS, found[0].tolist(), strict=True))


def by_hand(first: str, second: str) -> dict[str, float]:
    one, other = (re.findall(r"[^\W_]+", text.lower()) for text in (first, second))
    a, b = set(one), set(other)
    pairs_a, pairs_b = (set(pairwise(words)) for words in (one, other))
    return {
        "shared of both": len(a & b) / max(1, len(a | b)),
        "shared of the first": len(a & b) / max(1, len(a)),
        "shared of the second": len(a & b) / max(1, len(b)),
        "rare shared of the first": len(a & b) / max(1, len(a)),
        "bigrams shared of the first": len(pairs_a & pairs_b) / max(1, len(pairs_a)),
        "bigrams shared of the second": len(pairs_a & pairs_b) / max(1, len(pairs_b)),
        "numbers of the first alone": math.log1p(sum(word[0].isdigit() for word in a - b)),
        "numbers of the second alone": math.log1p(sum(word[0].isdigit() for word in b - a)),
        "length of the first": math.log1p(len(one)),
        "length of the second": math.log1p(len(other)),
        "equal": float(first.lower() == second.lower()),
    }


SENTENCES = st.lists(st.sampled_from(["Dog", "dog", "cat", "42", "7", "sat", ",", "."])).map(" ".join)


@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=5))
def test_counts_are_those_of_plain_python(pairs):
    first, second = (pa.array(side, pa.string()) for side in zip(*pairs, strict=True))
    for row, pair in zip(word_counts(first, second, EVEN), pairs, strict=True):
        found, wanted = dict(zip(COUNTS, row.tolist(), strict=True)), by_hand(*pair)
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "is_negated"),
    [
        ("I do not know", True),
        ("he doesn't", True),
        ("he doesn 't", True),
        ("nothing there", True),
        ("a notable knot", False),
        ("房间不好", True),
        ("房间很好", False),
    ],
)
def test_negation_is_found(text, is_negated):
    found = counts(text, "yes")
    assert (found["negation of the first"], found["negation of the second"]) == (is_negated, 0)
    assert found["negation of one alone"] == is_negated


def test_characters_of_scripts_without_spaces_are_words():
    assert counts("房间很好", "房间不好")["shared of the first"] == 0.75


def test_rare_words_weigh_more():
    rarity = WordRarity()
    rarity.add(pa.array(["the dog", "the cat", "the bird", "the the"]))
    table = rarity.table()
    found = counts("the dog", "dog", table)
    assert found["shared of the first"] == 0.5
    # Of 4 texts, 4 have "the" and 1 has "dog".
    the, dog = math.log(5 / 5), math.log(5 / 2)
    assert found["rare shared of the first"] == pytest.approx(dog / (the + dog))


def test_no_rows_and_texts_without_words():
    assert word_counts(pa.array([], pa.string()), pa.array([], pa.string()), EVEN).shape == (0, len(COUNTS))
    assert np.isfinite(word_counts(pa.array(["!"]), pa.array(["…"]), EVEN)).all()
