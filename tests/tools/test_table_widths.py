"""Tables of the tools: they fit into a terminal of 80 columns, and their columns are aligned."""

import re
from pathlib import Path

import pytest
from script_toy import load_script

from depthbox.benchmark.summary import format_row
from depthbox.experiments.ablation.results import format_table
from depthbox.labeling.review import MaskQuality

ROOT = Path(__file__).parents[2]


def ends(lines: list[str], cells: int) -> set[tuple[int, ...]]:
    """Return the different columns at which the last cells of lines end."""
    return {tuple(match.end() for match in list(re.finditer(r"\S+", line))[-cells:]) for line in lines}


def test_ablations_with_names_of_15_characters_fit() -> None:
    values = [38.25, 41.5, 39.125]
    keys = ("mask_AP", "mask_AP50", "mask_AP75", "box_AP")
    names = ["plain", "distill_largest", "depth"]
    rows = [{"name": name, "seeds": [0, 1, 2], **dict.fromkeys(keys, values)} for name in names]
    lines = format_table({"rows": rows}).splitlines()
    assert len(lines) == 2 + len(names) and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:]] == names
    assert len(ends(lines[3:], 6)) == 1, "columns are aligned to the right"
    assert all(line.endswith("39.62±1.68   +0.00") for line in lines[3:]) and lines[2].endswith("39.62±1.68")


@pytest.mark.parametrize("count", [1, 99_999])
def test_the_comparison_of_labels_fits(count: int) -> None:
    tool = load_script(ROOT / "tools/compare_labels.py")
    names = ["detection at 1600 pixels, matched", "depthbox label"]
    fields = {"count": count, "filled": 0.7, "masks": 0.8125, "poor": 0.125, "agreement": None}
    known = {key: value for key, value in fields.items() if key in MaskQuality.__dataclass_fields__}
    head, filled, *others = tool.format_table({name: MaskQuality(**known) for name in names}).splitlines()
    assert head.startswith(f"{count} masks") and filled.split() == ["filled", "boxes", "70.0"]
    assert [line[:36].strip() for line in others] == names
    assert all(line.split()[-3:] == ["81.2", "12.5", "%"] for line in others)
    assert max(len(line) for line in (head, filled, *others)) <= 80
    assert {line.index("81.2") + 4 for line in others} == {filled.index("70.0") + 4}


def test_the_table_of_the_style_report_fits() -> None:
    report = load_script(ROOT / "scripts/style_report.py")
    rules = [report.Rule("docstrings_percent", 99.126, 98, True), report.Rule("prefix_families", 3, 0)]
    head, first, second = report.format_table(rules).splitlines()
    assert first.split() == ["docstrings_percent", "99.13", ">=", "98", "ok"]
    assert second.split() == ["prefix_families", "3", "<=", "0", "MISSED"]
    assert head.split() == ["rule", "value", "bound"] and max(map(len, (head, first, second))) <= 80


def test_a_row_of_the_benchmark_is_one_line() -> None:
    row = {"op": "infer", "option": "bf16", "device": "cuda", "batch": 8, "ours_s": 0.0421, "speedup": 1.754}
    text = format_row({**row, "images_per_s": 190.04, "note": ""})
    assert text.split("  ")[0] == "infer bf16 cuda" and "8 images  ours 42.1 ms  speedup 1.75  190 images/s" in text
    assert "\n" not in text and "baseline" not in text and "memory ratio" not in text
    skipped = format_row({"op": "edges", "device": "cpu", "ours_s": 1.0, "speedup": None, "note": "it needs 9 GB"})
    assert skipped.endswith("ours 1000 ms  it needs 9 GB")


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=lambda path: path.name)
def test_examples_in_the_help_of_tools_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    epilog = re.search(r'EXAMPLES = """(.*?)"""', text, re.DOTALL)
    for line in (epilog[1] if epilog else "").splitlines():
        assert len(line) <= 120, line
        assert f"tools/{path.name}" in line or "tools/" not in line or "torchrun" in line, "an example of another tool"
