import pytest
from enc.engine import Folds, Fraction
from enc.engine.train.validation import require_validation
from enc.store import Source, SourceError

NO_NUMBERS = [float("nan"), float("inf"), -1, 0, 10**23, "0.2", None, True, [0.2]]


@pytest.mark.parametrize("share", [*NO_NUMBERS, 1, 1.5])
def test_a_fraction_is_between_0_and_1(share):
    with pytest.raises(
        SourceError, match="fraction of texts to hold out must be a number above 0 and below 1"
    ):
        Fraction(share)


@pytest.mark.parametrize("count", [*NO_NUMBERS, 1, 2.0, 10_001])
def test_folds_are_two_or_more(count):
    with pytest.raises(SourceError, match="number of folds must be a whole number from 2 to 10,000"):
        Folds(count)


@pytest.mark.parametrize("valid", [None, 0.2, 5, "dev.tsv"])
def test_validation_rows_are_named_one_way(valid):
    with pytest.raises(SourceError, match=r"valid must be a Source, Fraction\(0.2\) or Folds\(5\), not"):
        require_validation(valid)


@pytest.mark.parametrize("valid", [Source("dev.tsv"), Fraction(0.2), Folds(2)])
def test_each_way_is_taken(valid):
    require_validation(valid)
