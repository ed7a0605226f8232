"""Kinds of findings of a dataset check: severity, title and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...io.annotations.notes import NoteRule
from ...io.annotations.records import Note, NoteKind

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

# Classes with fewer objects are called rare.
RARE = 10
# Evaluation keeps this many detections per image (TEST.DETECTIONS_PER_IMAGE).
CROWDED = 100


@dataclass(frozen=True)
class Rule:
    """A kind of finding.

    Attributes:
        kind: identifier, for programs.
        severity: "error": training stops or learns from wrong data; "warning": data are lost or probably not as
            intended; "info": repaired, or for information only.
        title: a noun phrase that the number of cases follows.
        remedy: one sentence; IMAGES and DEPTH stand for the folders of the dataset. "" = nothing to do.
    """

    kind: str
    severity: Severity
    title: str
    remedy: str = ""


_DATASET_RULES = (
    Rule("annotations_unreadable", "error", "annotations that cannot be read", "Correct this first, then check again."),
    Rule(
        "nothing_to_learn",
        "error",
        "no object is left to learn from",
        "Correct what is listed below, or add objects: training needs at least one object on an existing image.",
    ),
    Rule(
        "split_overlap",
        "warning",
        "images that are also in another split, so that the measured AP is too high",
        "Remove them from one of the splits.",
    ),
    Rule("class_absent", "warning", "classes without an object", "Remove these classes, or add objects."),
    Rule(
        "class_rare",
        "warning",
        f"classes with fewer than {RARE} objects",
        "Annotate more objects, or merge the class with another one: so few objects are hardly learned.",
    ),
    Rule(
        "image_empty",
        "info",
        "images without an object",
        "Nothing to do if they show none: training skips them by default (DATALOADER.FILTER_EMPTY_ANNOTATIONS).",
    ),
)

_BOX_RULES = (
    Rule(
        "box_xyxy",
        "error",
        "boxes that look like [x0, y0, x1, y1] instead of [x, y, width, height]",
        "Convert them: `depthbox check --fix OUT.json` writes a copy if every box fits as corners.",
    ),
    Rule(
        "box_normalized",
        "error",
        "boxes that look like fractions of the image (0 to 1) instead of pixels",
        "Multiply x and width by the image width, y and height by the image height (x, y of YOLO are the center).",
    ),
    Rule(
        "box_tiny",
        "warning",
        "objects smaller than a cell of the mask grid (4 pixels) at the size of the network's input",
        "Train on larger inputs (`depthbox train --size`) or on tiles of the images; such objects get no useful mask.",
    ),
    Rule(
        "box_duplicate",
        "warning",
        "boxes that repeat another box of the same class (IoU above 0.95)",
        "Remove the copies: two labels of one object train the network to detect it twice.",
    ),
    Rule(
        "box_dot",
        "warning",
        "boxes of at most one pixel, probably points",
        "Write points as point_coords [[x, y]] without bbox; a file whose boxes are all that small is read as points.",
    ),
    Rule("box_thin", "info", "boxes more than 20 times as long as wide", "Look at them: a line is hardly segmented."),
    Rule(
        "box_huge",
        "info",
        "boxes that cover nearly the whole image (95 % of both sides)",
        "Look at them: without background in the image, a box says little about the mask.",
    ),
    Rule(
        "image_crowded",
        "warning",
        f"images with more than {CROWDED} objects",
        f"Cut them into tiles, or raise TEST.DETECTIONS_PER_IMAGE ({CROWDED}) and accept more memory.",
    ),
)

# Points and outlines, also compared with the boxes of their objects.
_SHAPE_RULES = (
    Rule(
        "points_swapped",
        "error",
        "points that look like [y, x] instead of [x, y]: exchanged, all points lie inside their images",
        "Exchange the two numbers of every point.",
    ),
    Rule(
        "points_percent",
        "warning",
        "points that look like percent of the image (0 to 100) instead of pixels",
        "If they are, multiply x by the image width, y by the image height, and divide both by 100.",
    ),
    Rule(
        "point_duplicate",
        "warning",
        "points on the pixel of another object of their class",
        "Remove one of the two objects, or correct its point: the later one gets no pixel.",
    ),
    Rule(
        "point_near",
        "warning",
        "points nearer to a point of their class than a cell of the grid (4 pixels at the size of the network's input)",
        "Train on larger inputs (`depthbox train --size`) or on tiles of the images: a cell holds one object.",
    ),
    Rule("point_off_box", "warning", "objects with a point outside their box", "Correct the point or the box."),
    Rule(
        "point_off_mask",
        "warning",
        "objects with a point outside their mask",
        "Nothing to do for points at the border of the mask; otherwise correct the point or the mask.",
    ),
    Rule(
        "image_mixed",
        "info",
        "images whose objects are partly points, partly boxes or masks",
        "Nothing to do: the strongest annotation of each object is used.",
    ),
    Rule(
        "outline_off_box",
        "warning",
        "outlines that do not fit their box (IoU of the boxes below 0.5)",
        "Correct the outline or the box: one of them belongs to another object.",
    ),
    Rule(
        "outline_missing",
        "info",
        "objects without an outline although others have one",
        "Nothing to do with MODEL.MASK_SUPERVISION box or mixed; 'mask' and the mask AP need one for each object.",
    ),
)

_IMAGE_RULES = (
    Rule(
        "image_deep",
        "info",
        "images with more than 8 bits per channel, each scaled by its own range of values",
        "Nothing to do if the range may differ between images; otherwise convert them to 8 bits with one range.",
    ),
    Rule(
        "image_pages",
        "warning",
        "images of several pages or frames, of which only the first is used",
        "Save each page as an image of its own if the others matter.",
    ),
    Rule(
        "image_flat",
        "warning",
        "images of nearly one color",
        "Look at them, and remove those that are black or damaged.",
    ),
    Rule(
        "image_repeated",
        "warning",
        "images with the same content as another image",
        "Keep one of them with all of its objects: unlabeled objects count as background.",
    ),
    Rule("image_unlisted", "info", "image files without annotations", "Nothing to do if they belong to another split."),
)

_AGAIN = "Generate them again: `depthbox depth --images IMAGES --output DEPTH --overwrite`."
_DEPTH_RULES = (
    Rule(
        "depth_missing",
        "error",
        "images without a depth map",
        "Generate the missing maps: `depthbox depth --images IMAGES --output DEPTH`.",
    ),
    Rule("depth_unreadable", "error", "depth maps that cannot be read", _AGAIN),
    Rule(
        "depth_sensor",
        "error",
        "depth maps that look like distances of a sensor (far = large, 0 = unknown), not inverse depth (1 = near)",
        "Use estimated depth in another folder: `depthbox depth --images IMAGES --output DEPTH_estimated`.",
    ),
    Rule("depth_range", "error", "depth maps whose values are not in 0 to 1", _AGAIN),
    Rule("depth_8bit", "error", "depth maps of 8 bits or in color instead of 16-bit gray", _AGAIN),
    Rule("depth_not_finite", "error", "depth maps with NaN or infinite values", _AGAIN),
    Rule("depth_size_differs", "error", "depth maps of another aspect ratio than their image", _AGAIN),
    Rule("depth_shared", "error", "images that share a depth map, as only their suffix differs", "Rename one of them."),
    Rule(
        "depth_reversed",
        "warning",
        "depth maps that may be reversed: the upper part is nearer than the lower part in most of them",
        "Look at them: `depthbox check` with --output draws them; white must be near.",
    ),
    Rule("depth_constant", "warning", "depth maps of one value, which hold no information", _AGAIN),
    Rule("depth_unused", "info", "depth maps without an image", "Nothing to do if they belong to another split."),
)

RULES: dict[str, Rule] = {
    rule.kind: rule
    for rules in (_DATASET_RULES, _BOX_RULES, _SHAPE_RULES, _IMAGE_RULES, _DEPTH_RULES)
    for rule in rules
}


_BY_KIND: dict[NoteKind, Severity] = {"repaired": "info", "left out": "warning", "contradiction": "warning"}
# Contradictions with which training stops or learns from wrong data.
_ERRORS = (
    "annotation_file_unreadable",
    "image_size_differs",
    "image_turned",
    "all_crowds",
    "box_missing",
    "points_normalized",
)
# Left out as intended, or without a loss.
_INTENDED = ("crowd", "ignored", "category_unused_root", "image_tags", "split_not_found")


def rule_of_note(note: NoteRule | Note) -> Rule:
    """Return the kind of finding that a note of a reader is, with its severity apart from the number of cases."""
    name = note.rule if isinstance(note, Note) else note.name
    severity: Severity = "error" if name in _ERRORS else "info" if name in _INTENDED else _BY_KIND[note.kind]
    remedy = f"{note.remedy[:1].upper()}{note.remedy[1:].rstrip('.')}." if note.remedy else ""
    return Rule(name, severity, note.text, remedy)
