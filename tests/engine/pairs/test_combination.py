import numpy as np
import pytest
from enc.engine.pairs.combination import NAMES, Combination, combination_of
from enc.engine.pairs.fourier import fourier_tables
from enc.engine.pairs.saved import combination_from, split_tables, tables_of
from enc.engine.pairs.words import BUCKETS, COUNTS
from enc.store import SourceError
from fakes import fake_spec

POOLED = fake_spec(layers=(1, 2))
TOKENS = fake_spec(layers=(1, 2), pooling=("tokens",))


def with_tables(combination, spec):
    shapes = combination.table_shapes(spec)
    return combination.with_tables(**{name: np.ones(shape, np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize("spec", [POOLED, TOKENS], ids=["pooled", "tokens"])
@pytest.mark.parametrize("name", NAMES)
def test_widths_are_those_of_what_is_made(name, spec):
    if name == "alignment" and spec is POOLED:
        return
    names = ("cosines", "rbf") if name == "rbf" else (name,)
    combination = with_tables(Combination(names), spec)
    features = np.random.default_rng(0).normal(size=(2, 3, *spec.shape)).astype(np.float16)
    made = combination(spec, *features, np.ones((3, len(COUNTS)), np.float32))
    assert made.shape == (3, combination.width(spec))
    assert made.dtype == np.float32


def test_what_is_combined_by_default_suits_the_features():
    assert combination_of(None, POOLED).names == ("cosines", "words")
    assert combination_of(None, TOKENS).names == ("cosines", "alignment", "words")


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        ("cosine", {}, "unknown --combine 'cosine'; there are cosines, words"),
        ("cosines,cosines", {}, "names each combination once"),
        ("", {}, "unknown --combine ''"),
        ("rbf", {}, "of the numbers named beside it"),
        ("alignment", {}, "these features are pooled: build a feature set"),
        ("cosines", {"components": 4}, "are of rbf"),
        ("cosines,rbf", {"gamma": 4}, "no argument 'gamma'; there are components, seed"),
        ("cosines,rbf", {"components": 0}, "components of rbf must be a whole number from 1 up, not 0"),
        ("cosines,rbf", {"components": "many"}, "not 'many'"),
    ],
)
def test_what_cannot_be_combined_is_told(names, arguments, message):
    with pytest.raises(SourceError, match=message):
        combination_of(names, POOLED, arguments)


def test_names_may_stand_between_commas_or_plus_signs():
    assert combination_of("cosines, words", POOLED) == combination_of("cosines+words", POOLED)


def test_a_combination_is_saved_and_read():
    combination = Combination(("cosines", "words", "rbf"), {"components": 6})
    base = np.random.default_rng(0).normal(size=(5, 2 + len(COUNTS)))
    tables = {f"rbf.{name}": one for name, one in fourier_tables(base, 6).items()}
    combination = combination.with_tables(rarity=np.ones(BUCKETS, np.float32), **tables)
    weights, found = split_tables({"fc1.weight": np.ones(1), **tables_of(combination)})
    assert set(weights) == {"fc1.weight"}
    read = combination_from(combination.to_json(), found, POOLED)
    assert read is not None
    assert (read.names, read.arguments) == (combination.names, combination.arguments)
    assert all(np.array_equal(read.tables[name], combination.tables[name]) for name in found)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda tables: tables.pop("rbf.phases"),
        lambda tables: tables.update(more=np.ones(2, np.float32)),
        lambda tables: tables.update({"rbf.mean": np.ones(3, np.float32)}),
        lambda tables: tables["rbf.mean"].fill(np.nan),
    ],
)
def test_tables_that_do_not_fit_are_refused(break_it):
    combination = Combination(("cosines", "rbf"))
    tables = dict(with_tables(combination, POOLED).tables)
    break_it(tables)
    with pytest.raises(ValueError, match="combination"):
        combination_from(combination.to_json(), tables, POOLED)


@pytest.mark.parametrize("names", [["cosine"], ["alignment"], []])
def test_names_that_cannot_be_are_refused(names):
    with pytest.raises(ValueError, match="its combination cannot be"):
        combination_from({"names": names, "arguments": {}}, {}, POOLED)


def test_tables_without_a_combination_are_refused():
    with pytest.raises(ValueError, match="does not name"):
        combination_from(None, {"rarity": np.ones(1)}, POOLED)
