import pytest
from enc.engine import BuildSummary
from enc.engine.runners.total import total_of


def summary(encoded, encode, **values):
    given = {
        "rows": 10, "distinct": 8, "cached": 8 - encoded, "encoded": encoded, "truncated": 1,
        "longest": encoded, "rejected": 0, "rejects": {}, "first_reject": "", "rejects_file": None,
        "seconds": {"prepare": 1.0, "encode": encode, "total": encode + 1},
        "texts_per_second": 1.0, "encoder_busy": 1.0, "padding": 0.5, "encoder": "fake", "feature_set": "set",
        "version": encoded,
    }  # fmt: skip
    return BuildSummary(**{**given, **values})


@pytest.mark.parametrize(("workers", "encode", "prepare"), [(4, 2.5, 1.0), (2, 5.0, 2.0), (9, 2.5, 1.0)])
def test_seconds_are_those_of_a_worker_however_many_shares_it_had(workers, encode, prepare):
    shares = [summary(4, seconds) for seconds in (1.0, 2.0, 3.0, 4.0)]
    total = total_of(shares, 12.0, workers)
    assert total.seconds == {"prepare": prepare, "encode": encode, "total": 12.0}
    assert total.texts_per_second == pytest.approx(16 / (12.0 - prepare), abs=0.05)


def test_counts_are_added_up():
    refused = {"rejected": 2, "rejects": {"empty": 2}, "first_reject": "row 3", "rejects_file": "rejects"}
    total = total_of([summary(4, 1.0, **refused), summary(0, 0.0, padding=0.0, encoder="")], 3.0, 2)
    assert (total.rows, total.distinct, total.cached, total.encoded, total.truncated) == (20, 16, 12, 4, 2)
    assert (total.rejected, total.rejects, total.first_reject) == (2, {"empty": 2}, "row 3")
    assert (total.longest, total.version, total.padding, total.encoder) == (4, 4, 0.5, "fake")
