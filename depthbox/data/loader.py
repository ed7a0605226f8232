"""From data set dicts to batches: deterministic training loader, test loader."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetFromList, MetadataCatalog
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from .sampler import ResumableBatchSampler, Sample, TrainingStream

Record = dict[str, Any]
Mapper = Callable[[Record], Record | None]


class SampleError(RuntimeError):
    """A sample could not be loaded; the message names its image file."""


@contextlib.contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed the generators of ``random``, numpy and torch (CPU) for a block; afterwards they are as before.

    Args:
        entropy: non-negative integers; equal ones give equal random numbers.
    """
    outer = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # Not torch.manual_seed: it would seed CUDA too, which this block has no way to restore cheaply.
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        random.setstate(outer[0])
        np.random.set_state(outer[1])
        torch.set_rng_state(outer[2])


class SampleDataset(Dataset[Record]):
    """Applies the mapper to data set dicts; in training with randomness that depends on the sample only."""

    def __init__(self, records: Sequence[Record], mapper: Mapper, seed: int = 0) -> None:
        """
        Args:
            records: dicts in Detectron2's format.
            mapper: makes of one what the network is fed; in training the dict also has ``iteration``.
            seed: of the augmentations; with the position of a sample it fixes all its random numbers.
        """
        # Serialised into one array: forked workers then share it instead of copying it page by page.
        self._records = DatasetFromList(list(records), copy=False)
        self._mapper = mapper
        self._seed = seed

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, sample: Sample | int) -> Record:
        if isinstance(sample, Sample):
            with seeded(self._seed, sample.position):
                return self._load(sample.image, iteration=sample.iteration)
        return self._load(int(sample))

    def _load(self, index: int, **more: Any) -> Record:
        record = {**self._records[index], **more}
        name = record.get("file_name", f"number {index}")
        try:
            result = self._mapper(record)
        except Exception as error:
            raise SampleError(f"could not load image {name}: {type(error).__name__}: {error}") from error
        if result is None:
            raise SampleError(f"could not load image {name}: the mapper returned None instead of a dict")
        return result


def load_records(names: Sequence[str], *, filter_empty: bool) -> list[Record]:
    """Load and join registered data sets.

    Args:
        names: of the data sets.
        filter_empty: leave out images that have nothing but crowds annotated.

    Raises:
        ValueError: no name, an unknown one, sets with different classes, or no image left.
    """
    if not names:
        raise ValueError("no data set is named: set DATASETS.TRAIN and DATASETS.TEST")
    records: list[Record] = []
    for name in names:
        if name not in DatasetCatalog:
            raise ValueError(f"unknown data set '{name}': register it, or list it in DATASETS.COCO_STYLE")
        records.extend(DatasetCatalog.get(name))
    _check_same_classes(names)
    found = len(records)
    if filter_empty:
        records = [r for r in records if any(not a.get("iscrowd", 0) for a in r.get("annotations", [{}]))]
    if not records:
        reason = "nothing is annotated on them (DATALOADER.FILTER_EMPTY_ANNOTATIONS True)"
        why = f"{found} found, {found} left out because {reason}" if found else "the data set is empty"
        raise ValueError(f"no images in {', '.join(names)}: {why}")
    if len(records) < found:
        logging.getLogger(__name__).info("%d of %d images are left out: no annotations", found - len(records), found)
    return records


def build_train_loader(cfg: CfgNode, mapper: Mapper, start_iter: int = 0, seed: int = 0) -> DataLoader[list[Record]]:
    """Endless loader of this process's share of each global batch; workers do not change what it gives.

    Args:
        cfg: DATASETS.TRAIN, DATALOADER, SOLVER.IMS_PER_BATCH and MODEL.DEVICE are read.
        mapper: makes of a data set dict what the network is fed.
        start_iter: iteration of the first batch, for resuming.
        seed: of shuffling and augmentation, the same on all processes.

    Raises:
        ValueError: see ``load_records`` and ``ResumableBatchSampler``.
    """
    records = load_records(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    groups = None
    if cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        groups = [int(r["width"] > r["height"]) for r in records]
    stream = TrainingStream(len(records), cfg.SOLVER.IMS_PER_BATCH, seed, groups)
    sampler = ResumableBatchSampler(stream, start_iter, comm.get_rank(), comm.get_world_size())
    return _data_loader(cfg, SampleDataset(records, mapper, seed), batch_sampler=sampler)


def build_test_loader(cfg: CfgNode, dataset_name: str, mapper: Mapper) -> DataLoader[list[Record]]:
    """Loader of this process's share of a data set, TEST.IMS_PER_BATCH images at a time, in order.

    Args:
        cfg: that, DATALOADER.NUM_WORKERS and MODEL.DEVICE are read.
        dataset_name: a registered data set.
        mapper: makes of a data set dict what the network is fed.
    """
    dataset = SampleDataset(load_records([dataset_name], filter_empty=False), mapper)
    return _data_loader(cfg, dataset, batch_size=cfg.TEST.IMS_PER_BATCH, sampler=InferenceSampler(len(dataset)))


def _data_loader(cfg: CfgNode, dataset: Dataset[Any], **order: Any) -> DataLoader[list[Record]]:
    return DataLoader(
        dataset,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=torch.device(cfg.MODEL.DEVICE).type == "cuda",
        collate_fn=_as_list,
        **order,
    )


def _as_list(batch: list[Record]) -> list[Record]:
    return batch


def _check_same_classes(names: Sequence[str]) -> None:
    classes: Mapping[str, Any] = {name: MetadataCatalog.get(name).get("thing_classes") for name in names}
    different = [name for name in names if classes[name] != classes[names[0]]]
    if different:
        raise ValueError(
            f"data sets that are joined must have the same classes in the same order, but '{names[0]}' has "
            f"{classes[names[0]]} and '{different[0]}' has {classes[different[0]]}"
        )
