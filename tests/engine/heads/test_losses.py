import numpy as np
import pytest
import torch
from enc.engine.heads.labels import Labels
from enc.engine.heads.losses import loss_weights
from enc.engine.heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, TASKS
from enc.store import LabelError
from sklearn.metrics import log_loss
from torch.func import vmap

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]])
TARGETS = {
    "single-label": torch.tensor([0, 2]),
    "multi-label": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
    "regression": torch.tensor([1.5, -1.0]),
}


def logits_of(task):
    return LOGITS if task.has_classes else LOGITS[:, :1]


def test_losses_are_the_usual_ones():
    single = SINGLE_LABEL.torch.loss(LOGITS, TARGETS["single-label"], None, 0.0)
    assert float(single.mean()) == pytest.approx(
        log_loss([0, 2], torch.softmax(LOGITS.double(), 1).numpy(), labels=[0, 1, 2])
    )
    several = MULTI_LABEL.torch.loss(LOGITS, TARGETS["multi-label"], None, 0.0)
    shares = torch.sigmoid(LOGITS.double()).numpy()
    expected = [np.mean([log_loss([int(t)], [p], labels=[0, 1]) for t, p in zip(*row, strict=True)]) for row
    in zip(TARGETS["multi-label"].numpy(), shares, strict=True)]  # fmt: skip
    np.testing.assert_allclose(several, expected, rtol=1e-5)
    squares = REGRESSION.torch.loss(LOGITS[:, :1], TARGETS["regression"], torch.tensor(2.0), 0.0)
    np.testing.assert_allclose(squares, [0.5, 2.42], rtol=1e-5)


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_losses_have_one_figure_a_row_also_under_vmap(task):
    logits, target = logits_of(task), TARGETS[task.name]
    expected = task.torch.loss(logits, target, None, 0.0)
    assert expected.shape == (2,)
    stacked = vmap(lambda x: task.torch.loss(x, target, None, 0.0))(torch.stack([logits, logits * 2]))
    torch.testing.assert_close(stacked[0], expected)
    assert task.torch.decide(task.torch.activation(logits)).shape == target.shape
    decided = task.torch.decide(task.torch.activation(logits))
    assert decided.dtype == target.dtype
    assert torch.equal(task.torch.decide_logits(logits), decided)


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_of_many_heads_are_those_of_each(task, weighted):
    heads = [logits_of(task), logits_of(task) * 2 - 1, -logits_of(task)]
    target = TARGETS[task.name]
    weights = (
        None if not weighted else torch.tensor([0.5, 2.0, 3.0]) if task.has_classes else torch.tensor(2.0)
    )
    together = torch.stack(heads).transpose(1, 2)
    targets = target.movedim(0, -1).expand(3, *target.movedim(0, -1).shape)
    expected = torch.stack([task.torch.loss(logits, target, weights, 0.1) for logits in heads])
    torch.testing.assert_close(task.torch.loss(together, targets, weights, 0.1), expected)


def test_smoothing_spreads_the_target():
    for task in (SINGLE_LABEL, MULTI_LABEL):
        sure, target = 50 * torch.eye(3)[:2], TARGETS[task.name]
        target = torch.tensor([0, 1]) if task is SINGLE_LABEL else torch.eye(3)[:2]
        assert (task.torch.loss(sure, target, None, 0.2) > task.torch.loss(sure, target, None, 0.0) + 1).all()


def test_weights_of_classes():
    labels, targets = Labels(("a", "b")), np.array([0, 0, 0, 1])
    assert loss_weights(SINGLE_LABEL, labels, targets, None) is None
    np.testing.assert_allclose(loss_weights(SINGLE_LABEL, labels, targets, "balanced"), [4 / 6, 2])
    # A row weighs 1 on average: 3 x 0.5 + 1 x 2.5 = 4.
    np.testing.assert_allclose(loss_weights(SINGLE_LABEL, labels, targets, {"b": 5}), [0.5, 2.5])
    np.testing.assert_allclose(
        loss_weights(SINGLE_LABEL, Labels((0, 1)), targets, {"1": 5, 0: 1}), [0.5, 2.5]
    )
    flags = np.array([[1, 1], [0, 1], [0, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(loss_weights(MULTI_LABEL, labels, flags, "balanced"), [3, 1 / 3])
    np.testing.assert_allclose(loss_weights(MULTI_LABEL, labels, flags, {"a": 2}), [2, 1])
    assert float(loss_weights(REGRESSION, Labels(()), np.array([0.0, 4.0]), None)) == 0.25


@pytest.mark.parametrize(
    ("task", "weights", "message"),
    [
        (SINGLE_LABEL, {"c": 2}, "a class weight is given for label 'c'; the labels are: a, b"),
        (SINGLE_LABEL, "even", "cannot read class weights 'even'; write balanced"),
        (REGRESSION, "balanced", "leave out --class-weights"),
    ],
)
def test_impossible_weights(task, weights, message):
    with pytest.raises(LabelError, match=message):
        loss_weights(task, Labels(("a", "b")), np.array([0, 1]), weights)
