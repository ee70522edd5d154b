"""Several processes that train one head together, as ``torchrun`` starts them.

Each step, every rank takes its share of the batch, and the gradients of all are added up. So the weights are
the same everywhere, and those of one process with the same batch size, to rounding. A head with dropout
draws other numbers on every rank.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...store import HeadError
from ...store.orders import rank_share
from .token_rows import order_of, rows_of

if TYPE_CHECKING:
    from .served import Features


@contextmanager
def started_ranks() -> Iterator[int]:
    """Join the processes that ``torchrun`` started, if it did; gives the rank of this one, from 0."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or torch.distributed.is_initialized():
        yield Ranks().rank
        return
    torch.distributed.init_process_group("gloo")  # heads are small: their gradients cross any network
    try:
        yield torch.distributed.get_rank()
    finally:
        torch.distributed.destroy_process_group()


class Ranks:
    """The processes that train together: ``rank`` of ``size``, which is 1 without torch.distributed."""

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    @property
    def is_one(self) -> bool:
        """Whether a single process trains."""
        return self.size == 1

    def begin(self, features: "Features", batch_size: int) -> None:
        """Prepare for training; ranks draw different numbers from here on, for dropout.

        Raises HeadError for what several processes cannot share.
        """
        if self.is_one:
            return
        if features.mode == "streamed":
            raise HeadError("streamed features have an order of their own; with torchrun: --batches mapped")
        if batch_size < self.size:
            raise HeadError(f"--batch-size {batch_size} is less than the {self.size} processes of torchrun")
        torch.manual_seed(torch.initial_seed() + self.rank)

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This rank's positions of a batch."""
        first, stop = rank_share(len(batch), self.rank, self.size)
        return batch[first:stop]

    def epoch(
        self, features: "Features", seed: int, epoch: int, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """This rank's positions int64 [n] and features [n, *shape] of every batch, and the batch's rows."""
        if self.is_one:
            for positions, rows in features.epoch(seed, epoch, batch_size):
                yield positions, rows, len(positions)
            return
        order = order_of(features, seed, epoch, batch_size)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            positions = self.share(batch)
            yield positions, rows_of(features, positions), len(batch)

    def mean(self, losses: torch.Tensor, rows: int) -> torch.Tensor:
        """This rank's part of the mean loss of a batch of so many rows."""
        return losses.mean() if self.is_one else losses.sum() / rows

    def backward(self, loss: torch.Tensor, network: torch.nn.Module) -> None:
        """Give every parameter the sum of all ranks' gradients; none to one that no rank has used."""
        loss.backward()
        if self.is_one:
            return
        parameters = [one for one in network.parameters() if one.requires_grad]
        used = [one.grad is not None for one in parameters]
        parts = [
            (torch.zeros_like(one) if one.grad is None else one.grad).reshape(-1).float()
            for one in parameters
        ]
        summed = torch.cat([*parts, torch.tensor(used, dtype=torch.float32)])
        torch.distributed.all_reduce(summed)
        start = 0
        for one, is_used in zip(parameters, summed[len(summed) - len(parameters) :].tolist(), strict=True):
            part = summed[start : start + one.numel()].reshape(one.shape).to(one.dtype)
            one.grad = part if is_used else None
            start += one.numel()

    def gathered(self, values: np.ndarray, loss_sum: float) -> tuple[np.ndarray, float]:
        """An epoch's predictions, of which every rank has filled its own rows and left 0, and its loss."""
        if self.is_one:
            return values, loss_sum
        kind = values.dtype
        sent = {np.dtype(np.bool_): np.uint8, np.dtype(np.int16): np.int32}  # gloo adds up no others
        numbers: Any = values.astype(sent.get(kind, kind), copy=False)
        filled = torch.from_numpy(np.ascontiguousarray(numbers))
        torch.distributed.all_reduce(filled)
        loss = torch.tensor(loss_sum, dtype=torch.float64)
        torch.distributed.all_reduce(loss)
        return filled.numpy().astype(kind), float(loss)
