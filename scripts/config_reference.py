#!/usr/bin/env python3
"""Write docs/config.md: every key of depthbox/config/defaults.py with its default and the comment that stands at it.

A comment belongs to the key in its line, or to the key below it; that of a group (``node = cfg.X = CN()``) to the
group. Nothing but the standard library is needed, and nothing of DepthBox is run.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "depthbox" / "config/defaults.py"
PAGE = ROOT / "docs" / "config.md"
_HEAD = """\
<!-- Made by scripts/config_reference.py from depthbox/config/defaults.py: change the comments there, run it again. -->

# Config reference

Every key that DepthBox adds to Detectron2's config, and its default. All other keys are
[Detectron2's](https://detectron2.readthedocs.io/en/latest/modules/config.html#yaml-config-references). A key is set in
a YAML file, or as `KEY VALUE` at the end of a command; a misspelt key or a value of a wrong type stops the command and
says what to change. [method.md](method.md) says which belongs to which equation.
"""


@dataclass(frozen=True)
class Entry:
    """A key, or a group of keys: its dotted name, its default as Python writes it ("" for a group), its comment."""

    name: str
    default: str
    note: str


def read_entries(source: str) -> Iterator[Entry]:
    """Keys and groups in the order of the source.

    Raises:
        ValueError: a default that is no literal, which the page could not show.
    """
    notes = _comments(source)
    lines = source.splitlines()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef):
            aliases = {"cfg": ""}
            for node in sorted(_assignments(function), key=lambda node: node.lineno):
                yield from _entries(node, aliases, _note(node, notes, lines))


def make_page(source: str) -> str:
    """The text of docs/config.md."""
    entries = list(read_entries(source))
    about = {entry.name: entry.note for entry in entries if not entry.default}
    sections: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.default:
            sections.setdefault(_section(entry.name), []).append(entry)
    parts = [_HEAD]
    for name, keys in sections.items():
        inner = {group: note for group, note in about.items() if note and _section(f"{group}.KEY") == name}
        parts.append(f"\n## {name}\n\n")
        parts += [f"{'' if group == name else f'`{group}`: '}{_sentence(note)}\n\n" for group, note in inner.items()]
        parts.append("| key | default | |\n| --- | --- | --- |\n")
        parts += [f"| `{key.name}` | `{key.default}` |{_escape(f' {key.note}'.rstrip())} |\n" for key in keys]
    return "".join(parts)


def _assignments(function: ast.FunctionDef) -> Iterator[ast.Assign]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Assign))


def _entries(node: ast.Assign, aliases: dict[str, str], note: str) -> Iterator[Entry]:
    """The key or group of an assignment; names that stand for a group are noted in ``aliases``."""
    targets = [ast.unparse(target) for target in node.targets]
    names = [target for target in targets if "." in target]
    if not names:
        raise ValueError(f"line {node.lineno}: {targets[0]} is no key of the config")
    start, _, rest = names[0].partition(".")
    name = f"{aliases[start]}.{rest}".lstrip(".")
    if isinstance(node.value, ast.Call):
        aliases.update({target: name for target in targets if "." not in target})
        yield Entry(name, "", note)
        return
    try:
        default = repr(ast.literal_eval(node.value)).replace("'", '"')
    except ValueError as error:
        raise ValueError(f"line {node.lineno}: the default of {name} is no plain value") from error
    yield Entry(name, default, note)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _note(node: ast.Assign, notes: dict[int, str], lines: list[str]) -> str:
    """The comment of an assignment: in its last line, else the lines of comments above it."""
    if node.end_lineno in notes:
        return notes[node.end_lineno]
    above: list[str] = []
    line = node.lineno - 1
    while line in notes and lines[line - 1].lstrip().startswith("#"):
        above.insert(0, notes[line])
        line -= 1
    return " ".join(above)


def _section(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "MODEL" and len(parts) > 2 else parts[0]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _sentence(text: str) -> str:
    return f"{_escape(text[0].upper() + text[1:]).rstrip('.')}."


def main(argv: list[str] | None = None) -> int:
    """Write the page, or with --check say whether it is up to date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where the page is out of date")
    arguments = parser.parse_args(argv)
    page = make_page(SOURCE.read_text(encoding="utf-8"))
    if not arguments.check:
        PAGE.write_text(page, encoding="utf-8")
        print(PAGE.relative_to(ROOT))
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/config.md is out of date; run: python scripts/config_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
