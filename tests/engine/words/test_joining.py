import numpy as np
import torch
from enc.engine.heads.tasks import REGRESSION, SINGLE_LABEL
from enc.engine.words.joining import fit_joining

RANDOM = np.random.default_rng(1)


def test_what_says_nothing_gets_no_weight_and_what_says_all_gets_most():
    targets = RANDOM.integers(0, 2, 400)
    known = np.where(RANDOM.random(400) < 0.85, targets, 1 - targets) * 2.0 - 1
    good = np.stack([-known, known], 1).astype(np.float32)
    against = -good
    loss = SINGLE_LABEL.torch.loss
    found = fit_joining(good, against, targets, lambda logits, target: loss(logits, target, None, 0.0))
    assert found.words_weight == 0
    assert 0.5 < found.head_weight < 1.5
    assert ((found.joined(good, against).argmax(1) == targets) == (good.argmax(1) == targets)).all()


def test_a_regression_is_not_pulled_towards_zero():
    targets = (1000 + RANDOM.random(300)).astype(np.float32)
    noisy = [(targets + RANDOM.normal(0, 0.1, 300)).astype(np.float32)[:, None] for _ in range(2)]
    loss = REGRESSION.torch.loss

    def row_loss(logits, target):
        return loss(logits, target.double(), torch.tensor(1 / float(targets.var())), 0.0)

    found = fit_joining(noisy[0], noisy[1], targets, row_loss)
    assert abs(found.head_weight - found.words_weight) < 0.2
    errors = [np.square(one[:, 0] - targets).mean() for one in (found.joined(*noisy), *noisy)]
    assert errors[0] < 0.7 * min(errors[1:])
