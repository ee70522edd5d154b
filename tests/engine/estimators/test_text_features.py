import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from enc.engine import build_features, encode_texts
from enc.engine.estimators import encoders
from enc.engine.estimators.head_estimators import HeadClassifier
from enc.engine.estimators.text_features import TextFeatures
from enc.store import FeatureTable, ModelError, Source, SourceError, SpecError, Store
from fakes import TEXTS, WORDS, FakeEncoder
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

LABELS = np.array(["long" if words > 3 else "short" for words in WORDS])
EXPECTED = encode_texts(FakeEncoder(), TEXTS)


NUMBERS = "the check fits on numbers, and TextFeatures takes texts alone"
COLUMNS = "the check makes a column of its own numbers for an estimator of strings, and indexes it as two"
OTHER_ERROR = "what are no texts is a SourceError, and no ValueError or TypeError of scikit-learn's words"
NOT_FOR_TEXTS = {
    **dict.fromkeys(
        [
            "check_fit_score_takes_y", "check_estimators_overwrite_params", "check_n_features_in",
            "check_readonly_memmap_input", "check_n_features_in_after_fitting", "check_estimators_dtypes",
            "check_dtype_object", "check_pipeline_consistency", "check_estimators_pickle",
            "check_transformer_preserve_dtypes", "check_fit_idempotent", "check_fit_check_is_fitted",
            "check_estimators_fit_returns_self", "check_fit1d",
        ],
        NUMBERS,
    ),
    **dict.fromkeys(
        [
            "check_dont_overwrite_parameters", "check_f_contiguous_array_estimator", "check_dict_unchanged",
            "check_transformer_data_not_an_array", "check_transformer_general", "check_fit2d_predict1d",
            "check_methods_sample_order_invariance", "check_methods_subset_invariance", "check_fit2d_1sample",
            "check_fit2d_1feature",
        ],
        COLUMNS,
    ),
    **dict.fromkeys(
        [
            "check_positive_only_tag_during_fit", "check_complex_data", "check_estimators_nan_inf",
            "check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix",
        ],
        OTHER_ERROR,
    ),
    "check_estimators_empty_data_messages": "no texts have no features, and that is no mistake",
}  # fmt: skip
"""Why each of scikit-learn's checks does not apply; all the others pass."""


@parametrize_with_checks([TextFeatures()], expected_failed_checks=lambda _: NOT_FOR_TEXTS)
def test_scikit_learns_checks(estimator, check, fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(estimator)


def test_a_search_encodes_each_text_once(fake, tmp_path):
    pipeline = make_pipeline(TextFeatures(tmp_path / "store"), HeadClassifier())
    search = GridSearchCV(pipeline, {"headclassifier__l2": [1.0, 0.1, 0.01, 0.001]}, cv=3)
    search.fit(TEXTS, LABELS)
    assert search.best_score_ > 0.9
    assert search.predict(TEXTS[:3]).tolist() == LABELS[:3].tolist()
    assert fake.encoded == len(set(TEXTS))


def test_processes_of_a_search_encode_each_text_once(tiny_bert, tmp_path):
    pipeline = make_pipeline(
        TextFeatures(tmp_path / "store", model=str(tiny_bert), max_length=16, backend="torch"),
        HeadClassifier(),
    )
    search = GridSearchCV(pipeline, {"headclassifier__l2": [1.0, 0.1]}, cv=2, n_jobs=2)
    search.fit(TEXTS, LABELS)
    assert search.best_score_ > 0.5
    assert Store(tmp_path / "store").open().rows == len(set(TEXTS))


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object),
        np.array(TEXTS, object)[:, None],
        pd.Series(TEXTS, index=range(5, 5 + len(TEXTS))),
        pd.DataFrame({"text": TEXTS}),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:9], TEXTS[9:]]),
        pa.array(TEXTS).dictionary_encode(),
        pa.table({"text": TEXTS}),
    ],
    ids=lambda texts: f"{type(texts).__name__}",
)
def test_whatever_holds_texts(fake, tmp_path, texts):
    features = TextFeatures(tmp_path / "store").fit_transform(texts)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, EXPECTED)


def test_polars(fake, tmp_path):
    polars = pytest.importorskip("polars", reason="polars is not needed, and may not be installed")
    for texts in (polars.Series("text", TEXTS), polars.DataFrame({"text": TEXTS})):
        np.testing.assert_array_equal(TextFeatures(tmp_path / "store").fit_transform(texts), EXPECTED)
    frame = TextFeatures(tmp_path / "store").set_output(transform="polars").fit_transform(texts)
    assert isinstance(frame, polars.DataFrame)
    np.testing.assert_array_equal(frame.to_numpy(), EXPECTED)
    classifier = HeadClassifier().fit(frame, polars.Series(LABELS))
    assert classifier.feature_names_in_.tolist() == frame.columns
    assert classifier.predict(frame).tolist() == LABELS.tolist()


