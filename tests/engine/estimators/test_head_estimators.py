import numpy as np
import pytest
from enc.engine import TrainConfig, load_encoder_of
from enc.engine.estimators.head_estimators import HeadClassifier, HeadRegressor
from enc.store import HeadError, LabelError, MissingFeatures, SourceError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.standard_normal((200, 8)).astype(np.float32)
NUMBERS = FEATURES @ np.arange(8) + 5
IS_HIGH = NUMBERS > 5


@parametrize_with_checks(
    [
        HeadClassifier(),
        HeadRegressor(),
        HeadClassifier("mlp", epochs=30, batch_size=16, learning_rate=1e-2),
        HeadRegressor("mlp", epochs=60, batch_size=16, learning_rate=1e-2),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "labels",
    [IS_HIGH, IS_HIGH.astype(int) * 7 - 3, np.where(IS_HIGH, "high", "low"), IS_HIGH.astype(float)],
    ids=lambda labels: str(labels.dtype),
)
@pytest.mark.parametrize("dtype", [None, object])
def test_labels_of_any_type(labels, dtype):
    given = labels.astype(dtype) if dtype and labels.dtype.kind == "U" else labels
    classifier = HeadClassifier().fit(FEATURES, given)
    assert classifier.predict(FEATURES).dtype == given.dtype
    assert classifier.score(FEATURES, given) > 0.95
    assert classifier.predict_proba(FEATURES).shape == (200, 2)
    assert classifier.head_.predict(FEATURES) == classifier.predict(FEATURES).tolist()


SCALED = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0)


@pytest.mark.parametrize(("bounds", "factor"), [([5], 2), ([0, 10], 1)], ids=["two classes", "three"])
def test_it_is_the_solution_of_a_logistic_regression(bounds, factor):
    labels = np.digitize(NUMBERS, bounds)
    peer = LogisticRegression(C=factor / (0.1 * len(SCALED)), tol=1e-8).fit(SCALED, labels)
    found = HeadClassifier(l2=0.1).fit(FEATURES, labels).predict_proba(FEATURES)
    np.testing.assert_allclose(found, peer.predict_proba(SCALED), atol=1e-3)


def test_it_is_the_solution_of_a_ridge_regression():
    peer = Ridge(alpha=0.1 * len(SCALED) / 2).fit(SCALED, NUMBERS)
    found = HeadRegressor(l2=0.1).fit(FEATURES, NUMBERS).predict(FEATURES)
    np.testing.assert_allclose(found, peer.predict(SCALED), atol=1e-3)


def test_several_strengths_are_tried_on_rows_held_out():
    classifier = HeadClassifier(l2=[10.0, 0.001], validation_fraction=0.25).fit(FEATURES, IS_HIGH)
    assert len(classifier.head_.history) == 2
    assert classifier.head_.record["l2"] == 0.001
    assert classifier.head_.metrics["valid_rows"] == 50


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("estimator", [HeadClassifier(), HeadRegressor("mlp", epochs=2)])
def test_arrays_that_must_not_be_written_to(estimator):
    features = FEATURES.copy()
    features.flags.writeable = False  # as arrays of polars are, and those that processes share
    estimator.fit(features, IS_HIGH).predict(features)


def test_early_stopping():
    regressor = HeadRegressor("mlp", epochs=500, early_stopping=2, learning_rate=0.05, metric="mse")
    regressor.fit(FEATURES, NUMBERS)
    assert len(regressor.head_.history) < 500
    assert regressor.score(FEATURES, NUMBERS) > 0.9


def test_the_seed_decides():
    first, again, other = (
        HeadClassifier("mlp", epochs=2, random_state=seed).fit(FEATURES, IS_HIGH).predict_proba(FEATURES)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_class_weights():
    found = HeadClassifier(class_weight={True: 1000.0, False: 0.001}, l2=1.0).fit(FEATURES, IS_HIGH)
    assert found.predict(FEATURES).mean() > 0.9
    with pytest.raises(LabelError, match="class weight is given for label 'x'"):
        HeadClassifier(class_weight={"x": 2.0}).fit(FEATURES, IS_HIGH)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(epochs=3), SourceError, "epochs is for gradient descent"),
        (dict(head="mlp", l2=1.0), SourceError, "l2 is for solver 'lbfgs'"),
        (dict(head="mlp", solver="lbfgs"), SourceError, "solver 'lbfgs' is for the linear head"),
        (dict(solver="newton"), SourceError, "unknown solver 'newton'"),
        (dict(head="lstm"), HeadError, "reads token features"),
        (dict(head="none"), SourceError, "unknown head 'none'"),
        (dict(head="module:Class"), HeadError, "allow_code=True"),
        (dict(validation_fraction=1.0), SourceError, "validation_fraction must be"),
    ],
)
def test_options_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        HeadClassifier(**options).fit(FEATURES, IS_HIGH)


def test_texts_cannot_be_encoded_for_a_head_on_arrays():
    head = HeadClassifier().fit(FEATURES, IS_HIGH).head_
    with pytest.raises(MissingFeatures, match="vectors that 'arrays' made outside enc"):
        load_encoder_of(head.spec)


def test_one_class():
    with pytest.raises(ValueError, match="all of one class"):
        HeadClassifier().fit(FEATURES, np.ones(200))


def test_defaults_are_those_of_the_trainer():
    defaults = HeadClassifier().get_params()
    for name, value in vars(TrainConfig()).items():
        if name in defaults and name != "head_args":
            assert defaults[name] == value, name
