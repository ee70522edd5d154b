import numpy as np
import pytest
from enc.engine.encode.tokens import Tokenizer as SpecTokenizer
from enc.engine.encode.tokens import Tokens, length_sorted_batches
from enc.store import SpecError
from fakes import fake_spec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

WORDS = st.lists(
    st.sampled_from(["a", "cat", "好", "很 不", "x,y.", "zzzzzzzz", "[SEP]", "€"]), max_size=30
).map(" ".join)


def Tokenizer(backend, max_length, **setting):  # noqa: N802
    return SpecTokenizer(backend, fake_spec(max_length=max_length, **setting))


@pytest.fixture(scope="module")
def transformers_tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


def compare(reference, tokens, encoded, texts, pairs):
    for row, text in enumerate(texts):
        start, length = tokens.starts[row], tokens.lengths[row]
        assert tokens.ids[start : start + length].tolist() == encoded["input_ids"][row]
        assert tokens.type_ids[start : start + length].tolist() == encoded["token_type_ids"][row]
        untruncated = reference([text], [pairs[row]] if pairs else None)["input_ids"][0]
        assert tokens.n_tokens[row] == len(untruncated)
        assert tokens.truncated[row] == (len(untruncated) > length)


@settings(max_examples=60)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), st.integers(5, 40), st.booleans())
@example([("a " * 10, "cat " * 10)], 10, True)  # both are cut, with an odd token to share
@example([("a " * 10, "cat " * 2)], 10, True)  # only the first is cut
@example([("a " * 2, "cat " * 10)], 10, True)  # only the second is cut
def test_tokens_equal_those_of_transformers(transformers_tokenizer, rows, max_length, paired):
    reference = transformers_tokenizer
    texts, pairs = [a for a, _ in rows], [b for _, b in rows] if paired else None
    encoded = reference(texts, pairs, truncation="longest_first", max_length=max_length)
    backend = type(reference.backend_tokenizer).from_str(reference.backend_tokenizer.to_str())
    compare(reference, Tokenizer(backend, max_length)(texts, pairs), encoded, texts, pairs)


def test_prefix_stands_before_the_first_text_only(transformers_tokenizer):
    backend = transformers_tokenizer.backend_tokenizer
    with_prefix = Tokenizer(backend, 40, prefix="q: ")(["cat"], ["dog"])
    assert with_prefix.ids.tolist() == Tokenizer(backend, 40)(["q: cat"], ["dog"]).ids.tolist()


def test_batches_are_padded_to_their_longest_row(transformers_tokenizer):
    tokens = Tokenizer(transformers_tokenizer.backend_tokenizer, 40)(["a b c", "a", "a b"])
    batch = tokens.batch(np.array([2, 0]))
    assert batch.input_ids.shape == (2, 5)
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert batch.input_ids[0, -1] == 0
    assert batch.input_ids.dtype == batch.attention_mask.dtype == batch.token_type_ids.dtype == np.int64


def test_concatenation_keeps_rows_in_order(transformers_tokenizer):
    tokenizer = Tokenizer(transformers_tokenizer.backend_tokenizer, 40)
    whole, parts = tokenizer(["a b", "c", "d e f"]), [tokenizer(["a b"]), tokenizer(["c", "d e f"])]
    joined = Tokens.concatenate(parts)
    for name in ("ids", "type_ids", "lengths", "n_tokens", "truncated", "owners"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_no_texts(transformers_tokenizer):
    assert len(Tokenizer(transformers_tokenizer.backend_tokenizer, 40)([])) == 0


def sequences(tokens):
    return [
        tokens.ids[start : start + n].tolist() for start, n in zip(tokens.starts, tokens.lengths, strict=True)
    ]


@settings(max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(6, 30), st.data())
def test_windows_equal_those_of_transformers(transformers_tokenizer, texts, max_length, data):
    stride = data.draw(st.integers(0, max_length // 2 - 1))
    backend = type(transformers_tokenizer.backend_tokenizer).from_str(
        transformers_tokenizer.backend_tokenizer.to_str()
    )
    tokens = Tokenizer(backend, max_length, long_text="windows", stride=stride)(texts)
    options = dict(truncation=True, max_length=max_length, stride=stride, return_overflowing_tokens=True)
    encoded = transformers_tokenizer(texts, **options)
    assert sequences(tokens) == encoded["input_ids"]
    assert tokens.owners.tolist() == encoded["overflow_to_sample_mapping"]
    assert not tokens.truncated.any()
    assert tokens.n_tokens.tolist() == [len(ids) for ids in transformers_tokenizer(texts)["input_ids"]]


def test_pairs_have_no_windows(transformers_tokenizer):
    tokenizer = Tokenizer(transformers_tokenizer.backend_tokenizer, 40, long_text="windows")
    with pytest.raises(SpecError, match="single texts"):
        tokenizer(["a"], ["b"])


def test_left_padding_without_mask_or_special_tokens(transformers_tokenizer):
    backend = transformers_tokenizer.backend_tokenizer
    tokenizer = Tokenizer(
        backend, 4, special_tokens=False, padding_side="left", attention_mask=False, first_characters=9
    )
    tokens = tokenizer(["a b", "a b a b a b"])  # of the second, "a b a b a" is tokenized
    a, b = (backend.token_to_id(word) for word in "ab")
    batch = tokens.batch(np.array([0, 1]))
    assert batch.input_ids.tolist() == [[0, 0, a, b], [b, a, b, a]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1]] * 2
    assert tokens.n_tokens.tolist() == [2, 5]
    assert tokens.truncated.tolist() == [False, True]
    assert tokens.batch(np.array([0])).input_ids.shape == (1, 4)  # alone as in company
    assert [len(b) for b in tokens.batches(4)] == [1, 1]  # padding counts
    short = tokenizer(["a", "b", "a b"])
    assert [len(b) for b in short.batches(8)] == [2, 1]  # also where all are shorter than what they fill
    characters = Tokenizer(backend, 9, first_characters=9)(["a b a b a", "a b a b aa"])
    assert characters.truncated.tolist() == [False, True]


@given(st.lists(st.integers(1, 200), max_size=200), st.integers(1, 1000))
def test_length_sorted_batches_hold_every_row_once_within_the_budget(lengths, budget):
    lengths = np.array(lengths, np.int32)
    batches = list(length_sorted_batches(lengths, budget))
    assert sorted(np.concatenate([*batches, np.empty(0, np.int64)]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget
    longest = [lengths[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)
