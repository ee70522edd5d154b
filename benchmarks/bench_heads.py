"""Training heads on features: enc against scikit-learn and a plain torch loop; and a tutorial's whole job.

:func:`run` trains on random pooled features in a store, whose labels follow a noisy linear rule;
rates are of training rows, one for each head that is trained on it, gathering included. Peers are
handed their features as one standardized float32 array in memory, which is not timed; nor are the
means and deviations that enc standardizes by, which it takes once for all heads on the same rows. To
convergence, enc begins with the features as they are stored, and so does scikit-learn in one of its two ways.
:func:`run_tutorial` does what a well-known tutorial does, which encodes every text again in every
epoch, and then the same job with stored features.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..engine import build_features, load_encoder, train_head
from ..engine.encode.facts import quiet
from ..engine.encode.model_files import model_folder
from ..engine.heads.labels import Labels
from ..engine.heads.tasks import SINGLE_LABEL
from ..engine.sweep.grid import runs_of
from ..engine.sweep.runs import train_runs
from ..engine.train.config import RECIPES as TRAIN_RECIPES
from ..engine.train.config import TrainConfig
from ..engine.train.examples import Examples, TrainData
from ..engine.train.fit import fit
from ..engine.train.solve import solve
from ..engine.train.solve_config import SolveConfig
from ..engine.train.summary import SetSummary
from ..store import RECIPES, Source, Store
from ..store.batches import PlannedFeatures
from ..store.duck import workspace
from ..store.stage import stage_source
from .pair_job import pair_contenders
from .random_features import write_features
from .results import Measurement, Results, in_turn, machine

BASELINE = "scikit-learn SGDClassifier"
TUTORIAL = "the tutorial's loop"
HEADS = 16
L2 = 1e-3
_VALID_ROWS = 1000
_Run = Callable[[], float]


def run(
    *, rows: int, token_rows: int, batch_size: int, repetitions: int, say: Callable[[str], None]
) -> Results:
    """One epoch of each kind of head, sweeps, and logistic regression to convergence."""
    folder = Path(tempfile.mkdtemp(prefix="enc-bench-"))
    try:
        pooled, tokens = (
            _data(folder / name, name == "tokens", n)
            for name, n in (("pooled", rows), ("tokens", token_rows))
        )
        say(f"wrote {rows:,} pooled rows and {token_rows:,} of tokens")
        values, targets = _standardized(pooled.train), pooled.train.targets
        for data in (pooled, tokens):
            _ = data.train.scaling
        contenders: list[tuple[Measurement, _Run]] = []

        def contend(name: str, work: Callable[[Measurement], object], trained: int) -> None:
            measurement = Measurement(name, "head-rows/s")
            contenders.append((measurement, lambda: _rate(trained, lambda: work(measurement))))

        def config(head: str = "linear", **changes: Any) -> TrainConfig:
            return TrainConfig(
                head=head, optimizer="sgd", learning_rate=0.01, epochs=1, batch_size=batch_size, **changes
            )

        contend("enc linear", lambda _: fit(pooled, config()), rows)
        contend("enc mlp", lambda _: fit(pooled, config("mlp")), rows)
        contend("enc cnn over tokens", lambda _: fit(tokens, config("cnn")), token_rows)
        grid = {"learning_rate": [0.001 * 2**i for i in range(HEADS // 2)], "weight_decay": [0.0, 0.01]}
        runs = runs_of(config(), grid)
        contend(f"enc sweep of {HEADS} linear heads", lambda _: train_runs(pooled, runs), HEADS * rows)
        contend(
            f"enc linear, {HEADS} one after another",
            lambda _: [fit(pooled, one.config) for one in runs],
            HEADS * rows,
        )
        contend(BASELINE, lambda _: _sgd_classifier(values, targets), rows)
        contend("torch loop over a DataLoader", lambda _: _loader(values, targets, batch_size), rows)
        contend("enc lbfgs, to convergence", lambda m: _lbfgs(pooled, values, m), rows)
        contend(
            "scikit-learn LogisticRegression, to convergence", lambda m: _logistic(values, targets, m), rows
        )
        prepared = "scikit-learn LogisticRegression, features read and standardized too"
        contend(prepared, lambda m: _logistic(_standardized(pooled.train), targets, m), rows)
        for name, work in pair_contenders(pooled, L2):
            contend(name, work, rows)
        in_turn(contenders, repetitions, say)
    finally:
        shutil.rmtree(folder)
    settings = {
        "rows": f"{rows:,} x 384",
        "token rows": f"{token_rows:,} x 32 x 384",
        "batch size": batch_size,
        "l2": L2,
    }
    return Results(
        "heads", BASELINE, settings | {"repetitions": repetitions}, [m for m, _ in contenders], machine()
    )


def run_tutorial(
    train: Source,
    valid: Source,
    *,
    model: str,
    label_column: str,
    repetitions: int,
    say: Callable[[str], None],
) -> Results:
    """The job of a tutorial, from texts to a trained head: its own loop, enc, and the next head with enc."""
    config, titles = TrainConfig(**TRAIN_RECIPES["flat32"]), set()
    texts, targets = zip(*(_texts(source, label_column) for source in (train, valid)), strict=True)
    folder = Path(tempfile.mkdtemp(prefix="enc-bench-"))

    def from_texts(store: Path) -> None:
        shutil.rmtree(store, ignore_errors=True)
        encoder = load_encoder(model, **RECIPES["flat32"])
        for source in (train, valid):
            build_features(source, store, encoder, name="flat32")
        titles.add(encoder.title)
        head(store)

    def head(store: Path) -> None:
        train_head(train, Store(store).open("flat32"), valid=valid, label_column=label_column, config=config)

    def on_a_new_machine() -> None:
        """Nothing is known of the model: backends are converted to and measured."""
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=tempfile.mkdtemp(dir=folder)):
            from_texts(folder / "first")

    def afresh() -> None:
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(folder / "cache")):
            from_texts(folder / "kept")

    try:
        afresh()
        contenders = [
            (
                Measurement(TUTORIAL, "jobs/hour"),
                lambda: _rate(3600, lambda: _tutorial(model, texts, targets)),
            ),
            (
                Measurement("enc, from texts, on a machine new to the model", "jobs/hour"),
                lambda: _rate(3600, on_a_new_machine),
            ),
            (Measurement("enc, from texts", "jobs/hour"), lambda: _rate(3600, afresh)),
            (
                Measurement("enc, the next head", "jobs/hour"),
                lambda: _rate(3600, lambda: head(folder / "kept")),
            ),
        ]
        in_turn(contenders, repetitions, say)
    finally:
        shutil.rmtree(folder)
    for measurement, _ in contenders:
        if measurement.rates:
            measurement.remarks["seconds"] = f"{3600 / float(np.median(measurement.rates)):.2f}"
    settings = {"model": Path(model).name, "training texts": len(texts[0]), "validation texts": len(texts[1])}
    settings |= {
        "epochs": config.epochs,
        "batch size": config.batch_size,
        "enc with": ", ".join(sorted(titles)),
        "repetitions": repetitions,
    }
    return Results("tutorial", TUTORIAL, settings, [m for m, _ in contenders], machine())


def _rate(amount: float, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return amount / (time.perf_counter() - started)


def _data(folder: Path, tokens: bool, rows: int) -> TrainData:
    """Random features in a store, and labels by a noisy linear rule over them."""
    written = write_features(folder, tokens=tokens, rows=rows)
    features = PlannedFeatures(written.shards, written.spec, written.locations)
    rng = np.random.default_rng(1)
    rule = rng.standard_normal(int(np.prod(written.spec.shape)), dtype=np.float32)
    scores = np.concatenate(
        [block.reshape(len(block), -1).astype(np.float32) @ rule for block in features.blocks(4096)]
    )
    targets = (scores / scores.std() + rng.standard_normal(rows) > 0).astype(np.int64)
    summary = SetSummary("train", rows, {}, None, 0, 0)
    train = Examples(features, targets, summary)
    return TrainData(
        SINGLE_LABEL,
        Labels((0, 1)),
        written.spec,
        train,
        train.subset(np.arange(min(_VALID_ROWS, rows))),
        "b",
        "text",
        None,
    )


def _standardized(examples: Examples) -> np.ndarray:
    values = np.concatenate(list(examples.features.blocks(65536))).astype(np.float32)
    return (values - values.mean(0)) / values.std(0)


def _sgd_classifier(values: np.ndarray, targets: np.ndarray) -> None:
    from sklearn.linear_model import SGDClassifier

    SGDClassifier(loss="log_loss", max_iter=1, tol=None).fit(values, targets)  # type: ignore[arg-type]


def _loader(values: np.ndarray, targets: np.ndarray, batch_size: int) -> None:
    """Batches are drawn as whole index lists, which a TensorDataset gathers in one call."""
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

    dataset = TensorDataset(torch.from_numpy(values), torch.from_numpy(targets).long())
    loader = DataLoader(
        dataset, batch_size=None, sampler=BatchSampler(RandomSampler(dataset), batch_size, drop_last=False)
    )
    network = torch.nn.Linear(values.shape[1], 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    for features, target in loader:
        loss = cross_entropy(network(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _lbfgs(data: TrainData, values: np.ndarray, measurement: Measurement) -> None:
    seen = []
    data = replace(data, train=replace(data.train))  # without what was computed of the features before
    solve(data, SolveConfig(l2=[L2]), on_epoch=seen.append)
    measurement.remarks["training loss"] = f"{seen[0].train['loss']:.6f}"
    measurement.remarks["iterations"] = str(seen[0].iterations)


def _logistic(values: np.ndarray, targets: np.ndarray, measurement: Measurement) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    # Its one weight for two classes is the difference of enc's two, whose penalty is half of its own.
    found = LogisticRegression(C=2 / (L2 * len(values)), max_iter=1000).fit(values, targets)
    if "training loss" not in measurement.remarks:  # the first, unlike the others, computes it
        measurement.remarks["training loss"] = f"{log_loss(targets, found.predict_proba(values)):.6f}"
        measurement.remarks["iterations"] = str(int(found.n_iter_[0]))


def _texts(source: Source, label_column: str) -> tuple[list[str], np.ndarray]:
    with workspace() as con:
        stage = stage_source(con, source, label_column=label_column)
        rows = con.sql(
            f"SELECT text, label::INT FROM {stage.name} WHERE key IS NOT NULL ORDER BY source, row"
        ).fetchall()
    return [text for text, _ in rows], np.array([label for _, label in rows], np.int64)


def _tutorial(model: str, texts: tuple[list[str], list[str]], targets: tuple[np.ndarray, np.ndarray]) -> None:
    """In each epoch and batch: cut the texts, tokenize, pad on the left, run BERT, and train one layer."""
    import transformers

    folder = model_folder(model)
    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        bert = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    network = torch.nn.Linear(32 * bert.config.hidden_size, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    rng = np.random.default_rng(0)

    def encoded(rows: np.ndarray, side: int) -> torch.Tensor:
        ids = [
            tokenizer.convert_tokens_to_ids(tokenizer.tokenize(texts[side][row][:32]))[-32:] for row in rows
        ]
        with torch.inference_mode():
            states = bert(torch.tensor([[0] * (32 - len(one)) + one for one in ids])).last_hidden_state
        return states.flatten(1).clone()

    for _ in range(4):
        for side in (0, 1):
            for rows in np.array_split(rng.permutation(len(texts[side])), -(-len(texts[side]) // 16)):
                loss = cross_entropy(network(encoded(rows, side)), torch.from_numpy(targets[side][rows]))
                if side == 0:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
