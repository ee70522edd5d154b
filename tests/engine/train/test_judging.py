"""What a network is judged by does not depend on how its rows are cut."""

import numpy as np
import pytest
from enc.engine import Fraction, TrainConfig
from enc.engine.train.examples import load_examples
from enc.engine.train.fit import fit
from enc.engine.train.judging import evaluate, make_loss
from enc.store import SourceError


def test_blocks_of_rows_meet_their_own_targets(source, table, monkeypatch):
    data, config = load_examples(source, table, valid=Fraction(0.4)), TrainConfig(epochs=2, learning_rate=0.1)
    network = fit(data, config).network
    loss = make_loss(data, config)
    whole = evaluate(network, data.train, data.task, loss, outputs=True)
    monkeypatch.setattr("enc.engine.heads.head._ROWS_PER_BLOCK", 7)
    cut = evaluate(network, data.train, data.task, loss, outputs=True)
    assert cut.loss == pytest.approx(whole.loss, rel=1e-6)
    np.testing.assert_allclose(cut.outputs, whole.outputs, rtol=1e-5)
    np.testing.assert_array_equal(cut.predictions, whole.predictions)


def test_label_smoothing_is_for_classes(source, table):
    data = load_examples(source, table, valid=Fraction(0.4), label_column="stars", task="regression")
    with pytest.raises(SourceError, match="label smoothing is for tasks with classes"):
        make_loss(data, TrainConfig(label_smoothing=0.1))
