"""Rows of several files are in the files' order."""

import numpy as np
from enc.engine import Folds, build_features, load_examples
from enc.store import Source, Store
from fakes import FakeEncoder


def test_rows_are_file_by_file(tmp_path, write):
    first = write("b.tsv", "text\tlabel\n" + "".join(f"{'w ' * i}b\t{i % 2}\n" for i in range(5)))
    second = write("a.tsv", "text\tlabel\n" + "".join(f"{'w ' * i}aa\t{i % 3 % 2}\n" for i in range(5)))
    source = Source([first, second])
    build_features(source, tmp_path / "store", FakeEncoder())
    data = load_examples(source, Store(tmp_path / "store").open(), valid=Folds(2))
    places = data.train.source_rows
    assert places is not None
    assert [(row["source"], row["row"]) for row in places.to_pylist()] == [
        *((str(first), number) for number in range(1, 6)),
        *((str(second), number) for number in range(1, 6)),
    ]
    words = data.train.features.take(np.arange(10))[:, 0]
    assert words.tolist() == [1, 2, 3, 4, 5] * 2
    labels = [data.labels.values[target] for target in data.train.targets]
    assert labels == [0, 1, 0, 1, 0, 0, 1, 0, 0, 1]
