#!/usr/bin/env python3
"""Measure the style of the repository: sizes, docstrings, stated shapes, tests, wording and names.

The report is a table of rules with value and bound. It needs the standard library alone and imports nothing of
DepthBox.

  scripts/style_report.py                              the table
  scripts/style_report.py --check                      the table, exit status 1 if a bound is missed
  scripts/style_report.py --list british               file:line of each offender of a rule
  scripts/style_report.py --list all --under docs      the offenders of all rules below a path

Lines of a function: from its first statement after the docstring to its last line, comments and blank lines included;
nested functions also count by themselves. Public: a name of a module, or of a public class, without leading
underscore. Shapes: the docstring of a public function whose signature names Tensor states a shape such as (N, 4),
or "scalar". Tests per line: lines below tests/ over lines of depthbox, tools, scripts and examples, blank lines not
counted. Wording: Python, Markdown, YAML, TOML and shell files, and the Makefile.
"""

from __future__ import annotations

import argparse
import ast
import collections
import re
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from style_wording import find_phrases, find_question_openers

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "depthbox"
CODE = (PACKAGE, "tools", "scripts", "examples")
MAX_FILE_LINES, MAX_FOLDER_FILES, MAX_PREFIX_FILES = 250, 13, 3
_MAX_FUNCTION_LINES = 45

_DIMENSION = r"(?:\.\.\.|\*?\w+(?: ?[-+*/]+ ?\w+)*)"
_SHAPE = re.compile(rf"\(\.\.\.\)|\({_DIMENSION}(?:, ?{_DIMENSION})*,?\)")
_SCALAR = re.compile(r"\b(?:scalars?|0-dim|any shape)\b", re.IGNORECASE)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Rule:
    """One measured quantity, its bound, and the offenders as (path, line, text)."""

    name: str
    value: float
    bound: float
    at_least: bool = False
    offenders: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Return True if the value lies within the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Module:
    """A parsed source file; ``path`` is relative to the root of the repository."""

    path: str
    text: str
    tree: ast.Module


def read_modules(root: Path, folders: Iterable[str]) -> list[Module]:
    """Parse all Python files below some folders."""
    modules = []
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        modules.append(Module(path.relative_to(root).as_posix(), text, ast.parse(text, str(path))))
    return modules


def make_report(root: Path) -> list[Rule]:
    """Measure all rules on a repository."""
    package, code, tests = (read_modules(root, folders) for folders in ((PACKAGE,), CODE, ("tests",)))
    return [
        *size_rules(package),
        *docstring_rules(package),
        tests_rule(code, tests),
        opener_rule([*code, *tests]),
        *phrase_rules(root),
        *layout_rules(package, [*code, *tests]),
    ]


def size_rules(package: Sequence[Module]) -> list[Rule]:
    """Measure median, 90th percentile and maximum of the lines of functions."""
    sizes = [(module.path, node.lineno, node.name, count_lines(node)) for module, node in _functions(package)]
    counts = sorted(size for *_, size in sizes) or [0]
    found = [(path, line, f"{name}: {size} lines") for path, line, name, size in sizes if size > _MAX_FUNCTION_LINES]
    return [
        Rule("function_median", statistics.median(counts), 8),
        Rule("function_p90", counts[int(0.9 * (len(counts) - 1))], 20),
        Rule("function_max", counts[-1], _MAX_FUNCTION_LINES, offenders=found),
    ]


