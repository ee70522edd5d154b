"""Peers of encoding that run in this process, each loaded and warmed up, on the device that enc uses."""

import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..engine.encode.facts import quiet
from .static_peer import static_encoder


def timed(rows: int, work: Callable[[], object]) -> float:
    """Rows per second of a piece of work."""
    started = time.perf_counter()
    work()
    return rows / (time.perf_counter() - started)


def static(folder: str, sample: list[str]) -> Callable[[], float]:
    """model2vec's static embeddings."""
    encode = static_encoder(folder)
    encode(sample[:64])
    return lambda: timed(len(sample), lambda: encode(sample))


def sentence_transformers(
    folder: Path, sample: list[str], max_length: int, device: str, *, save: bool = False, half: bool = False
) -> Callable[[], float]:
    """``encode``, with ``save`` into a file, with ``half`` in fp16 with the quickest attention there is."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    attention = "flash_attention_2" if find_spec("flash_attn") else "sdpa"
    options = {"dtype": "float16", "attn_implementation": attention} if half else {}
    with quiet():
        transformer = Transformer(str(folder), max_seq_length=max_length, model_kwargs=options)
        model = SentenceTransformer(
            modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean")], device=device
        )
    model.encode(sample[:64])

    def encode() -> None:
        with tempfile.TemporaryDirectory() as target:
            embeddings = model.encode(sample, show_progress_bar=False)
            if save:
                np.save(Path(target) / "embeddings.npy", embeddings)

    return lambda: timed(len(sample), encode)


def pipeline(folder: Path, sample: list[str], max_length: int, device: str) -> Callable[[], float]:
    """The feature-extraction pipeline, texts sorted by length, in batches of 32."""
    import transformers

    with quiet():
        extract = transformers.pipeline(
            "feature-extraction", model=str(folder), tokenizer=str(folder), device=device
        )
    options = {
        "tokenize_kwargs": {"truncation": True, "max_length": max_length},
        "return_tensors": True,
        "batch_size": 32,
    }
    by_length = sorted(sample, key=len, reverse=True)

    def encode() -> list[np.ndarray]:
        return [states[0].mean(0).cpu().numpy() for states in extract(by_length, **options)]

    extract(sample[:64], **options)
    return lambda: timed(len(sample), encode)


def one_by_one(folder: Path, sample: list[str], max_length: int, device: str) -> Callable[[], float]:
    """A model's forward pass for each text."""
    import torch
    import transformers

    with quiet():
        tokenizer, model = (
            transformers.AutoTokenizer.from_pretrained(folder),
            transformers.AutoModel.from_pretrained(folder),
        )
    model.eval().to(device)

    @torch.inference_mode()
    def encode() -> list[np.ndarray]:
        inputs = (
            tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt") for text in sample
        )
        return [model(**one.to(device)).last_hidden_state[0].mean(0).cpu().numpy() for one in inputs]

    encode()
    return lambda: timed(len(sample), encode)
