"""Rules of the notes of all readers."""

from __future__ import annotations

from ..notes import NoteRule

IMAGE_UNREADABLE = NoteRule(
    "left out", "image_unreadable", "images that cannot be read", "Replace these files, or remove them."
)
IMAGE_NOT_FOUND = NoteRule(
    "left out",
    "annotation_without_image",
    "annotated images that are not in the image folder",
    "Add these images, or give their folder with --images.",
)
IMAGE_WITHOUT_ANNOTATION = NoteRule(
    "left out",
    "image_without_annotation",
    "images without an annotation file",
    "Annotate these images; an image that shows no object needs an annotation file without objects.",
)
IMAGE_ANNOTATED_TWICE = NoteRule(
    "contradiction",
    "image_annotated_twice",
    "images with more than one annotation entry; the objects of all entries are used",
    "Keep one annotation entry per image.",
)
FILE_UNREADABLE = NoteRule(
    "left out",
    "annotation_file_unreadable",
    "annotation files that cannot be read",
    "Correct these files, or export the annotations again.",
)
OBJECT_UNREADABLE = NoteRule(
    "left out", "object_unreadable", "objects without readable coordinates", "Correct or remove these objects."
)
OBJECT_WITHOUT_CLASS = NoteRule(
    "left out", "object_without_class", "objects without a class name", "Give each object a class."
)
SHAPE_UNSUPPORTED = NoteRule(
    "left out",
    "shape_unsupported",
    "shapes that are neither a box nor an outline of an area nor points",
    "Draw these objects as boxes, polygons, masks or points.",
)
POINTS_OF_ONE_OBJECT = NoteRule(
    "contradiction",
    "points_of_one_object",
    "shapes with several points, used as one object with several points each",
    "If each point is an object of its own, draw each of them as a shape of its own.",
)
COORDINATES_SWAPPED = NoteRule(
    "repaired", "coordinates_swapped", "boxes with exchanged corners: minimum and maximum were put in order"
)
SIZE_RESCALED = NoteRule(
    "repaired",
    "resized_after_annotation",
    "images resized after the annotation: the boxes were scaled from the annotated size to the image's size",
)
SIZE_OF_FILE_USED = NoteRule(
    "contradiction",
    "annotated_size_differs",
    "annotations that name another image size; their boxes only fit the image's size, which is used",
    "Correct the image size in these annotations.",
)
SIZE_CONTRADICTION = NoteRule(
    "left out",
    "size_contradiction",
    "images whose size contradicts their annotation, so that the boxes may be in other coordinates",
    "Annotate these images again, or restore the images that were annotated.",
)
NOT_LABELME = NoteRule(
    "left out", "not_labelme", "JSON files that are not LabelMe annotations", "Move these files to another folder."
)
TASK_NOT_ANNOTATED = NoteRule(
    "left out",
    "task_not_annotated",
    "tasks without a submitted annotation",
    "Annotate and submit these tasks; an image that shows no object needs an empty annotation.",
)
TASK_ANNOTATED_TWICE = NoteRule(
    "contradiction",
    "task_annotated_twice",
    "tasks with more than one annotation, of which the first is used",
    "Keep one annotation per task.",
)
SEVERAL_CLASSES = NoteRule(
    "contradiction",
    "object_with_several_classes",
    "objects with more than one class, of which the first is used",
    "Give each object one class.",
)
IMAGE_ROTATED = NoteRule(
    "left out",
    "image_rotated_in_tool",
    "tasks whose image was rotated in Label Studio",
    "Rotate these image files, and annotate them again.",
)
IMAGE_TAGS = NoteRule("left out", "image_tags", "tags of whole images, which have no box")
OTHER_FILENAME = NoteRule(
    "contradiction",
    "filename_names_other_image",
    "annotation files whose <filename> is another image of the folder; the image with the name of the file is used",
    "Correct <filename> in these files, or rename them.",
)
LISTED_WITHOUT_FILE = NoteRule(
    "left out",
    "listed_without_annotation",
    "names in the list of the split without an annotation file",
    "Add these annotation files, or remove the names from the list.",
)
LABEL_WITHOUT_IMAGE = NoteRule(
    "left out",
    "annotation_without_image",
    "label files without an image",
    "Add the images, or remove these label files.",
)
IMAGE_WITHOUT_LABEL = NoteRule(
    "contradiction",
    "image_without_annotation",
    "images without a label file, used as images without objects",
    "Finish the labels, or remove these images; an image that shows no object needs an empty label file.",
)
CONFIDENCE = NoteRule(
    "contradiction",
    "confidence_in_labels",
    "objects with a confidence, as a detector writes them, used as annotations",
    "Check that these labels were corrected by a person.",
)
DECIMAL_COMMA = NoteRule("repaired", "decimal_comma", "label lines with decimal commas instead of points")
CLASS_COUNT_DIFFERS = NoteRule(
    "contradiction",
    "class_count_differs",
    "dataset file whose number of classes ('nc') is not the number of its 'names'; 'names' is used",
    "Correct 'nc' or 'names'.",
)
SPLIT_NOT_FOUND = NoteRule(
    "left out",
    "split_not_found",
    "splits named in the dataset's file whose images do not exist",
    "Add the images of these splits, or remove their entries.",
)
LABEL_SHARED = NoteRule(
    "contradiction",
    "images_share_label_file",
    "images that share their label file with another image of the same name",
    "Rename these images, or remove the copies.",
)
LISTED_IMAGE_NOT_FOUND = NoteRule(
    "left out",
    "listed_image_not_found",
    "images in the list of the split that are not in the folder of the dataset",
    "Add these images, or remove them from the list.",
)
PATH_NOT_HERE = NoteRule(
    "repaired",
    "path_of_another_machine",
    "folders named in the dataset's file that do not exist here; the same folder beside this file is used",
)

# All of them; rules of the same name are one kind of finding in two formats.
READER_RULES: tuple[NoteRule, ...] = (
    IMAGE_UNREADABLE,
    IMAGE_NOT_FOUND,
    IMAGE_WITHOUT_ANNOTATION,
    IMAGE_ANNOTATED_TWICE,
    FILE_UNREADABLE,
    OBJECT_UNREADABLE,
    OBJECT_WITHOUT_CLASS,
    SHAPE_UNSUPPORTED,
    POINTS_OF_ONE_OBJECT,
    COORDINATES_SWAPPED,
    SIZE_RESCALED,
    SIZE_OF_FILE_USED,
    SIZE_CONTRADICTION,
    NOT_LABELME,
    TASK_NOT_ANNOTATED,
    TASK_ANNOTATED_TWICE,
    SEVERAL_CLASSES,
    IMAGE_ROTATED,
    IMAGE_TAGS,
    OTHER_FILENAME,
    LISTED_WITHOUT_FILE,
    LABEL_WITHOUT_IMAGE,
    IMAGE_WITHOUT_LABEL,
    CONFIDENCE,
    DECIMAL_COMMA,
    CLASS_COUNT_DIFFERS,
    SPLIT_NOT_FOUND,
    LABEL_SHARED,
    LISTED_IMAGE_NOT_FOUND,
    PATH_NOT_HERE,
)


def shorten(text: object, length: int = 80) -> str:
    """Return a text as one line of limited length."""
    line = " ".join(str(text)[: 4 * length].split())
    return line if len(line) <= length else line[: length - 3] + "..."
