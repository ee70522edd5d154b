import pytest
from enc.engine import build_features, load_encoder, train_head
from enc.store import EncError, FeatureTable, Source, SpecError


@pytest.fixture
def probe(tiny_bert, reviews, tmp_path):
    """A linear head on the tiny model's frozen features."""

    def probe(pooling="cls", kind="linear", **setting):
        encoder = load_encoder(str(tiny_bert), backend="torch", pooling=pooling, max_length=24, **setting)
        source, valid = (Source(path, text_column="sentence") for path in reviews)
        for rows in (source, valid):
            build_features(rows, tmp_path / "store", encoder, name=f"{pooling}-{len(setting)}")
        from enc.engine import TrainConfig

        head = train_head(
            source,
            FeatureTable(tmp_path / "store" / f"{pooling}-{len(setting)}"),
            valid=valid,
            config=TrainConfig(head=kind),
        )
        return head, head.save(tmp_path / f"head-{pooling}-{kind}")

    return probe


def test_the_classifier_begins_as_the_head(tune, probe):
    head, folder = probe()
    _, result, _ = tune(f"--head_init {folder} --learning_rate 0 --max_steps 1", "begun")
    assert result.metrics["eval_accuracy"] == pytest.approx(head.metrics["accuracy"])
    assert result.metrics["eval_loss"] == pytest.approx(head.metrics["loss"], abs=0.02)


def test_heads_that_a_classifier_cannot_begin_as(tune, probe):
    with pytest.raises(
        SpecError, match=r"not trained on the model's cls features \(pooling \('mean',\), not \('cls',\)\)"
    ):
        tune(f"--head_init {probe('mean')[1]}")
    with pytest.raises(SpecError, match=r"cls features \(after_pooling \('normalize',\), not \(\)\)"):
        tune(f"--head_init {probe(normalize=True)[1]}")
    with pytest.raises(EncError, match="can begin as a linear head, not as 'mlp'"):
        tune(f"--head_init {probe('cls', 'mlp')[1]}")
