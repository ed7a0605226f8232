"""Order of the training images: a pure function of the seed, the iteration and the global batch size."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler


class Sample(NamedTuple):
    """One training sample.

    Attributes:
        image: index into the dataset.
        position: unique position in the endless shuffled stream; ``position // size`` is the epoch. All random numbers
            of the sample derive from it.
        iteration: iteration of the batch.
    """

    image: int
    position: int
    iteration: int = 0


class TrainingStream:
    """Endless shuffled stream of a dataset, divided into global batches with random access.

    Epoch e is a permutation drawn with the seed ``seed + e``. With ``groups``, such as landscape and portrait, each
    batch holds images of one group only, so that little is padded. Images wait until their group fills a batch, batches
    are in the order in which they are filled, and no image is left out. Batch 270,000 costs as much as the first
    because every epoch holds the same number of images of each group.
    """

    def __init__(self, size: int, batch_size: int, seed: int, groups: Sequence[int] | Tensor | None = None) -> None:
        """
        Args:
            size: number of images in the dataset.
            batch_size: number of images in a global batch, over all processes.
            seed: seed of the shuffling.
            groups: (size,) integer group of each image; None = one group.

        Raises:
            ValueError: no images, an empty batch, or a number of groups that differs from the number of images.
        """
        if size < 1:
            raise ValueError("the training set is empty: no images to sample from")
        if batch_size < 1:
            raise ValueError(f"SOLVER.IMS_PER_BATCH must be at least 1, not {batch_size}")
        self._groups = torch.zeros(size, dtype=torch.int64) if groups is None else torch.as_tensor(groups)
        if len(self._groups) != size:
            raise ValueError(f"{len(self._groups)} groups for {size} images: give one group for each image")
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self._members = {int(group): int((self._groups == group).sum()) for group in self._groups.unique()}
        self._epoch = functools.lru_cache(maxsize=4)(self._draw_epoch)
        self._batches_of_epoch = functools.lru_cache(maxsize=2)(self._order_batches)

    def batch(self, iteration: int) -> list[Sample]:
        """Return the global batch of an iteration (counted from 0): ``batch_size`` samples."""
        epoch = self._epoch_of_batch(iteration)
        group, number = self._batches_of_epoch(epoch)[iteration - self._batches_before(epoch)]
        first = number * self.batch_size
        return [self._sample(group, place, iteration) for place in range(first, first + self.batch_size)]

    def _draw_epoch(self, epoch: int) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the permutation of an epoch, and the offsets of the images of each group in it."""
        generator = torch.Generator().manual_seed((self.seed + epoch) % 2**63)
        order = torch.randperm(self.size, generator=generator)
        groups = self._groups[order]
        return order, {group: (groups == group).nonzero().flatten() for group in self._members}

    def _sample(self, group: int, place: int, iteration: int) -> Sample:
        """Return the sample at a place in the stream of its group."""
        epoch, rank = divmod(place, self._members[group])
        order, offsets = self._epoch(epoch)
        offset = int(offsets[group][rank])
        return Sample(int(order[offset]), epoch * self.size + offset, iteration)

    def _batches_before(self, epoch: int) -> int:
        """Return the number of batches that are filled before an epoch."""
        return sum(epoch * members // self.batch_size for members in self._members.values())

    def _epoch_of_batch(self, iteration: int) -> int:
        """Return the epoch in which the last image of a batch is drawn."""
        low = iteration * self.batch_size // self.size  # no image is drawn twice, so never earlier
        high = low + (len(self._members) + 1) * self.batch_size // self.size + 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._batches_before(middle) <= iteration else (low, middle)
        return low

    def _order_batches(self, epoch: int) -> list[tuple[int, int]]:
        """Return ``(group, number within the group)`` of the batches that an epoch fills, in the order of filling."""
        _, offsets = self._epoch(epoch)
        filled = []
        for group, members in self._members.items():
            first, last = epoch * members // self.batch_size, (epoch + 1) * members // self.batch_size
            for number in range(first, last):
                rank = (number + 1) * self.batch_size - 1 - epoch * members
                filled.append((int(offsets[group][rank]), group, number))
        return [(group, number) for _, group, number in sorted(filled)]


class ResumableBatchSampler(Sampler[list[Sample]]):
    """Share of one process of each global batch, endless, from any iteration on."""

    def __init__(self, stream: TrainingStream, start_iter: int = 0, rank: int = 0, world_size: int = 1) -> None:
        """
        Args:
            stream: global batches.
            start_iter: iteration of the first batch.
            rank, world_size: number of this process and of all processes; each one gets a contiguous slice.

        Raises:
            ValueError: the batch size is not a multiple of the number of processes.
        """
        if stream.batch_size % world_size:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH = {stream.batch_size} does not divide by the {world_size} processes: "
                f"set a multiple of {world_size}"
            )
        self.stream = stream
        self.start_iter = start_iter
        self.rank = rank
        self.share = stream.batch_size // world_size

    def __iter__(self) -> Iterator[list[Sample]]:
        first = self.rank * self.share
        iteration = self.start_iter
        while True:
            yield self.stream.batch(iteration)[first : first + self.share]
            iteration += 1
