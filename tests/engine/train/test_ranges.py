import numpy as np
import pytest
from enc.engine.train.ranges import EPOCHS, NOT_NEGATIVE, POSITIVE, SHARE, SHARE_OR_0
from enc.store import SourceError


def test_ends_of_the_ranges():
    assert 0 not in POSITIVE
    assert 0 in NOT_NEGATIVE
    assert 0 not in SHARE
    assert 0 in SHARE_OR_0
    assert 1 not in SHARE
    assert 1 in EPOCHS
    assert 1.0 not in EPOCHS
    assert True not in EPOCHS
    for value in (float("nan"), float("inf"), 1e39, "1", None):
        assert value not in POSITIVE


def test_checked_values():
    assert type(EPOCHS.checked("epochs", np.int32(3))) is int
    assert type(POSITIVE.checked("rate", 1)) is float
    with pytest.raises(SourceError, match="epochs must be a whole number from 1 to 1,000,000, not 0"):
        EPOCHS.checked("epochs", 0)
    with pytest.raises(SourceError, match="not that many digits"):
        EPOCHS.checked("epochs", 10**5000)
