"""A small job for heads of upper layers: texts of letters, with features of a lower layer of a tiny model."""

from pathlib import Path

import numpy as np
from enc.engine import build_features, load_encoder
from enc.store import FeatureTable, Source, Store

TINY = {
    "roberta": {},
    "distilbert": dict(dim=16, n_layers=3, n_heads=2, hidden_dim=32),
    "electra": dict(embedding_size=8),
    "mpnet": {},
    "modernbert": dict(cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=4),
    "bert": {},
}
"""Arguments of architectures, beside those of `tiny_model`; three layers each."""


def write_rows(path: Path, rows: int = 48) -> Source:
    """Texts of different lengths with two classes, a number and a list of labels."""
    random = np.random.default_rng(0)
    lines = ["text\tlabel\tstars\ttags"]
    for number in range(rows):
        letters = "".join(random.choice(list("abcdefgh"), 1 + number % 9))
        tags = '["x"]' if number % 3 else '["x", "y"]'
        lines.append(f"{' '.join(letters)} {'good' if number % 2 else 'bad'} {number}\t"
                     f"{'yes' if number % 2 else 'no'}\t{number % 2 + number % 5 / 10}\t{tags}")  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return Source(path)


def states(source: Source, store: Path, model: Path, **setting) -> FeatureTable:
    """The states of layer 1, in float32, of a source's texts."""
    asked = dict(pooling="tokens", layers="1", max_length=24, dtype="float32") | setting
    encoder = load_encoder(model, backend="torch", precision="fp32", **asked)
    name = "-".join(map(str, asked.values())).translate({ord(","): "-", ord(" "): ""})
    build_features(source, store, encoder, name=name)
    return Store(store).open(name)
