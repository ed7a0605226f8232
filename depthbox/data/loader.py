"""Batches from dataset dicts: the deterministic training loader and the test loader."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader

from ..io.processes import die_with_parent, ignore_stop_signals
from .sampler import ResumableBatchSampler, TrainingStream
from .samples import LoadedSample, Mapper, Record, SampleBatches, SampleDataset, SampleError

# Node of MODEL with the number of classes of a meta-architecture.
_CLASS_NODES = {"DepthBox": "FCOS", "P2Seg": "P2SEG", "GeneralizedRCNN": "ROI_HEADS", "RetinaNet": "RETINANET"}
RecordCheck = Callable[[Sequence[Record], str], None]

__all__ = ["SampleError", "build_test_loader", "build_train_loader", "load_records"]


def load_records(names: Sequence[str], *, filter_empty: bool, check: RecordCheck | None = None) -> list[Record]:
    """Load and join registered datasets.

    Args:
        names: names of the datasets.
        filter_empty: leave out images without annotations other than crowds.
        check: is called with the records and the annotation file of each dataset, to raise an error.

    Raises:
        ValueError: no name, an unknown name, datasets with different classes, no image left, or an error of ``check``.
    """
    if not names:
        raise ValueError("no dataset is named: set DATASETS.TRAIN and DATASETS.TEST")
    records: list[Record] = []
    for name in names:
        if name not in DatasetCatalog:
            raise ValueError(f"unknown dataset '{name}': register it, or list it in DATASETS.COCO_STYLE")
        loaded = DatasetCatalog.get(name)
        if check is not None:
            check(loaded, str(MetadataCatalog.get(name).get("json_file") or f"the dataset '{name}'"))
        records.extend(loaded)
    _check_same_classes(names)
    found = len(records)
    if filter_empty:
        records = [r for r in records if any(not a.get("iscrowd", 0) for a in r.get("annotations", [{}]))]
    if not records:
        cause = "they have no annotations (DATALOADER.FILTER_EMPTY_ANNOTATIONS True)"
        cause = f"{found} found, {found} left out because {cause}" if found else "the dataset is empty"
        raise ValueError(f"no images in {', '.join(names)}: {cause}")
    if len(records) < found:
        logging.getLogger(__name__).info("%d of %d images are left out: no annotations", found - len(records), found)
    return records


def build_train_loader(cfg: CfgNode, mapper: Mapper, start_iter: int = 0, seed: int = 0) -> SampleBatches:
    """Build the endless loader of this process's share of each global batch, independent of the number of workers.

    Args:
        cfg: DATASETS.TRAIN, DATALOADER, SOLVER.IMS_PER_BATCH and MODEL.DEVICE are read.
        mapper: converts a dataset dict to the input of the network. If it has a method ``check_records``, it is called
            with the records and the annotation file of each dataset.
        start_iter: iteration of the first batch, for resuming.
        seed: seed of shuffling and augmentation, the same on all processes.

    Raises:
        ValueError: see ``load_records`` and ``ResumableBatchSampler``, or the network has fewer classes than the data.
    """
    filter_empty, check = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS, getattr(mapper, "check_records", None)
    records = load_records(cfg.DATASETS.TRAIN, filter_empty=filter_empty, check=check)
    _check_class_count(cfg, cfg.DATASETS.TRAIN[0])
    groups = None
    if cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        groups = [int(r["width"] > r["height"]) for r in records]
    stream = TrainingStream(len(records), cfg.SOLVER.IMS_PER_BATCH, seed, groups)
    sampler = ResumableBatchSampler(stream, start_iter, comm.get_rank(), comm.get_world_size())
    return _build_loader(cfg, SampleDataset(records, mapper, seed), batch_sampler=sampler)


def build_test_loader(cfg: CfgNode, dataset_name: str, mapper: Mapper) -> SampleBatches:
    """Build the loader of this process's share of a dataset, in order and in batches of TEST.IMS_PER_BATCH images.

    Args:
        cfg: TEST.IMS_PER_BATCH, DATALOADER.NUM_WORKERS and MODEL.DEVICE are read.
        dataset_name: a registered dataset.
        mapper: converts a dataset dict to the input of the network.
    """
    dataset = SampleDataset(load_records([dataset_name], filter_empty=False), mapper)
    return _build_loader(cfg, dataset, batch_size=cfg.TEST.IMS_PER_BATCH, sampler=InferenceSampler(len(dataset)))


def _build_loader(cfg: CfgNode, dataset: SampleDataset, **order: Any) -> SampleBatches:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        pin_memory=torch.device(cfg.MODEL.DEVICE).type == "cuda",
        collate_fn=_as_list,
        worker_init_fn=partial(_start_worker, os.getpid()),
        **order,
    )
    return SampleBatches(loader)


def _start_worker(parent: int, number: int) -> None:
    """Leave signals to the main process, and end with it."""
    ignore_stop_signals()
    die_with_parent(parent)


def _as_list(batch: list[LoadedSample]) -> list[LoadedSample]:
    return batch


def _check_class_count(cfg: CfgNode, name: str) -> None:
    """Refuse data with more classes than the network, which would take some of them for the background."""
    node = _CLASS_NODES.get(cfg.MODEL.META_ARCHITECTURE)
    classes = MetadataCatalog.get(name).get("thing_classes")
    if node not in cfg.MODEL or classes is None:
        return
    count = cfg.MODEL[node].NUM_CLASSES
    if len(classes) > count:
        raise ValueError(
            f"the dataset '{name}' has {len(classes)} classes, but MODEL.{node}.NUM_CLASSES is {count}: set it to "
            f"{len(classes)}"
        )


def _check_same_classes(names: Sequence[str]) -> None:
    classes: Mapping[str, Any] = {name: MetadataCatalog.get(name).get("thing_classes") for name in names}
    different = [name for name in names if classes[name] != classes[names[0]]]
    if different:
        raise ValueError(
            f"joined datasets must have the same classes in the same order, but '{names[0]}' has "
            f"{classes[names[0]]} and '{different[0]}' has {classes[different[0]]}"
        )
