"""Classes of a run and of a dataset, matched by their names."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .canonical.categories import fold_class_name
from .notes import shorten
from .records import AnnotationError, AnnotationSet, Note, OriginalIds

_SHOWN = 20


@dataclass(frozen=True)
class ClassMatch:
    """Classes of a dataset, matched to those of a run.

    Attributes:
        mapping: name in the data -> name in the run.
        missing: names of the run that the data does not have.
        unknown: names of the data that the run does not have.
        alike: pairs (name in the data, name in the run) of ``mapping`` that differ in letter case or blanks.
    """

    mapping: Mapping[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    alike: tuple[tuple[str, str], ...]


def match_classes(names_of_run: Sequence[str], names_of_data: Sequence[str]) -> ClassMatch:
    """Match classes by name.

    Equal names are matched first; then names that differ in letter case and blanks only, if there is one such name on
    each side. Results are in the order of the arguments.
    """
    run, data = dict.fromkeys(names_of_run), dict.fromkeys(names_of_data)
    mapping = {name: name for name in data if name in run}
    folded_run = Counter(fold_class_name(name) for name in run)
    folded_data = Counter(fold_class_name(name) for name in data)
    by_folded = {fold_class_name(name): name for name in run}
    alike = []
    for name in data:
        folded = fold_class_name(name)
        if name not in mapping and folded_run[folded] == 1 and folded_data[folded] == 1:
            mapping[name] = by_folded[folded]
            alike.append((name, by_folded[folded]))
    known = set(mapping.values())
    return ClassMatch(
        mapping,
        tuple(name for name in run if name not in known),
        tuple(name for name in data if name not in mapping),
        tuple(alike),
    )


def remap_classes(
    annotations: AnnotationSet, names: Sequence[str], ids: Mapping[int, Any] | None = None
) -> AnnotationSet:
    """Give annotations the classes of a run, in its order.

    Classes of the data that the run does not have are left out if they have no objects.

    Args:
        annotations: canonical.
        names: names of the run's classes, K different ones.
        ids: ids of the run's classes outside, from 1 to K; None = those of the data.

    Returns:
        Annotations whose categories are the K names with the ids 1 to K. ``ids.categories`` is ``ids``; without it, it
        has the classes of the data only.

    Raises:
        AnnotationError: objects have a class that the run does not have, or no class fits. The message has both lists.
    """
    categories = annotations.content["categories"]
    match = match_classes(names, [category["name"] for category in categories])
    _require_known(annotations, names, match)
    numbers = {name: number for number, name in enumerate(names, 1)}
    new_ids = {c["id"]: numbers[match.mapping[c["name"]]] for c in categories if c["name"] in match.mapping}
    own = {new_ids[category["id"]]: category for category in categories if category["id"] in new_ids}
    content = {
        **annotations.content,
        "categories": [{**own.get(number, {}), "id": number, "name": name} for name, number in numbers.items()],
        "annotations": _renumber(annotations.content["annotations"], new_ids),
    }
    known = annotations.ids.categories
    original = {new: known[old] for old, new in new_ids.items() if old in known} if ids is None else ids
    outside = OriginalIds(annotations.ids.images, annotations.ids.annotations, original)
    return dataclasses.replace(annotations, content=content, ids=outside, notes=(*annotations.notes, *_notes(match)))


def _renumber(entries: list[dict[str, Any]], new_ids: Mapping[int, int]) -> list[dict[str, Any]]:
    if all(old == new for old, new in new_ids.items()):
        return entries
    return [{**entry, "category_id": new_ids[entry["category_id"]]} for entry in entries]


def _require_known(annotations: AnnotationSet, names: Sequence[str], match: ClassMatch) -> None:
    if len(set(names)) < len(names):
        repeated = next(name for name, count in Counter(names).items() if count > 1)
        raise AnnotationError(f"the class {shorten(repeated)} of the run is named twice: give each class its own name")
    categories: dict[int, Any] = {entry["id"]: entry["name"] for entry in annotations.content["categories"]}
    used = {categories[entry["category_id"]] for entry in annotations.content["annotations"]}
    unknown = [name for name in match.unknown if name in used]
    if unknown or (categories and not match.mapping):
        raise AnnotationError(
            f"{annotations.source} has classes that the run does not have: {_list(unknown or match.unknown)}. "
            f"Classes of the data: {_list(categories.values())}; of the run: {_list(names)}. Rename the classes of the "
            "data as those of the run, or train a run with these classes"
        )


def _notes(match: ClassMatch) -> list[Note]:
    notes = []
    if match.alike:
        examples = tuple(f"{shorten(data)} is {shorten(run)} of the run" for data, run in match.alike[:5])
        text = "class names that differ from those of the run in letter case or blanks only"
        notes.append(Note("repaired", "class_names_matched", len(match.alike), text, examples))
    if match.unknown:
        examples = tuple(shorten(name) for name in match.unknown[:5])
        text = "classes that the run does not have and that have no objects"
        notes.append(Note("left out", "class_unused", len(match.unknown), text, examples))
    return notes


def _list(names: Any) -> str:
    names = list(names)
    text = ", ".join(shorten(name) for name in names[:_SHOWN])
    return f"{text} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else text or "none"
