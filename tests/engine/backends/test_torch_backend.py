import numpy as np
import pytest
import torch
from backend_texts import TEXTS, cosines, encoded, needs_bf16
from enc.engine import load_encoder
from enc.store import ModelError


@needs_bf16
def test_bf16_is_of_the_full_class():
    expected = encoded(load_encoder("minilm", backend="torch", precision="fp32"))
    features = encoded(load_encoder("minilm", backend="torch", precision="bf16"))
    assert cosines(features, expected).mean() > 0.9999


def test_a_batch_too_large_for_memory_is_halved(tiny_bert, monkeypatch):
    encoder = load_encoder(str(tiny_bert), max_length=32, backend="torch", dtype="float32")
    expected = encoded(encoder)
    network, refused = encoder.backend._network, []

    def small_memory(input_ids, *others):
        if len(input_ids) > 2:
            refused.append(len(input_ids))
            raise torch.OutOfMemoryError("out of memory")
        return network(input_ids, *others)

    monkeypatch.setattr(encoder.backend, "_network", small_memory)
    tokens = encoder.tokenize(TEXTS)
    features = next(iter(encoder.encode([tokens.batch(np.arange(len(TEXTS)))])))
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert refused[0] == len(TEXTS)
    assert encoder.tokens_per_batch < len(TEXTS) * 32  # and later batches are cut smaller

    def no_memory(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(encoder.backend, "_network", no_memory)
    with pytest.raises(ModelError, match="a single text of 3 tokens does not fit the memory of cpu"):
        next(encoder.encode([tokens.batch(np.array([2]))]))
