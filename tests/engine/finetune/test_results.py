"""What is written beside the model."""

import json

import pyarrow.parquet as pq
from enc.engine.finetune.results import read_metrics
from enc.store import FeatureTable
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def test_predictions_are_in_the_order_of_the_file(tune, write):
    texts = ["good x", "bad bad bad bad bad y", "  ", "no z", "yes yes yes yes yes yes yes x"]
    test = write("test.tsv", "sentence\n" + "\n".join(texts) + "\n")
    folder, result, _ = tune(f"--test_file {test}", task="--do_train --do_predict")
    assert result.predictions == (str(folder / "predict_results.txt"),)
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    lines = []
    for index, text in enumerate(texts):
        if text.strip():
            guess = model(**tokenizer(text, return_tensors="pt")).logits.argmax().item()
            lines.append(f"{index}\t{model.config.id2label[guess]}\n")
    assert (folder / "predict_results.txt").read_text() == "index\tprediction\n" + "".join(lines)
    assert len({line.split()[1] for line in lines}) == 2  # one class would have any order
    assert pq.read_table(folder / "test-rejects.parquet").to_pylist() == [
        {"source": str(test), "row": 3, "reason": "text is empty"}
    ]


def test_the_tuned_encoder_is_registered(tune, tmp_path):
    folder, result, _ = tune(f"--also_features {tmp_path / 'store'}")
    assert result.feature_set == "tuned-mean-24"
    assert FeatureTable(tmp_path / "store" / "tuned-mean-24").spec.model == str(folder)


def test_figures_of_a_finished_run(tmp_path):
    assert read_metrics(tmp_path) == {}
    for text, expected in (("{", {}), ("[]", {}), (json.dumps({"metrics": {"a": 1.5}}), {"a": 1.5})):
        (tmp_path / "enc.json").write_text(text)
        assert read_metrics(tmp_path) == expected
