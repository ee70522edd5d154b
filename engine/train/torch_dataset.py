"""Features and targets as torch datasets give them, and batches on their way to a GPU."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ...store import FeatureSpec, FeatureTable, Source, SourceError
from ...store.batches import PlannedFeatures
from ...store.duck import workspace
from ...store.lookup import look_up
from ...store.parts import select_parts
from ...store.required import require_features
from ...store.stage import stage_source
from ...store.token_batches import PlannedTokens, planned_features
from ..heads.labels import Labels
from ..heads.targets import detect_task, labels_of, read_targets

Batch = tuple[torch.Tensor, torch.Tensor]
"""Features [n, *shape] in the stored dtype, and targets [n]; tokens that are stored without padding are
padded with zeros to the longest row of the batch.
"""


class FeatureDataset(IterableDataset[Batch]):
    """An epoch's shuffled batches, for a loop of your own or for a DataLoader with ``batch_size=None``.

    ``targets`` [rows, ...] belong to the rows of ``features``. Each iteration gives every row once, in an
    order that follows from ``seed`` and :meth:`set_epoch`. Every rank gets its share of the rows; ``rank``
    and ``world_size`` are taken from torch.distributed where it is initialised. The processes of a DataLoader
    share the rank's rows in this way, too (without ``persistent_workers``, which would not see
    :meth:`set_epoch`).

    >>> dataset = FeatureDataset.of(reviews, "features/reviews", batch_size=256)
    >>> for epoch in range(10):
    ...     dataset.set_epoch(epoch)
    ...     for batch, target in to_device(dataset, "cuda"):
    """

    def __init__(
        self,
        features: PlannedFeatures,
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int = 42,
        rank: int | None = None,
        world_size: int | None = None,
        labels: Labels | None = None,
    ):
        super().__init__()
        if len(targets) != features.rows:
            raise SourceError(
                f"there are {len(targets)} targets for {features.rows} rows of features; "
                "give one for each row"
            )
        if (rank is None) != (world_size is None):
            raise SourceError("give both rank and world_size, or neither")
        self.features, self.targets, self.batch_size, self.seed = features, targets, batch_size, seed
        self.labels = labels
        """What the class numbers among the targets stand for; empty for numbers, None where nobody told."""
        self._given = None if rank is None or world_size is None else (rank, world_size)
        self._epoch = self._served = self._start = 0

    @classmethod
    def of(
        cls,
        source: Source | str | Path | Sequence[str | Path],
        table: FeatureTable | str | Path,
        *,
        batch_size: int,
        label_column: str | Sequence[str] = "label",
        task: str | None = None,
        labels: Labels | None = None,
        use: FeatureSpec | str | None = None,
        batches: str | None = None,
        seed: int = 42,
    ) -> "FeatureDataset":
        """The rows of a source that have a label and a usable text, with their features from a table.

        Targets are class numbers int64 [n] in the order of ``labels`` (those of the source, sorted, unless
        given: give the training set's to the others), 0 and 1 as float32 [n, classes] for several labels a
        row, and float32 [n] for ``task="regression"``. ``use`` are parts of the features, such as
        ``layers=9-12,pooling=mean``; ``batches`` is where they wait, one of :data:`store.batches.MODES`, by
        the available memory unless given. Raises MissingFeatures where texts were not encoded, and
        LabelError for labels that the task cannot take.
        """
        given, table = source if isinstance(source, Source) else Source(source), FeatureTable.of(table)
        spec = select_parts(table.spec, use) if isinstance(use, str) else use
        with workspace() as con:
            stage = stage_source(con, given, label_column=label_column, keep_text=False)
            kind = detect_task(stage, task)
            known = labels_of(stage, kind) if labels is None else labels
            found = look_up(stage, table.shards)
            require_features(table, [(stage, found)])
            rows = stage.rows_where("true")
            locations, targets = read_targets(stage, found.locations, kind, known, rows)
            if not len(targets):
                raise SourceError(f"{given.title} has no row with a label and a usable text")
            features = planned_features(table.shards, table.spec, locations, batches=batches, use=spec)
        return cls(features, targets, batch_size=batch_size, seed=seed, labels=known)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration. A state that was loaded in this very epoch stays."""
        if epoch != self._epoch:
            self._epoch, self._served, self._start = epoch, 0, 0

    def __iter__(self) -> Iterator[Batch]:
        # Only the first iteration after loading a state goes on from there.
        self._served, self._start = self._start, 0
        rank, world_size = self._place()
        batches = self.features.epoch(
            self.seed, self._epoch, self.batch_size, start=self._served, rank=rank, world_size=world_size
        )
        for positions, features in batches:
            self._served += len(positions)
            targets = torch.from_numpy(self.targets[positions])
            # Losses of torch take class numbers of 64 bits.
            yield torch.from_numpy(features), targets if targets.is_floating_point() else targets.long()

    def state_dict(self) -> dict[str, Any]:
        """The row that this iteration has come to: :meth:`load_state_dict` then gives exactly the rest.

        The iteration must be over the dataset itself, or by a DataLoader without worker processes: a worker
        iterates over a copy, and this object does not know how far the copy is.
        """
        return self._identity() | {"epoch": self._epoch, "row": self._start or self._served}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on after the last row of ``state``, with batches of any size.

        Raises SourceError if the rows of ``state`` came in another order.
        """
        identity = self._identity()
        differences = [
            f"{name}: {identity[name]}, not {state.get(name)}"
            for name in identity
            if identity[name] != state.get(name)
        ]
        if differences:
            raise SourceError(
                f"the saved state is of another order ({'; '.join(differences)}); "
                "restore that, or begin the epoch anew"
            )
        self._epoch, self._start, self._served = state["epoch"], state["row"], 0

    def _identity(self) -> dict[str, Any]:
        rank, world_size = self._place()
        found = {"seed": self.seed, "rank": rank, "world_size": world_size, "order": self.features.order}
        if isinstance(self.features, PlannedTokens):  # rows are grouped by their length in batches
            found["batch_size"] = self.batch_size
        return found

    def _place(self) -> tuple[int, int]:
        """Rank and number of ranks, the processes of a DataLoader counted as ranks of their own."""
        rank, world_size = 0, 1
        if self._given is not None:
            rank, world_size = self._given
        elif torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        worker = get_worker_info()
        if worker is None:
            return rank, world_size
        return rank * worker.num_workers + worker.id, world_size * worker.num_workers


def to_device(batches: Iterable[Batch], device: str | torch.device) -> Iterator[Batch]:
    """The batches on ``device``.

    A GPU's batches are copied from pinned memory, on a stream that runs one batch ahead of the computation.
    This is written for CUDA, and untested on a GPU. Batches for a CPU are passed through.
    """
    device = torch.device(device)
    if device.type != "cuda":
        yield from ((features.to(device), targets.to(device)) for features, targets in batches)
        return
    stream = torch.cuda.Stream(device)

    def copied(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            features, targets = (tensor.pin_memory().to(device, non_blocking=True) for tensor in batch)
        event = torch.cuda.Event()
        event.record(stream)
        return (features, targets), event

    def ready(copy: tuple[Batch, torch.cuda.Event]) -> Batch:
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copy[1])
        for tensor in copy[0]:
            tensor.record_stream(computing)  # its memory is not given to the next copy while it is in use
        return copy[0]

    waiting: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        following = copied(batch)
        if waiting is not None:
            yield ready(waiting)
        waiting = following
    if waiting is not None:
        yield ready(waiting)
