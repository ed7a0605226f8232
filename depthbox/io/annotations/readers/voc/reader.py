"""Reader of Pascal VOC folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ...records import AnnotationError, RawAnnotations
from ..builder import ContentBuilder
from ..documents import track
from ..image_files import ImageFolder, clean_name, is_file
from ..rules import FILE_UNREADABLE, IMAGE_NOT_FOUND, IMAGE_WITHOUT_ANNOTATION, LISTED_WITHOUT_FILE, OTHER_FILENAME
from .layout import VocSplit, voc_split
from .objects import VocFile, read_voc_file, voc_class_names


def read_voc(
    source: Path, images: Path | None = None, split: str = "train", progress: bool = True
) -> RawAnnotations | None:
    """Return the annotations of a Pascal VOC dataset.

    Corners count from 1 and include the last pixel. Classes are sorted by name and the same in every split.

    Args:
        source: the dataset's folder, its folder of annotations, or one XML file.
        images: folder of the images; None = search for it.
        split: name of the split, for a dataset with splits.
        progress: show a progress bar for thousands of files.

    Returns:
        The annotations; None if the dataset has splits, but not this one.

    Raises:
        AnnotationError: there are no annotations that can be used.
    """
    files = voc_split(source, images, split)
    if files is None:
        return None
    builder = ContentBuilder(source, "voc", files.images)
    folder = ImageFolder.scan(files.images)
    names: set[str] = set()
    used: set[str] = set()
    stems = Counter(path.stem for path in files.files + files.others)
    for path in track(files.files, "Pascal VOC", progress):
        label = path.relative_to(files.annotations).as_posix()
        try:
            content = read_voc_file(path, builder.notes, label)
        except AnnotationError as error:
            builder.notes.add(FILE_UNREADABLE, str(error))
            continue
        names.update(content.names if files.others else (entry.label for entry in content.objects))
        image = _find_image(content, label, folder, stems[path.stem] == 1, builder)
        if image is None:
            builder.notes.add(IMAGE_NOT_FOUND, f"{label}: {content.filename or 'no <filename>'}")
            continue
        used.add(image)
        builder.add(image, content.objects, label, content.size)
    _note_unused(files, folder, used, builder)
    for path in files.others:
        names |= voc_class_names(path)
    return builder.finish(names=sorted(names))


def _find_image(content: VocFile, label: str, folder: ImageFolder, unique: bool, builder: ContentBuilder) -> str | None:
    """Return the image with the name of the annotation file, otherwise the image that <filename> names.

    Args:
        content: of the annotation file.
        label: relative path of the annotation file.
        folder: the images.
        unique: whether no annotation file in another folder has the same name.
        builder: receives the notes.
    """
    stem = label.rpartition(".")[0]
    parent, _, own = stem.rpartition("/")
    name = clean_name(content.filename).rpartition("/")[2]
    named = folder.find(f"{parent}/{name}") if name else None
    if named is None and unique:
        named = folder.find(content.filename) or folder.find(name)
    same = named if named is not None and _stem(named) == own else folder.find(stem)
    if same is not None and named is not None and same != named:
        builder.notes.add(OTHER_FILENAME, f"{label}: {content.filename}")
    return same or named


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _note_unused(files: VocSplit, folder: ImageFolder, used: set[str], builder: ContentBuilder) -> None:
    """Note images without an annotation file, or names of the list without one."""
    for name in files.missing:
        builder.notes.add(LISTED_WITHOUT_FILE, name)
    if files.listed or files.others or is_file(builder.source):
        return
    annotated = {path.stem for path in files.files}
    for image in folder.files:
        if image not in used and _stem(image) not in annotated:
            builder.notes.add(IMAGE_WITHOUT_ANNOTATION, image)
