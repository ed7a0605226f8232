"""What can be wrong with a data set: each kind of finding, how grave it is, what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# Classes with fewer objects than this are called rare.
RARE = 10


@dataclass(frozen=True)
class Rule:
    """A kind of finding.

    Attributes:
        kind: its name, for programs.
        severity: "error": training would stop or learn nonsense; "warning": it runs, but something is lost;
            "note": worth knowing.
        title: what it is, in plain words.
        remedy: what to do, one sentence.
    """

    kind: str
    severity: Severity
    title: str
    remedy: str


_FILE_RULES = (
    Rule("json_unreadable", "error", "the json file cannot be parsed", "Export the annotations again as UTF-8 json."),
    Rule(
        "json_not_coco",
        "error",
        "the json is no COCO instances file",
        "Export the annotations as 'COCO instances' (lists named images, annotations and categories).",
    ),
    Rule(
        "json_entry_malformed",
        "error",
        "entries of the json are no objects with the keys that COCO asks for",
        "Images need id, file_name, height, width; classes id, name; annotations id, image_id, category_id, bbox.",
    ),
    Rule("no_images", "error", "the list of images is empty", "Export the json together with its images."),
    Rule("no_categories", "error", "the list of categories is empty", "Add each class as {id, name}."),
    Rule("no_annotations", "error", "the list of annotations is empty", "Export the json with its boxes."),
)

_RECORD_RULES = (
    Rule("image_id_twice", "error", "image ids are used twice", "Give each image an id of its own."),
    Rule("annotation_id_twice", "error", "annotation ids are used twice", "Number the annotations anew, from 1 on."),
    Rule("category_id_twice", "error", "category ids are used twice", "Give each class an id of its own."),
    Rule(
        "image_unknown",
        "error",
        "annotations belong to an image that the json does not list",
        "Add the image to the list or remove its annotations; ids must be of one type (1 is not '1').",
    ),
    Rule(
        "category_unknown",
        "error",
        "annotations have a class that the json does not list",
        "Add the category or correct category_id; it is the category's id, not its place in the list.",
    ),
    Rule(
        "annotation_ignored",
        "error",
        "annotations carry ignore = 1, at which loading stops",
        "Remove them, or set iscrowd = 1 and ignore = 0.",
    ),
    Rule("image_size_invalid", "error", "height or width is no positive whole number", "Write them in pixels."),
    Rule(
        "file_listed_twice",
        "warning",
        "image files are listed twice, under two ids",
        "Merge the entries, else part of the objects counts as background in each of them.",
    ),
    Rule("category_name_twice", "warning", "two classes have one name", "Merge them, or name them differently."),
    Rule(
        "annotation_id_zero",
        "warning",
        "an annotation has the id 0, which the COCO evaluation takes for 'not matched'",
        "Number the annotations from 1 on.",
    ),
    Rule("id_not_integer", "warning", "ids are no whole numbers", "Use integers: several COCO tools need them."),
    Rule("crowd_invalid", "warning", "iscrowd is neither 0 nor 1", "Write 0, or 1 for regions to leave out."),
    Rule("class_absent", "warning", "classes have no object (crowds aside)", "Remove them, or find their objects."),
    Rule(
        "class_rare",
        "warning",
        f"classes have fewer than {RARE} objects",
        "Label more of them, or merge the class with another: so few are hardly learnt.",
    ),
    Rule(
        "category_ids_gaps",
        "note",
        "category ids are not 1, 2, 3, ...",
        "Nothing to do: they are numbered anew for training and written back in results.",
    ),
    Rule(
        "image_empty",
        "note",
        "images have no annotation",
        "Fine if they show no object: training skips them by default (DATALOADER.FILTER_EMPTY_ANNOTATIONS).",
    ),
    Rule("crowd", "note", "annotations are crowds", "Nothing to do: training leaves them out."),
)

_BOX_RULES = (
    Rule("box_malformed", "error", "boxes are not four numbers", "Write bbox as [x, y, width, height]."),
    Rule("box_not_finite", "error", "boxes hold NaN or infinity", "Correct or remove these annotations."),
    Rule(
        "box_xyxy",
        "error",
        "boxes look like [x0, y0, x1, y1], COCO writes [x, y, width, height]",
        "Replace the last two numbers of every bbox by x1 - x0 and y1 - y0.",
    ),
    Rule(
        "box_normalised",
        "error",
        "boxes look like shares of the image (0 to 1), COCO counts pixels",
        "Multiply x and width by the image's width, y and height by its height (YOLO's x, y are the centre).",
    ),
    Rule("box_negative", "error", "boxes have a negative width or height", "Exchange the corners, or remove them."),
    Rule(
        "box_outside",
        "error",
        "boxes lie wholly outside their image",
        "Correct them: they belong to another image or to another size of it.",
    ),
    Rule(
        "box_partly_outside",
        "warning",
        "boxes reach more than a pixel out of their image",
        "Training cuts them at the border; many of them point to a wrong image size or box format.",
    ),
    Rule("box_zero", "warning", "boxes have no area", "Remove or redraw them: training leaves them out."),
    Rule(
        "box_tiny",
        "warning",
        "objects are smaller than a cell of the mask grid (4 pixels) at the network's input size",
        "Train on larger inputs (INPUT.MIN_SIZE_TRAIN) or on tiles of the images, or accept no masks for them.",
    ),
    Rule(
        "box_duplicate",
        "warning",
        "boxes repeat another one of the same class (IoU above 0.95)",
        "Remove the copies; two labels of one object teach the network to find it twice.",
    ),
)

_SEGMENTATION_RULES = (
    Rule(
        "segmentation_malformed",
        "error",
        "segmentations are neither polygons [[x, y, x, y, ...], ...] nor COCO RLE",
        "Export them anew, or remove the key 'segmentation': boxes are enough for training.",
    ),
    Rule(
        "segmentation_short",
        "warning",
        "segmentations have no polygon of three points or more, and their objects are dropped",
        "Remove the key 'segmentation' of these annotations, then their boxes are used.",
    ),
    Rule(
        "segmentation_size",
        "warning",
        "masks (RLE) have another size than their image",
        "Export the masks at the image's size; they matter for evaluation and for training with masks.",
    ),
    Rule(
        "segmentation_partial",
        "note",
        "annotations come without a mask where others have one",
        "Fine with MODEL.MASK_SUPERVISION box or mixed; 'mask' and the mask AP need one for each object.",
    ),
)

_IMAGE_RULES = (
    Rule(
        "image_missing",
        "error",
        "image files are missing",
        "Copy them to the image folder, or correct that folder or file_name (capitals count).",
    ),
    Rule("image_unreadable", "error", "image files are broken or no images", "Download or export them again."),
    Rule(
        "image_turned",
        "error",
        "the json ignores the rotation in the EXIF data of the files",
        "Turn the files for good (ImageMagick's mogrify -auto-orient resets the tag) and check the boxes.",
    ),
    Rule(
        "image_size_differs",
        "error",
        "images have another size than the json says",
        "Use the images that were annotated, or scale the boxes and write the new size.",
    ),
    Rule(
        "image_deep",
        "warning",
        "images have more than 8 bits a channel, and are cut off at 255 when read",
        "Convert them to 8 bits, stretched to the range that matters.",
    ),
    Rule("image_unlisted", "note", "image files are not in the json", "Fine if they belong to another split."),
)

_AGAIN = "Make them anew with tools/generate_pseudo_depth.py."
_DEPTH_RULES = (
    Rule("depth_missing", "error", "images have no depth map", "Make it with tools/generate_pseudo_depth.py."),
    Rule("depth_unreadable", "error", "depth maps cannot be read or hold other values than depth in 0..1", _AGAIN),
    Rule("depth_8bit", "error", "depth maps are 8-bit or in colour, not 16-bit grey", _AGAIN),
    Rule("depth_not_finite", "error", "depth maps hold NaN or infinity", _AGAIN),
    Rule("depth_size_differs", "error", "depth maps have another aspect ratio than their image", _AGAIN),
    Rule("depth_shared", "error", "images share a depth map, as only their suffix differs", "Rename one of them."),
    Rule("depth_constant", "warning", "depth maps are constant and tell nothing", _AGAIN),
    Rule("depth_unused", "note", "depth maps belong to no image of the json", "Fine if they are of another split."),
)

RULES: dict[str, Rule] = {
    rule.kind: rule
    for rules in (_FILE_RULES, _RECORD_RULES, _BOX_RULES, _SEGMENTATION_RULES, _IMAGE_RULES, _DEPTH_RULES)
    for rule in rules
}
