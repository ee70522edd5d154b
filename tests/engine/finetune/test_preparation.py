"""What is read before a model is loaded."""

from enc.engine.finetune.options import parse_options
from enc.engine.finetune.run import fine_tune


def test_too_long_a_maximum_is_lowered(tune):
    _, _, said = tune("--max_seq_length 512 --max_steps 1")
    assert said[0] == "warning: --max_seq_length 512 is more than the model takes; it is 64 now"


def test_a_hub_id_is_fetched_as_the_options_say(tiny_bert, reviews, tmp_path, monkeypatch):
    asked = {}

    def fetched(name, **options):
        asked.update(options, name=name)
        return str(tiny_bert)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    line = f"--model_name_or_path some/bert --model_revision v2 --token secret --cache_dir {tmp_path}"
    line += f" --output_dir {tmp_path / 'o'} --train_file {reviews[0]} --validation_file {reviews[1]}"
    line += " --do_train --max_steps 1 --max_seq_length 24 --use_cpu"
    fine_tune(parse_options(line.split()))
    assert (asked["name"], asked["revision"], asked["token"], asked["cache_dir"]) == (
        "some/bert",
        "v2",
        "secret",
        str(tmp_path),
    )
    assert "secret" not in (tmp_path / "o" / "enc.json").read_text()
