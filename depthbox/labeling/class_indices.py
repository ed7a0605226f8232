"""Prompts with the classes of a network, for the categories of a labeled dataset."""

from __future__ import annotations

import functools

from detectron2.config import CfgNode

from ..inference.classes import find_classes
from ..io.annotations.classes import match_classes, remap_classes
from ..io.annotations.records import AnnotationSet
from .prompts import PromptPlan, PromptReader, answers_boxes, read_box_prompts, read_planned_prompts


def build_prompt_reader(cfg: CfgNode, annotations: AnnotationSet, plan: PromptPlan) -> PromptReader:
    """Build the reader of the prompts of a dataset.

    Args:
        cfg: config of the network.
        annotations: dataset to label.
        plan: treatment of its objects; without points and kept objects, the prompts are boxes alone.

    Raises:
        AnnotationError: a ``P2Seg`` does not have a class of the dataset.
    """
    if not plan.points and not plan.kept:
        return read_box_prompts
    classes = find_class_indices(cfg, annotations, required=not answers_boxes(cfg))
    return functools.partial(read_planned_prompts, plan=plan, classes=classes)


def find_class_indices(cfg: CfgNode, annotations: AnnotationSet, *, required: bool) -> list[int]:
    """Find the class of the network for each category of a dataset, by name.

    If the names of the network's classes are not known, classes of equal index are the same.

    Args:
        cfg: config of the network.
        annotations: canonical.
        required: whether every category that has objects needs a class of the network.

    Returns:
        Class of each category, in the order of the canonical ids; -1 = the network does not have it.

    Raises:
        AnnotationError: a class is ``required``, and the network does not have it. The message has both lists of names.
    """
    classes = find_classes(cfg)
    names = [category["name"] for category in annotations.content["categories"]]
    if not classes.known:
        if required and len(names) > len(classes):
            remap_classes(annotations, classes.names)
        return [index if index < len(classes) else -1 for index in range(len(names))]
    if required:
        remap_classes(annotations, classes.names)
    mapping = match_classes(classes.names, names).mapping
    return [classes.names.index(mapping[name]) if name in mapping else -1 for name in names]
