"""scripts/style_report.py: planted faults are found, at their lines, and clean code passes."""

import types
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
CLEAN = '''"""Sums of tensors."""

from torch import Tensor


class Adder:
    """Sum of two tensors."""

    def add(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the sum of two tensors (N, 4)."""
        return left + right

    def _hidden(self) -> None:
        pass


def total(values: Tensor) -> Tensor:
    """Return the sum as a scalar."""
    return values.sum()
'''


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Import the script as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import style_report

    return style_report


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write a repository without faults."""
    write(tmp_path / "depthbox" / "sums.py", CLEAN)
    write(tmp_path / "tests" / "test_sums.py", CLEAN.replace("class Adder", "class TestAdder"))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def missed(report: types.ModuleType, root: Path) -> dict[str, list[tuple[str, int, str]]]:
    return {rule.name: rule.offenders for rule in report.make_report(root) if not rule.kept}


def test_clean_code_passes(report: types.ModuleType, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert missed(report, root) == {}
    assert report.main(["--check", "--root", str(root)]) == 0
    table = capsys.readouterr().out
    assert "MISSED" not in table and len(table.splitlines()) == 1 + len(report.make_report(root))


@pytest.mark.parametrize(
    ("rule", "phrase"),
    [
        ("is_no", "there is no file"),
        ("is_no", "there is\n# no file"),
        ("go_on", "the others go on"),
        ("go_on", "it goes on"),
        ("where_any", "masks where there are any"),
        ("a_training", "start a training."),
        ("a_training", "a training which ended"),
        ("json", "found no json"),
        ("json", "a COCO json"),
        ("json", "the JSON, or the json file"),
        *(
            ("british", word)
            for word in ("colour", "centred", "Optimiser", "normalised", "grey", "behaviour", "labelled")
        ),
        *(("british", word) for word in ("labelling", "neighbours", "initialise", "licence", "catalogue", "programme")),
        *(("british", word) for word in ("favour", "analyse", "data set", "data\n# sets", "artefact", "modelling")),
        *(("british", word) for word in ("metres", "millimetre", "serialised", "honour")),
    ],
)
def test_forbidden_phrases_are_found_in_code_and_docs(
    report: types.ModuleType, root: Path, rule: str, phrase: str
) -> None:
    write(root / "docs" / "page.md", f"# Page\n\n{phrase}\n")
    write(root / "depthbox" / "comment.py", f"# {phrase}\n")
    write(root / "Makefile", f"# {phrase}\n")
    places = missed(report, root)
    assert list(places) == [rule]
    assert {(path, line) for path, line, _ in places[rule]} == {
        ("docs/page.md", 3),
        ("depthbox/comment.py", 1),
        ("Makefile", 1),
    }


@pytest.mark.parametrize(
    "phrase",
    [
        "a training run, a training image",
        "optimistic programming, programmed",
        "aria-labelledby",
        "the analyses, parameters, diameter",
        "a dataset in COCO JSON, one JSON file: a.json",
        "it is not, nothing, and is normal",
        "a color's center; gray",
        "import json",
    ],
)
def test_permitted_phrases_are_not_counted(report: types.ModuleType, root: Path, phrase: str) -> None:
    write(root / "docs" / "page.md", phrase)
    assert missed(report, root) == {}


@pytest.mark.parametrize("word", ["What", "Which", "How", "Where", "Whether", "Why"])
def test_docstrings_that_open_as_questions_are_found(report: types.ModuleType, root: Path, word: str) -> None:
    text = f'"""{word} it is."""\n\n\ndef _f() -> None:\n    """\n    {word} it does."""\n'
    write(root / "tests" / "test_more.py", text)
    first, second = missed(report, root)["question_openers"]
    assert first == ("tests/test_more.py", 1, f"{word} it is.") and second[:2] == ("tests/test_more.py", 4)


def test_missing_docstrings_and_shapes_are_found(report: types.ModuleType, root: Path) -> None:
    write(
        root / "depthbox" / "bare.py",
        "from torch import Tensor\n\n\ndef bare(x: Tensor) -> None: ...\n\n\n"
        "class Bare:\n    def method(self): ...\n\n\n"
        'def vague(x: "list[Tensor]") -> None:\n    """Use x (see there), a (float)."""\n',
    )
    places = missed(report, root)
    assert places["docstrings_percent"] == [
        ("depthbox/bare.py", 4, "bare"),
        ("depthbox/bare.py", 7, "Bare"),
        ("depthbox/bare.py", 8, "method"),
    ]
    assert places["shapes_percent"] == [("depthbox/bare.py", 4, "bare"), ("depthbox/bare.py", 11, "vague")]


@pytest.mark.parametrize("text", ["x (N, 1, H, W)", "(3,) of it", "(B, 2 * C, ...)", "the scalar loss", "(..., *grid)"])
def test_shapes_are_recognized(report: types.ModuleType, text: str) -> None:
    assert report.states_shape(text)
    assert not report.states_shape("(N), (see below), one, two")


def test_long_functions_are_measured_without_their_docstring(report: types.ModuleType, root: Path) -> None:
    text = "def long() -> None:\n" + '    """Do it.' + "\n    more" * 99 + '"""\n' + "    x = 1\n" * 46
    write(root / "depthbox" / "long.py", text)
    rules = {rule.name: rule for rule in report.make_report(root)}
    assert rules["function_max"].value == 46 and rules["function_median"].value == 1
    assert rules["function_max"].offenders == [("depthbox/long.py", 1, "long: 46 lines")]
    assert not rules["function_max"].kept and rules["function_p90"].kept


def test_sizes_and_names_are_found(report: types.ModuleType, root: Path) -> None:
    for number in range(14):
        prefix = "part" if number < 4 else f"other{number}"
        write(root / "depthbox" / "many" / f"{prefix}_{number}.py", "")
    write(root / "depthbox" / "many" / "__init__.py", 'class Adder:\n    """Another one."""\n')
    write(root / "tests" / "test_long.py", "x = 1\n" * 251)
    places = missed(report, root)
    assert set(places) == {"crowded_folders", "prefix_families", "class_names", "long_files"}
    assert places["crowded_folders"] == [("depthbox/many", 1, "14 files")]
    assert places["prefix_families"] == [("depthbox/many", 1, "4 files part*")]
    assert places["long_files"] == [("tests/test_long.py", 251, "251 lines")]
    assert {path for path, *_ in places["class_names"]} == {"depthbox/many/__init__.py", "depthbox/sums.py"}


def test_tests_are_counted_against_the_source(report: types.ModuleType, root: Path) -> None:
    write(root / "tools" / "long.py", "\nx = 1\n" * 100)
    (rule,) = (rule for rule in report.make_report(root) if not rule.kept)
    assert rule.name == "tests_per_line" and rule.value == pytest.approx(12 / 112)


def test_faults_are_listed_and_fail_the_check(
    report: types.ModuleType, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "docs" / "page.md", "grey\n\ncolour: is no color\n")
    assert report.main(["--check", "--root", str(root)]) == 1 and report.main(["--root", str(root)]) == 0
    printed = capsys.readouterr()
    assert "british                     2     <= 0  MISSED" in printed.out and "missed: is_no british;" in printed.err
    assert report.main(["--list", "all", "--under", "docs", "--root", str(root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "docs/page.md:3: is_no: is no",
        "docs/page.md:1: british: grey",
        "docs/page.md:3: british: colour",
    ]
    assert report.main(["--list", "british", "--under", "depthbox", "--root", str(root)]) == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit):
        report.main(["--list", "unknown", "--root", str(root)])


def test_files_that_cannot_be_parsed_are_named(
    report: types.ModuleType, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "depthbox" / "broken.py", "x = 1\n<<<<<<< HEAD\n")
    with pytest.raises(SystemExit):
        report.main(["--root", str(root)])
    assert f"{root}/depthbox/broken.py:2 cannot be parsed" in capsys.readouterr().err


def test_the_repository_keeps_all_bounds(report: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--check"]) == 0, capsys.readouterr().out
