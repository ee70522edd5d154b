"""Networks without padding inside, on the CPU, against the padded ones."""

import inspect

import numpy as np
import pytest
import torch
from enc.engine.backends import unpadded as varlen
from enc.engine.backends.network import network_of
from enc.engine.backends.torch_backend import TorchBackend
from enc.engine.encode.checkpoint import checkpoint_of

TEXTS = [
    "a good hotel, very good!",
    "x",
    "the room was not clean and " * 12,
    "[PAD] don't",
    "",
    "no. no. no.",
]
MODELS = {
    "bert": {},
    "electra": dict(embedding_size=8),
    "ernie": {},
    "albert": dict(embedding_size=8),
    "distilbert": dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32),
    "roberta": dict(type_vocab_size=1, pad_token_id=1),
    "xlm-roberta": dict(type_vocab_size=1),
    "camembert": dict(type_vocab_size=1, pad_token_id=1),
    "data2vec-text": dict(type_vocab_size=1),
    "roberta-prelayernorm": dict(type_vocab_size=1),
}


def features(featurizer, batch):
    with torch.inference_mode():
        return featurizer(
            *(torch.from_numpy(a) for a in (batch.input_ids, batch.attention_mask, batch.token_type_ids))
        ).numpy()


def assert_equal_to_padded(folder, **options):
    checkpoint = checkpoint_of(str(folder), max_length=32, **options)
    batch = checkpoint.tokenizer(TEXTS).batch(np.arange(len(TEXTS)))
    packed = features(varlen.load_unpadded(checkpoint), batch)
    np.testing.assert_allclose(packed, features(network_of(checkpoint), batch), atol=1e-5)


def test_all_known_architectures_are_tested():
    assert set(MODELS) == {*varlen._POSITIONS_FROM_ZERO, *varlen._POSITIONS_AFTER_PADDING_ID}


@pytest.mark.parametrize("model_type", MODELS)
def test_equal_to_padded(tiny_model, model_type):
    assert_equal_to_padded(tiny_model(model_type, **MODELS[model_type]))


@pytest.mark.parametrize(
    "options",
    [
        dict(pooling="cls,max,mean"),
        dict(pooling="tokens"),
        dict(pooling="cls,mean", layers="1-2"),
        dict(pooling="tokens", layers="0"),
    ],
)
def test_every_pooling(tiny_bert, options):
    assert_equal_to_padded(tiny_bert, **options)


def test_segments_of_pairs(tiny_bert):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
    batch = checkpoint.tokenizer(TEXTS, TEXTS[::-1]).batch(np.arange(len(TEXTS)))
    assert batch.token_type_ids.any()
    packed = features(varlen.load_unpadded(checkpoint), batch)
    np.testing.assert_allclose(packed, features(network_of(checkpoint), batch), atol=1e-5)


def test_a_kernel_gets_packed_rows(tiny_bert, monkeypatch):
    shapes = []

    def kernel(q, k, v, starts_q, starts_k, longest_q, longest_k):
        shapes.append((tuple(q.shape), starts_q.dtype, starts_q.tolist(), longest_q))
        assert (q.shape, longest_q) == (k.shape, longest_k)
        assert starts_k is starts_q
        rows = [slice(a, b) for a, b in zip(starts_q[:-1].tolist(), starts_q[1:].tolist(), strict=True)]
        heads = [
            torch.nn.functional.scaled_dot_product_attention(*(t[r].transpose(0, 1) for t in (q, k, v)))
            for r in rows
        ]
        return torch.cat(heads, dim=1).transpose(0, 1)

    monkeypatch.setattr(varlen, "kernel_for", lambda query: kernel)
    assert_equal_to_padded(tiny_bert)
    lengths = checkpoint_of(str(tiny_bert), max_length=32).tokenizer(TEXTS).lengths
    total = int(lengths.sum())
    assert shapes == [((total, 2, 8), torch.int32, [0, *np.cumsum(lengths).tolist()], 32)] * 2


def test_torchs_kernel_takes_these_arguments():
    attention = pytest.importorskip(
        "torch.nn.attention.varlen", reason="this torch has no variable-length attention"
    )
    names = list(inspect.signature(attention.varlen_attn).parameters)
    assert names[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


@pytest.mark.parametrize(
    ("model_type", "device", "precision", "capability", "expected"),
    [
        ("bert", "cuda", "bf16", (8, 0), True),
        ("roberta", "cuda", "fp16", (9, 0), True),
        ("bert", "cuda", "fp32", (8, 0), False),
        ("bert", "cuda", "bf16", (7, 5), False),
        ("bert", "cpu", "bf16", (8, 0), False),
        ("mpnet", "cuda", "bf16", (8, 0), False),
    ],
)
def test_where_it_is_used(tiny_model, monkeypatch, model_type, device, precision, capability, expected):
    monkeypatch.setattr(varlen, "_installed_kernel", lambda: max)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    checkpoint = checkpoint_of(str(tiny_model(model_type)), max_length=32)
    assert varlen.suits(checkpoint, torch.device(device), precision) is expected


def test_the_encoder_runs_unpadded(tiny_bert, monkeypatch):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32, dtype="float32")
    batch = checkpoint.tokenizer(TEXTS).batch(np.arange(len(TEXTS)))
    padded = next(TorchBackend(checkpoint, device="cpu").run([batch]))
    monkeypatch.setattr("enc.engine.backends.torch_backend.suits", lambda *_: True)
    encoder = TorchBackend(checkpoint, device="cpu")
    assert encoder.title == "torch fp32 on cpu, unpadded"
    np.testing.assert_allclose(next(encoder.run([batch])), padded, atol=1e-5)
