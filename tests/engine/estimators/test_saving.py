import pandas as pd
import pyarrow.parquet as pq
import pytest
from enc.engine import Head, score_parquet
from enc.engine.estimators.head_estimators import HeadClassifier
from enc.engine.estimators.saving import save_head
from enc.engine.estimators.text_features import TextFeatures
from enc.store import HeadError
from fakes import TEXTS, WORDS
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FRAME = pd.DataFrame({"review": TEXTS})
LABELS = ["long" if words > 3 else "short" for words in WORDS]


def test_a_saved_pipeline_scores_as_it_predicts(fake, tmp_path):
    pipeline = make_pipeline(TextFeatures(tmp_path / "store"), HeadClassifier()).fit(FRAME, LABELS)
    save_head(pipeline, tmp_path / "head")
    head = Head.load(tmp_path / "head")
    FRAME.to_parquet(tmp_path / "in.parquet")
    summary = score_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", head, tmp_path / "store")
    assert summary.encoded == 0
    scored = pq.read_table(tmp_path / "out.parquet").column("prediction").to_pylist()
    assert scored == pipeline.predict(FRAME).tolist()


@pytest.mark.parametrize("column", ["sentence", "text"])
def test_texts_without_a_name_are_in_the_usual_column(fake, tmp_path, column):
    pipeline = make_pipeline(TextFeatures(tmp_path / "store"), HeadClassifier()).fit(TEXTS, LABELS)
    save_head(pipeline, tmp_path / "head")
    FRAME.rename(columns={"review": column}).to_parquet(tmp_path / "in.parquet")
    head = Head.load(tmp_path / "head")
    score_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", head, tmp_path / "store")
    scored = pq.read_table(tmp_path / "out.parquet").column("prediction").to_pylist()
    assert scored == pipeline.predict(TEXTS).tolist()


def test_what_cannot_be_saved(fake, tmp_path):
    features, classifier = TextFeatures(tmp_path / "store"), HeadClassifier()
    with pytest.raises(HeadError, match="not of TextFeatures, StandardScaler, HeadClassifier"):
        save_head(make_pipeline(features, StandardScaler(), classifier), tmp_path / "head")
    with pytest.raises(HeadError, match="not fitted"):
        save_head(make_pipeline(features, classifier), tmp_path / "head")
    with pytest.raises(HeadError, match="not of HeadClassifier"):
        save_head(classifier, tmp_path / "head")
