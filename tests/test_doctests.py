"""Examples in docstrings of the package, run as doctests.

The docstrings are found in the sources, not in the imported modules, so that examples of decorated functions are
included and modules without examples are not imported.
"""

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
Example = tuple[str, str, int, str]  # (module, name, line, docstring)


def find_examples(text: str, module: str) -> Iterator[Example]:
    """Yield the docstrings of a source file that contain examples."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            if ">>> " in docstring:
                yield module, getattr(node, "name", module), node.body[0].lineno, docstring


def run_example(module: ModuleType, example: Example) -> str:
    """Run an example in the namespace of its module; returns the report of the failures, "" if there are none."""
    _, name, line, docstring = example
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(docstring, dict(vars(module)), name, module.__file__, line - 1)
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    return "".join(report)


EXAMPLES = [
    example
    for path in sorted((ROOT / "depthbox").rglob("*.py"))
    for example in find_examples(
        path.read_text(encoding="utf-8"),
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
    )
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example[0]}:{example[1]}")
def test_the_example_is_right(example: Example) -> None:
    try:
        module = importlib.import_module(example[0])
    except ModuleNotFoundError as error:
        if str(error.name).startswith("depthbox"):
            raise
        pytest.skip(f"{error.name} is not installed")
    report = run_example(module, example)
    assert not report, report


def test_right_and_wrong_examples_are_told_apart() -> None:
    head = '"""Module.\n\n>>> value\n3\n"""\n\n\n'
    source = head + 'class A:\n    def f():\n        """\n        >>> value + 1\n        5\n        """\n'
    module = ModuleType("toy")
    module.value, module.__file__ = 3, "toy.py"
    right, wrong = find_examples(source, "toy")
    assert run_example(module, right) == ""
    report = run_example(module, wrong)
    assert 'File "toy.py", line 11, in f' in report and "Expected:\n    5\nGot:\n    4" in report
