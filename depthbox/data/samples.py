"""Samples of a dataset: reproducible random numbers, replacement of unreadable images, failures as one line."""

from __future__ import annotations

import contextlib
import logging
import random
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetFromList
from detectron2.data.detection_utils import SizeMismatchError
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ..errors import UserError, describe_error
from ..io.images import ImageError
from .depth_io import DepthFileError
from .sampler import Sample

Record = dict[str, Any]
Mapper = Callable[[Record], Record | None]
# Unreadable images in a row after which the image folder as a whole is at fault.
MAX_UNREADABLE = 10
# Mistakes of the user, whose messages name the file and the cause.
_NAMED = (DepthFileError, SizeMismatchError, UserError)


class SampleError(UserError, RuntimeError):
    """A sample that cannot be loaded. The message names the image file and the cause."""


def require_same_size(record: Mapping[str, Any], image: NDArray[np.uint8]) -> None:
    """Check that an image has the size that its annotations say.

    Args:
        record: dataset dict; without ``height`` and ``width``, nothing is checked.
        image: (H, W, 3) uint8.

    Raises:
        SizeMismatchError: the sizes differ; the message names the file.
    """
    size, stated = image.shape[:2], (record.get("height", image.shape[0]), record.get("width", image.shape[1]))
    if size != stated:
        raise SizeMismatchError(
            f"the image {record.get('file_name')} has {size[1]} x {size[0]} pixels (width x height), but its "
            f"annotations say {stated[1]} x {stated[0]}: use the annotated images (`depthbox check` lists all of them)"
        )


class LoadedSample(NamedTuple):
    """Result of loading a sample, sent from a worker to the main process.

    Attributes:
        record: input of the network; None if there is none.
        unreadable: one line for each image file that could not be read.
        failure: message of an error that ends the run; "" = none.
        details: traceback of the failure.
    """

    record: Record | None
    unreadable: tuple[str, ...] = ()
    failure: str = ""
    details: str = ""


@contextlib.contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed the generators of ``random``, numpy and torch (CPU) for a block, and restore their states afterwards.

    Args:
        entropy: non-negative integers; equal ones give equal random numbers.
    """
    outer = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed would also seed CUDA, whose state is expensive to restore.
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        random.setstate(outer[0])
        np.random.set_state(outer[1])
        torch.set_rng_state(outer[2])


class SampleDataset(Dataset[LoadedSample]):
    """Dataset dicts with a mapper applied; in training with random numbers that depend on the sample only.

    In training, an image that cannot be read is replaced by the next readable image of the dataset, with the random
    numbers of the replaced sample. The replacement depends on the dataset and the index only, so that it is the same
    after a resume and for any number of processes. In testing, an image that cannot be read is left out.

    Args:
        records: dicts in Detectron2's format.
        mapper: converts a dict to the input of the network; in training the dict also has ``iteration``.
        seed: seed of the augmentations; with the position of a sample it determines all its random numbers.
    """

    def __init__(self, records: Sequence[Record], mapper: Mapper, seed: int = 0) -> None:
        # Serialized into one array, which forked workers share instead of copying it page by page.
        self._records = DatasetFromList(list(records), copy=False)
        self._mapper = mapper
        self._seed = seed

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, sample: Sample | int) -> LoadedSample:
        if isinstance(sample, Sample):
            return self._load_or_replace(sample)
        try:
            return self._load(int(sample))
        except ImageError as error:
            return LoadedSample(None, (f"{error}. The image is left out of the predictions",))

    def _load_or_replace(self, sample: Sample) -> LoadedSample:
        """Load a training sample; an unreadable image is replaced by the next one of the dataset."""
        unreadable: list[str] = []
        tried = min(MAX_UNREADABLE, len(self))
        for step in range(tried):
            try:
                with seeded(self._seed, sample.position):
                    loaded = self._load((sample.image + step) % len(self), iteration=sample.iteration)
                return loaded._replace(unreadable=tuple(unreadable))
            except ImageError as error:
                unreadable.append(f"{error}. The next image of the dataset replaces it")
                cause = str(error)
        failure = f"{tried} images in a row cannot be read, the last one: {cause}. `depthbox check` lists all of them"
        return LoadedSample(None, tuple(unreadable), failure)

    def _load(self, index: int, **more: Any) -> LoadedSample:
        """Apply the mapper; an ``ImageError`` is passed on."""
        record = {**self._records[index], **more}
        name = record.get("file_name", f"number {index}")
        try:
            result = self._mapper(record)
        except ImageError:
            raise
        except Exception as error:
            kind = "" if isinstance(error, _NAMED) else f"{type(error).__name__}: "
            failure = f"the sample of image {name} cannot be loaded: {kind}{describe_error(error)}"
            return LoadedSample(
                None, failure=f"{failure} (`depthbox check` examines the dataset)", details=traceback.format_exc()
            )
        if result is None:
            return LoadedSample(None, failure=f"the mapper returned None for image {name}: it must return a dict")
        return LoadedSample(result)


class SampleBatches:
    """Batches of loaded samples, without images that could not be read, which are logged once per file.

    Args:
        loader: batches of ``LoadedSample``, such as a ``DataLoader``.
    """

    def __init__(self, loader: Iterable[Sequence[LoadedSample]]) -> None:
        self._loader = loader
        self._logged: set[str] = set()
        self._logger = logging.getLogger(__name__)

    def __len__(self) -> int:
        """Return the number of batches; batches without a readable image are skipped, but counted."""
        if not isinstance(self._loader, Sized):
            raise TypeError("these batches have no end")
        return len(self._loader)

    def __iter__(self) -> Iterator[list[Record]]:
        """Iterate over lists of records.

        The workers start, and the seed of a ``DataLoader`` is drawn from torch's generator, in this call and not with
        the first batch: a resumed run restores the generator in between.

        Raises:
            SampleError: a sample cannot be loaded, or ``MAX_UNREADABLE`` images in a row cannot be read.
        """
        # Not in the generator: a DataLoader starts its workers and draws a random number in iter(). In the first step
        # of a run, that number would change the random numbers of the step, and a resumed run would differ.
        return self._read(iter(self._loader))

    def _read(self, batches: Iterator[Sequence[LoadedSample]]) -> Iterator[list[Record]]:
        while (batch := _next_batch(batches)) is not None:
            for sample in batch:
                self._log(sample)
            records = [sample.record for sample in batch if sample.record is not None]
            if records:
                yield records

    def _log(self, sample: LoadedSample) -> None:
        for line in sample.unreadable:
            if line not in self._logged:
                self._logged.add(line)
                self._logger.warning("%s", line)
        if sample.failure:
            self._logger.debug("%s", sample.details or sample.failure)
            raise SampleError(sample.failure)


def _next_batch(batches: Iterator[Sequence[LoadedSample]]) -> Sequence[LoadedSample] | None:
    """Return the next batch, None at the end; a worker process that was killed is a shortage of memory."""
    try:
        return next(batches, None)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise SampleError(
            f"a process that loads images has ended: {str(error).splitlines()[0]} Often the memory or the shared "
            "memory is full: lower DATALOADER.NUM_WORKERS (0 = no such processes)"
        ) from error