def count_lines(node: Function) -> int:
    """Count the lines of a function's body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def docstring_rules(package: Sequence[Module]) -> list[Rule]:
    """Measure the shares of public definitions with a docstring and of public tensor functions with stated shapes."""
    public = [(module.path, node) for module in package for node in _public(module.tree)]
    bare = [(path, n.lineno, n.name) for path, n in public if not ast.get_docstring(n)]
    tensors = [(path, n) for path, n in public if isinstance(n, Function) and _has_tensors(n)]
    vague = [(path, n.lineno, n.name) for path, n in tensors if not states_shape(ast.get_docstring(n) or "")]
    return [
        Rule("docstrings_percent", _percent(len(public) - len(bare), len(public)), 98, True, bare),
        Rule("shapes_percent", _percent(len(tensors) - len(vague), len(tensors)), 95, True, vague),
    ]


def states_shape(docstring: str) -> bool:
    """Find a shape such as (N, H, W), (3,) or the word scalar; "(see x)" and "(float)" are not shapes."""
    shapes = (match.group() for match in _SHAPE.finditer(docstring))
    return bool(_SCALAR.search(docstring)) or any("," in shape or shape == "(...)" for shape in shapes)


def tests_rule(code: Sequence[Module], tests: Sequence[Module]) -> Rule:
    """Measure the lines of tests per line of source."""
    source, tested = (sum(bool(line.strip()) for m in ms for line in m.text.splitlines()) for ms in (code, tests))
    return Rule("tests_per_line", tested / max(source, 1), 0.8, True)


def opener_rule(modules: Sequence[Module]) -> Rule:
    """Count the docstrings that open with a question word."""
    found = [(module.path, *place) for module in modules for place in find_question_openers(module.tree)]
    return Rule("question_openers", len(found), 0, offenders=found)


def phrase_rules(root: Path) -> list[Rule]:
    """Count the forbidden phrases in code and prose."""
    return [Rule(name, len(places), 0, offenders=places) for name, places in find_phrases(root).items()]


def layout_rules(package: Sequence[Module], modules: Sequence[Module]) -> list[Rule]:
    """Count long files, crowded folders, families of one prefix, and class names that occur more than once."""
    lines = [(module.path, len(module.text.splitlines())) for module in modules]
    long_files = [(path, count, f"{count} lines") for path, count in lines if count > MAX_FILE_LINES]
    folders: dict[str, list[str]] = collections.defaultdict(list)
    classes: dict[str, list[tuple[str, int, str]]] = collections.defaultdict(list)
    for module in package:
        folder, _, name = module.path.rpartition("/")
        folders[folder] += [name] if name != "__init__.py" else []
        for node in (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)):
            classes[node.name].append((module.path, node.lineno, node.name))
    crowded = [(f, 1, f"{len(names)} files") for f, names in folders.items() if len(names) > MAX_FOLDER_FILES]
    prefixes = {f: collections.Counter(name[:-3].split("_")[0] for name in names) for f, names in folders.items()}
    families = [
        (f, 1, f"{n} files {prefix}*") for f, counts in prefixes.items() for prefix, n in counts.items()
        if n > MAX_PREFIX_FILES
    ]  # fmt: skip
    repeated = [place for places in classes.values() if len(places) > 1 for place in places]
    rules = {"long_files": long_files, "crowded_folders": crowded, "prefix_families": families, "class_names": repeated}
    return [Rule(name, len(places), 0, offenders=places) for name, places in rules.items()]


def format_table(rules: Sequence[Rule]) -> str:
    """Format the rules as a table: value, bound and whether it is kept."""
    lines = [f"{'rule':<20} {'value':>8} {'bound':>8}"]
    for rule in rules:
        bound = f"{'>=' if rule.at_least else '<='} {rule.bound:g}"
        lines.append(f"{rule.name:<20} {round(rule.value, 2):>8g} {bound:>8}  {'ok' if rule.kept else 'MISSED'}")
    return "\n".join(lines)


def _functions(modules: Sequence[Module]) -> Iterator[tuple[Module, Function]]:
    return ((module, node) for module in modules for node in ast.walk(module.tree) if isinstance(node, Function))


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Yield the public functions and classes of a module or class; a property's setter counts with its getter."""
    for node in parent.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if not any(ast.unparse(d).endswith((".setter", "overload")) for d in node.decorator_list):
                yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _has_tensors(node: Function) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments] + [node.returns]
    return any(re.search(r"\bTensor\b", ast.unparse(a)) for a in annotations if a is not None)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 100.0


def main(argv: list[str] | None = None) -> int:
    """Print the report; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a bound is missed")
    parser.add_argument("--list", metavar="RULE", default="", help="print the offenders of a rule, or of 'all'")
    parser.add_argument("--under", metavar="PATH", default="", help="with --list: only the offenders below this path")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="repository to measure")
    arguments = parser.parse_args(argv)
    try:
        rules = make_report(arguments.root)
    except SyntaxError as error:
        parser.error(f"{error.filename}:{error.lineno} cannot be parsed: {error.msg}")
    if arguments.list:
        chosen = [rule for rule in rules if arguments.list in (rule.name, "all")]
        if not chosen:
            parser.error(f"unknown rule {arguments.list}; the rules are {' '.join(rule.name for rule in rules)}")
        for rule in chosen:
            places = [place for place in rule.offenders if place[0].startswith(arguments.under)]
            for path, line, text in places:
                print(f"{path}:{line}: {rule.name}: {text}")
        return 0
    print(format_table(rules))
    missed = [rule.name for rule in rules if not rule.kept]
    if missed:
        print(f"missed: {' '.join(missed)}; list the places with --list RULE", file=sys.stderr)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