def test_pairs_are_those_of_files(tiny_bert, tmp_path):
    frame = pd.DataFrame({"a": ["x", "a b", "a"], "b": ["y", "c", "b c"]})
    frame.to_parquet(tmp_path / "pairs.parquet")
    given = dict(model=str(tiny_bert), max_length=16, backend="torch")
    transformer = TextFeatures(tmp_path / "store", **given)
    features = transformer.fit_transform(frame)
    np.testing.assert_array_equal(
        transformer.transform(list(frame.itertuples(index=False, name=None))), features
    )
    source = Source(tmp_path / "pairs.parquet", text_column="a", pair_column="b")
    assert build_features(source, tmp_path / "store", encoders.encoder_of(None, given)).encoded == 0
    with pytest.raises(SourceError, match="the columns are b, a, and fit was given a, b"):
        transformer.transform(frame[["b", "a"]])
    with pytest.raises(SourceError, match="1 columns were given, and fit was given 2"):
        transformer.transform(["x"])


@pytest.mark.parametrize(
    ("row", "reason"), [(None, "null"), (float("nan"), "null"), (" ", "empty"), (pd.NA, "null")]
)
def test_a_row_without_a_text(fake, tmp_path, row, reason):
    texts = np.array(["x", row, "xx xx", None], object)
    transformer = TextFeatures(tmp_path / "store").fit(texts)
    with pytest.raises(SourceError, match=rf"row 1 \(counted from 0\) has no usable text: it is {reason}"):
        transformer.transform(texts)
    features = transformer.set_params(on_missing="nan").transform(texts)
    assert np.isnan(features).all(1).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(features[[0, 2]], encode_texts(FakeEncoder(), ["x", "xx xx"]))
    assert np.isnan(transformer.transform([None, ""])).all()
    assert transformer.transform([]).shape == (0, 4)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["x", 3], r"row 1 \(counted from 0\) holds 3, which is no text"),
        ([b"x"], r"row 0 .* holds b'x', which is no text"),
        (["x", "\ud800"], "row 1 .* holds characters that are no Unicode text"),
        ("x", "a single text was given"),
        (np.ones(3), "row 0 .* which is no text"),
        (pa.array([1, 2]), "a column of int64 was given"),
        (np.array([["x", "y", "z"]]), "3 columns were given"),
    ],
)
def test_what_is_no_text(tmp_path, fake, texts, message):
    with pytest.raises(SourceError, match=message):
        TextFeatures(tmp_path / "store").fit(texts)


def test_in_pipelines(fake, tmp_path):
    frame = pd.DataFrame({"text": TEXTS, "number": range(len(TEXTS))})
    union = FeatureUnion([("a", TextFeatures(tmp_path / "store")), ("b", TextFeatures(tmp_path / "store"))])
    columns = ColumnTransformer([("text", union, ["text"]), ("number", StandardScaler(), ["number"])])
    columns.set_output(transform="pandas")
    made = columns.fit_transform(frame)
    assert made.columns[0] == "text__a__textfeatures0"
    assert made.shape == (len(TEXTS), 9)
    np.testing.assert_array_equal(made.iloc[:, 4:8], EXPECTED)
    one = ColumnTransformer([("text", TextFeatures(tmp_path / "store"), "text")]).fit(frame)
    np.testing.assert_array_equal(one.transform(frame), EXPECTED)
    assert fake.encoded == len(set(TEXTS))


def test_nothing_is_loaded_where_all_is_known(fake, tmp_path, monkeypatch):
    transformer = TextFeatures(tmp_path / "store").fit(TEXTS)
    transformer.transform(TEXTS)
    monkeypatch.setattr(encoders, "load_encoder", None)  # which cannot be called
    np.testing.assert_array_equal(transformer.transform(TEXTS[:5]), EXPECTED[:5])
    named = TextFeatures(tmp_path / "store", features=transformer.feature_set_)
    np.testing.assert_array_equal(named.fit_transform(TEXTS[5:]), EXPECTED[5:])


def test_another_model_than_in_fit(fake, tmp_path, monkeypatch):
    transformer = TextFeatures(tmp_path / "store").fit(TEXTS)
    monkeypatch.setattr(encoders, "load_encoder", lambda **_: FakeEncoder(weights="2" * 64))
    with pytest.raises(ModelError, match="not the one that fit was given"):
        transformer.transform(TEXTS)


def test_token_features_are_no_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "load_encoder", lambda **_: FakeEncoder(pooling=("tokens",)))
    with pytest.raises(SpecError, match="are no columns"):
        TextFeatures(tmp_path / "store").fit(TEXTS)


def test_copies_are_small_and_work(fake, tmp_path):
    import pickle  # noqa: TID251 - users pickle estimators, and processes of a search do

    transformer = TextFeatures(tmp_path / "store").fit(TEXTS)
    transformer.transform(TEXTS)
    saved = pickle.dumps(transformer)
    assert len(saved) < 2000
    np.testing.assert_array_equal(pickle.loads(saved).transform(TEXTS), EXPECTED)  # noqa: S301
    with pytest.raises(NotFittedError):
        clone(transformer).transform(TEXTS)
    assert len(transformer.get_feature_names_out()) == 4


def test_nothing_is_kept_of_a_pipeline_but_the_features(fake, tmp_path):
    Pipeline([("features", TextFeatures(tmp_path / "store", features="named"))]).fit_transform(TEXTS)
    assert FeatureTable(tmp_path / "store" / "named").rows == len(set(TEXTS))
