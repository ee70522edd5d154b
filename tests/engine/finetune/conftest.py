"""What the tests of fine-tuning share."""

from contextlib import ExitStack

import pytest
from enc.engine.encode.tokens import Tokenizer
from enc.engine.finetune.option_fields import DataOptions
from enc.engine.finetune.options import parse_options
from enc.engine.finetune.run import fine_tune
from enc.engine.finetune.text_sets import read_sets
from enc.store.duck import workspace
from finetune_texts import WORDS


@pytest.fixture
def read(tiny_bert, tmp_path):
    """Read sets with the tiny model's tokenizer, each time in a workspace of its own."""
    from enc.engine.encode.checkpoint import checkpoint_of

    tokenizer: Tokenizer = checkpoint_of(str(tiny_bert), max_length=16).tokenizer
    with ExitStack() as opened:

        def read(wanted=("train",), model_labels=(), **options):
            said = []
            sets = read_sets(
                opened.enter_context(workspace()),
                DataOptions(**options),
                wanted,
                tokenizer,
                max_length=16,
                model_labels=model_labels,
                scratch=tmp_path,
                say=said.append,
            )
            return sets, said

        yield read


@pytest.fixture
def reviews(write):
    """A training and a validation file, learned with ease."""
    rows = [
        f"{' '.join([WORDS[label][i % 3]] * (1 + i % 7))} {'xyz'[i % 3]}\t{label}"
        for i in range(60)
        for label in "01"
    ]
    header = "sentence\tlabel\n"
    return write("train.tsv", header + "\n".join(rows) + "\n"), write(
        "dev.tsv", header + "\n".join(rows[:31]) + "\n"
    )


@pytest.fixture
def tune(tiny_bert, reviews, tmp_path):
    """Fine-tune the tiny model on the reviews; more options as text."""

    def tune(more="", output="tuned", task="--do_train --do_eval", files=True):
        options = {
            "--model_name_or_path": str(tiny_bert),
            "--output_dir": str(tmp_path / output),
            "--max_seq_length": "24",
            "--use_cpu": "True",
            "--bf16": "False",
            "--learning_rate": "1e-2",
            "--num_train_epochs": "2",
        }
        if files:
            options |= {"--train_file": str(reviews[0]), "--validation_file": str(reviews[1])}
        for word in f"{task} {more}".split():
            if word.startswith("--"):
                last = word
                options[last] = ""
            else:
                options[last] = word
        words = [word for item in options.items() for word in item if word]
        said = []
        result = fine_tune(parse_options(words), said.append)
        return tmp_path / output, result, said

    return tune
