"""Wording rules of scripts/style_report.py: forbidden phrases, British spellings, docstrings that open as questions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDERS = ("depthbox", "tools", "scripts", "examples", "tests", "configs", "docs", "datasets", ".")
SUFFIXES = (".py", ".md", ".yaml", ".yml", ".toml", ".sh")
QUOTING = ("scripts/style_report.py", "scripts/style_wording.py", "tests/test_style_report.py")  # name forbidden words

_OPENER = re.compile(r"\s*(What|Which|How|Where|Whether|Why)\b")
_GAP = r"[\s#]+"  # words of one phrase may stand in two lines of a comment
_RUN = (
    "run|set|step|image|loop|job|iteration|script|process|split|example|schedule|sample|batch|folder|config|data"
    "|command|log"
)
_BRITISH = (
    r"colour|\bcentre|\bcentring|optimis(?!t|m)|normalis|\bgrey|behaviour|\blabell(?:ed|ing|er|ers)\b|neighbour|initialis"
    r"|serialis|licence|catalogue|\bprogrammes?\b|favour|honour|\banalys(?:e|ed|ing|er)\b|artefact|modell(?:ed|ing)"
    rf"|\b(?:milli|centi|kilo)?metres?\b|\bdata{_GAP}sets?\b"
)
PHRASES = {
    "is_no": re.compile(rf"\bis{_GAP}no\b", re.IGNORECASE),
    "go_on": re.compile(rf"\bgo(?:es)?{_GAP}on\b", re.IGNORECASE),
    "where_any": re.compile(rf"\bwhere{_GAP}there{_GAP}are{_GAP}any\b", re.IGNORECASE),
    "a_training": re.compile(rf"\ba{_GAP}training\b(?!{_GAP}(?:{_RUN}))", re.IGNORECASE),
    "british": re.compile(_BRITISH, re.IGNORECASE),
    "json": re.compile(rf"\b(?:[Nn]o|[Aa]|[Tt]he|COCO|instances){_GAP}json\b(?![.`\"'(])|\bjson{_GAP}files?\b"),
}


def find_phrases(root: Path) -> dict[str, list[tuple[str, int, str]]]:
    """Find the forbidden phrases of a repository: (path, line, phrase) of each, by the name of the rule."""
    found: dict[str, list[tuple[str, int, str]]] = {name: [] for name in PHRASES}
    for path in _prose_files(root):
        text = path.read_text(encoding="utf-8")
        for name, pattern in PHRASES.items():
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found[name].append((path.relative_to(root).as_posix(), line, " ".join(match.group().split())))
    return found


def find_question_openers(tree: ast.Module) -> list[tuple[int, str]]:
    """Find the docstrings that open with a question word: (line of the definition, first line of the docstring)."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False) or ""
            if _OPENER.match(text):
                found.append((getattr(node, "lineno", 1), text.strip().splitlines()[0]))
    return found


def _prose_files(root: Path) -> list[Path]:
    found = {p for f in FOLDERS for p in ((root / f).rglob("*") if f != "." else root.iterdir()) if p.is_file()}
    named = {path for path in found if path.suffix in SUFFIXES or path.name == "Makefile"}
    return sorted(path for path in named if path.relative_to(root).as_posix() not in QUOTING)
