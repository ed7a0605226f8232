"""The list of categories in canonical form: numbered, with unique names."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..notes import NoteCounter, shorten
from ..records import AnnotationError
from .ids import Id, IdLookup, is_id, order_of_ids, to_number

_NO_PARENT = (None, "", "none", "None")


@dataclass(frozen=True)
class CategoryTable:
    """Canonical categories.

    Attributes:
        entries: K categories with numbers 1 to K.
        original_ids: K ids in the user's file.
        lookup: id in the user's file -> number; ids of merged categories have the same number.
    """

    entries: list[dict[str, Any]]
    original_ids: list[Id]
    lookup: IdLookup


def read_categories(given: Any, annotations: list[Any], source: Path, notes: NoteCounter) -> CategoryTable:
    """Read the list of categories.

    Categories are sorted by their ids if all of them are numbers, else they stay in the order of the file. Categories
    of the same name become one. A category that only groups others, as Roboflow writes with the id 0, is left out.

    Args:
        given: ``categories`` of the file: objects with id and name, names alone, {id: name}, or nothing.
        annotations: ``annotations`` of the file.
        source: the file, for messages.
        notes: takes the findings.

    Raises:
        AnnotationError: there are objects, but no categories, or an id has two names.
    """
    entries = _named_once(_entries(given, annotations, source, notes), source, notes)
    entries = _without_unused_root(entries, annotations, notes)
    if not entries and annotations:
        raise AnnotationError(
            f"{source} is not a COCO JSON file: missing list(s): categories. Add each class as {{id, name}}"
        )
    entries = [entries[index] for index in order_of_ids([entry["id"] for entry in entries])]
    _note_alike(entries, notes)
    return _merge_names(entries, notes)


def fold_class_name(name: str) -> str:
    """Return a class name without regard to letter case and blanks."""
    return "".join(name.split()).casefold()


def _entries(given: Any, annotations: list[Any], source: Path, notes: NoteCounter) -> list[dict[str, Any]]:
    """Return categories with an id and a name."""
    if isinstance(given, dict):
        given = [{"id": identity, "name": name} for identity, name in given.items()]
    if isinstance(given, list) and given and all(isinstance(name, str) for name in given):
        notes.add("categories_without_ids", shorten(given), len(given))
        return _from_names(given, annotations, notes)
    if not given:
        return _from_objects(annotations, notes)
    if not isinstance(given, list):
        raise AnnotationError(f"{source} is not a COCO JSON file: categories is {shorten(given)}, not a list")
    entries = []
    for index, entry in enumerate(given):
        if isinstance(entry, dict) and is_id(entry.get("id")):
            entries.append({**entry, "name": _name_of(entry, notes)})
        else:
            notes.add("category_malformed", f"categories[{index}]: {shorten(entry)}")
    return entries


def _name_of(entry: dict[str, Any], notes: NoteCounter) -> str:
    name = entry.get("name")
    if isinstance(name, str) and name.strip():
        return name
    number = to_number(name)
    if number is not None:
        return str(number) if abs(number) < 1e15 else shorten(number)
    notes.add("category_without_name", f"id {shorten(entry['id'])}: the name is {shorten(name)}")
    return f"class {shorten(entry['id'])}"


def _from_names(names: list[str], annotations: list[Any], notes: NoteCounter) -> list[dict[str, Any]]:
    """Number class names from 0 if an object has the category_id 0, else from 1 as COCO does."""
    first = 0 if any(identity in (0, "0") for identity in _used_ids(annotations)) else 1
    entries = [{"id": number, "name": name} for number, name in enumerate(names, first)]
    return [{**entry, "name": _name_of(entry, notes)} for entry in entries]


def _from_objects(annotations: list[Any], notes: NoteCounter) -> list[dict[str, Any]]:
    """Take class names from a ``category_id`` that is a text which is not a number."""
    names = {identity for identity in _used_ids(annotations) if isinstance(identity, str) and identity.strip()}
    if not names or any(to_number(name) is not None for name in names):
        return []
    notes.add("categories_from_objects", shorten(sorted(names)), len(names))
    return [{"id": name, "name": name} for name in sorted(names)]


def _used_ids(annotations: list[Any]) -> set[Id]:
    values = (entry.get("category_id") for entry in annotations if isinstance(entry, dict))
    return {value for value in values if is_id(value)}


def _named_once(entries: list[dict[str, Any]], source: Path, notes: NoteCounter) -> list[dict[str, Any]]:
    """Return each id once."""
    by_id: dict[Id, dict[str, Any]] = {}
    for entry in entries:
        first = by_id.setdefault(entry["id"], entry)
        if first is entry:
            continue
        if first["name"] != entry["name"]:
            raise AnnotationError(
                f"{source}: the category id {shorten(entry['id'])} is used for {shorten(first['name'])} and "
                f"{shorten(entry['name'])}. Give each class an id of its own"
            )
        notes.add("category_id_twice", f"{shorten(entry['name'])}, id {shorten(entry['id'])}")
    return list(by_id.values())


def _without_unused_root(
    entries: list[dict[str, Any]], annotations: list[Any], notes: NoteCounter
) -> list[dict[str, Any]]:
    """Leave out the category 0 that is the supercategory of others and has no objects."""
    parents = [entry.get("supercategory") for entry in entries]
    roots = [
        entry
        for index, entry in enumerate(entries)
        if entry["id"] in (0, "0")
        and _is_root(parents[index])
        and entry["name"] in parents[:index] + parents[index + 1 :]
    ]
    if not roots or not _used_ids(annotations).isdisjoint({0, "0"}):
        return entries
    for entry in roots:
        notes.add("category_unused_root", f"{shorten(entry['name'])}, id {shorten(entry['id'])}")
    return [entry for entry in entries if entry not in roots]


def _is_root(parent: Any) -> bool:
    return parent is None or (isinstance(parent, str) and parent in _NO_PARENT)


def _note_alike(entries: list[dict[str, Any]], notes: NoteCounter) -> None:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(entry["name"] for entry in entries):
        groups[fold_class_name(name)].append(name)
    for names in groups.values():
        if len(names) > 1:
            notes.add("class_names_alike", " and ".join(shorten(name) for name in names), len(names))


def _merge_names(entries: list[dict[str, Any]], notes: NoteCounter) -> CategoryTable:
    numbers: dict[str, int] = {}
    kept: list[dict[str, Any]] = []
    ids: dict[Id, int] = {}
    for entry in entries:
        name = entry["name"]
        if name in numbers:
            notes.add("category_name_twice", f"{shorten(name)}: id {shorten(entry['id'])}")
        else:
            numbers[name] = len(kept) + 1
            kept.append(entry)
        ids[entry["id"]] = numbers[name]
    lookup = IdLookup(ids)
    lookup.add_names(numbers)
    canonical = [{**entry, "id": number} for number, entry in enumerate(kept, 1)]
    return CategoryTable(canonical, [entry["id"] for entry in kept], lookup)
