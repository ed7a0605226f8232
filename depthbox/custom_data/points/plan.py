"""Configs of both stages of a run from one point per object."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ...checkpoint.run_files import LABELER, LABELS, SEGMENTOR, is_staged
from ...config.defaults import add_depthbox_config
from ...config.loading import ConfigError, load_config
from ...engine.schedule import scale_schedule
from ...labeling.loading import load_annotations
from ..models import NONE, weight_keys
from ..overrides import read_overrides, select_overrides
from ..plan import OwnRequest, OwnRun, data_keys, make_facts
from ..prepare import PreparedData
from ..recipe import format_overrides, make_recipe
from ..sources import OwnDataError
from ..split import KindCounts, Split, describe_split, measure_objects
from .networks import choose_labeler, choose_segmentor, is_labeler
from .recipe import estimate_object_share, make_point_recipe, without_validation


@dataclass(frozen=True)
class StagedRun:
    """Plan of a run in two stages.

    Attributes:
        request: the request, for the config of stage B after stage A.
        labeler: stage A, whose network makes masks of the points.
        segmentor: stage B, trained on these masks. While there are no masks, the sizes of the objects are unknown, and
            the config is preliminary.
        has_labels: whether there are masks.
    """

    request: OwnRequest
    labeler: OwnRun
    segmentor: OwnRun
    has_labels: bool

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.request.output)

    @property
    def labels(self) -> Path:
        """COCO JSON file of the masks."""
        return self.folder / LABELS

    @property
    def stages(self) -> str:
        """The stages to run, "a", "b" or "ab"."""
        return self.request.training.stage or "ab"


def configure_stages(request: OwnRequest, *, resume: bool = False) -> StagedRun:
    """Build the configs of both stages; nothing is written.

    Args:
        request: the request.
        resume: whether the run continues, so that the masks in its folder are its own.

    Raises:
        ConfigError: options that do not fit each other.
        FileNotFoundError: the folder of class maps does not exist, or --stage b lacks the masks of stage A.
        ValueError: a weight file cannot be read.
    """
    training = request.training
    if training.stage not in ("", "a", "b"):
        raise ConfigError(f"--stage is a or b, not '{training.stage}': leave it out to run both")
    maps = training.own.class_maps
    if maps is not None and not maps.is_dir():
        raise FileNotFoundError(f"the folder {maps} does not exist: correct --class-maps")
    labels = Path(request.output) / LABELS
    if training.stage == "b" and not (labels.is_file() and is_staged(labels.parent)):
        raise FileNotFoundError(
            f"--stage b trains on the masks of stage A, and {labels} does not exist or is not of such a run: run "
            "--stage a first, or leave out --stage"
        )
    data = request.data
    light = dataclasses.replace(data, train=without_content(data.train), val=data.val and without_content(data.val))
    request = dataclasses.replace(request, data=light)
    known = labels if labels.is_file() and (resume or training.stage == "b") else None
    return StagedRun(request, configure_labeler(request), configure_segmentor(request, known), known is not None)


def configure_labeler(request: OwnRequest) -> OwnRun:
    """Build the config of stage A in OUTPUT/A.

    Raises:
        ConfigError, ValueError: see ``configure_stages``.
    """
    own, data = request.training.own, request.data
    model = choose_labeler(request.training.model, request.device)
    words = select_overrides(request.overrides, LABELER)
    facts = make_facts(request, model, read_overrides(words))
    if not facts.object_share:
        share = estimate_object_share(data.train.annotated, data.train.objects)
        facts = dataclasses.replace(facts, object_share=share)
    tested = data.val is not None and data.val.kinds.mask == data.val.objects
    recipe = make_point_recipe(
        facts if tested else without_validation(facts),
        "files" if own.class_maps is not None else "auto",
        own.depth is not None,
    )
    name = Path(request.output).name
    keys = {**model.keys, **recipe, **weight_keys(model, request.training.weights), **data_keys(own, data, name)}
    (_, *paths), *others = keys["DATASETS.COCO_STYLE"]
    if own.class_maps is not None:
        paths.append(os.path.abspath(own.class_maps))
    keys |= {
        "DATASETS.COCO_STYLE": [[f"{name}_points", *paths], *others],
        "DATASETS.TRAIN": (f"{name}_points",),
        "DATASETS.TEST": keys["DATASETS.TEST"] if tested else (),
        "MODEL.P2SEG.NUM_CLASSES": len(data.classes),
    }
    return OwnRun(_load(request, keys, LABELER, words), data, model, request.method)


def configure_segmentor(request: OwnRequest, labels: Path | None) -> OwnRun:
    """Build the config of stage B in OUTPUT/B.

    Args:
        request: the request.
        labels: COCO JSON file of the masks; None = there are none yet.

    Raises:
        ConfigError, ValueError: see ``configure_stages``.
    """
    training, own = request.training, request.training.own
    model = choose_segmentor(training.model, request.device)
    data = _read_labels(request, labels)
    words = select_overrides(request.overrides, SEGMENTOR)
    facts = make_facts(dataclasses.replace(request, data=data), model, read_overrides(words))
    weights = "" if is_labeler(training.model) and training.weights != NONE else training.weights
    keys = {
        **model.keys,
        **make_recipe(facts, model, depth=own.depth is not None),
        **weight_keys(model, weights),
        **data_keys(own, data, Path(request.output).name),
        "MODEL.MASK_SUPERVISION": "mixed" if request.data.train.kinds.box else "mask",
        "INPUT.OBJECT_WEIGHT": "score",
    }
    return OwnRun(_load(request, keys, SEGMENTOR, words), data, model, request.method)


def _load(request: OwnRequest, keys: dict[str, Any], stage: str, words: list[str]) -> CfgNode:
    place = {"OUTPUT_DIR": str(Path(request.output) / stage), "SEED": request.training.own.seed}
    return scale_schedule(load_config(add_depthbox_config, overrides=[*format_overrides({**keys, **place}), *words]))


def _read_labels(request: OwnRequest, labels: Path | None) -> PreparedData:
    """Return the data of stage B: the masks of stage A as the training set.

    Without masks, the objects with a point only are counted as masks of unknown size.

    Raises:
        AnnotationError: the file of the masks cannot be read.
        OwnDataError: it has other classes than the data.
    """
    data = request.data
    path = Path(os.path.abspath(request.output)) / LABELS
    if labels is None:
        kinds = data.train.kinds
        known = KindCounts(mask=kinds.mask + kinds.point, box=kinds.box)
        return dataclasses.replace(
            data, train=dataclasses.replace(data.train, json_file=path, kinds=known), object_share=0.0
        )
    content = load_annotations(labels, data.train.images).content
    names = tuple(entry["name"] for entry in content["categories"])
    if names != data.classes:
        raise OwnDataError(
            f"{labels} has the classes {', '.join(names)}, but the data have {', '.join(data.classes)}: give the "
            "--data of stage A, or run --stage a again"
        )
    train = without_content(describe_split(path, data.train.images, content))
    return dataclasses.replace(data, train=train, object_share=measure_objects(content))


def without_content(split: Split) -> Split:
    """Return a set without its annotations, which other processes read from its file."""
    return dataclasses.replace(split, content={})
