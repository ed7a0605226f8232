"""Tables of summary.md: rows, inference, data, objects and failures."""

from typing import Any

import pytest

from depthbox.benchmark.report import format_markdown

ROW: dict[str, Any] = {
    "op": "edges",
    "device": "cpu",
    "speedup": 20.123,
    "memory_ratio": 1.5,
    "input": "2 x 8 x 8",
    "objects": 7,
    "memory": "peak",
    "ours_s": 0.0114,
    "ours_quartiles_s": [0.011, 0.012],
    "ours_peak_mb": 49.0,
    "baseline_s": 1.5,
    "baseline_quartiles_s": [1.25, 1.75],
    "baseline_peak_mb": 3717.4,
    "commit": "abc",
}


def content(**changes: Any) -> dict[str, Any]:
    """Return the content of a summary.json with one row."""
    machine = {"name": "Some CPU", "threads": 2, "copy_bandwidth": 24.9e9, "matrix_rate": 325e9}
    base = {"rows": [ROW], "objects": [], "failures": [], "quick": False, "versions": {"torch": "2.14"}}
    return {**base, "commit": "abc", "machines": {"cpu": machine}, **changes}


def cells(table: str, start: str) -> list[str]:
    """Return the cells of the line that starts with a word."""
    line = next(line for line in table.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_times_ratios_and_memory() -> None:
    table = format_markdown(content())
    assert cells(table, "edges") == [
        "edges", "cpu", "2 x 8 x 8", "7", "11.4 ms (11 to 12)", "1.5 s (1.25 to 1.75)", "20.1", "49", "3,717", "1.5", ""
    ]  # fmt: skip
    assert "- cpu: Some CPU, 2 threads, copies 24.9 GB/s, matrix products 325 GFLOP/s" in table
    assert "- torch 2.14\n- commit abc\n" in table and "Quick run" not in table
    assert "## " not in table, "sections without rows are omitted"


def test_the_memory_of_a_row_can_be_that_kept_for_backward() -> None:
    row = {**ROW, "memory": "kept", "ours_kept_mb": 42.0, "baseline_kept_mb": 3000.0}
    assert cells(format_markdown(content(rows=[row])), "edges")[7:9] == ["42", "3,000"]


def test_a_missing_baseline_is_replaced_by_its_note() -> None:
    row = {key: value for key, value in ROW.items() if not key.startswith("baseline")}
    row |= {"speedup": None, "memory_ratio": None, "note": "it needs 99 GB"}
    assert cells(format_markdown(content(rows=[row])), "edges")[5:] == [
        "it needs 99 GB",
        "",
        "49",
        "",
        "",
        "",
    ]


def test_lower_bounds_have_a_column() -> None:
    row = {**ROW, "times_floor_bytes": 37.04, "times_floor_operations": 18.0}
    assert cells(format_markdown(content(rows=[row])), "edges")[-1] == "37 (bytes), 18 (operations)"


@pytest.mark.parametrize(("device", "missing"), [("cpu", ["edges", "paste"]), ("cuda", ["paste"])])
def test_unmeasured_rows_of_cuda_have_a_command(device: str, missing: list[str]) -> None:
    table = format_markdown(content(rows=[{**ROW, "device": device}]), ("edges", "paste"))
    lines = [line for line in table.splitlines() if "not measured" in line]
    assert [line.split("|")[1].strip() for line in lines] == missing
    assert all("`python tools/benchmark.py --device cuda --only " in line for line in lines)


def test_commits_of_all_rows_are_listed() -> None:
    assert "- commit abc, def+\n" in format_markdown(content(rows=[ROW, {**ROW, "commit": "def+"}]))


def test_inference_and_data_have_tables_of_their_own() -> None:
    infer = {"op": "infer", "device": "cpu", "option": "bf16", "batch": 4, "input": "480 x 800", "speedup": 0.66}
    failed = {**infer, "option": "torch.compile", "speedup": None, "note": "failed: RuntimeError: no compiler"}
    data = {"op": "data", "device": "cpu", "input": "JPEG", "images_per_s": 38.04, "images_per_s_without_depth": 80.0}
    data |= {"share_decode_image": 0.25, "share_depth": 0.5, "share_resize": 0.125, "speedup": None}
    table = format_markdown(content(rows=[{**infer, "images_per_s": 0.72}, failed, data]))
    inference, _, rest = table.partition("## Inference")[2].partition("## Data")
    assert cells(inference, "cpu ") == ["cpu", "bf16", "4", "480 x 800", "0.72", "0.66"]
    assert "| failed: RuntimeError: no compiler |" in inference
    assert cells(rest, "JPEG") == ["JPEG", "38", "80", "0.25", "0.5", "0.125"]
    assert "infer" not in table.partition("## Inference")[0].partition("| op")[2]


def test_points_of_the_curve_have_a_table() -> None:
    point = {"op": "objects", "device": "cpu", "input": "400 x 672", "objects": 30, "ours_queries": 60}
    point |= {"ours_s": 0.13, "ours_quartiles_s": [0.12, 0.14], "ours_peak_mb": 94.2, "baseline_queries": 60}
    point |= {"baseline_note": "does not fit into memory"}
    section = format_markdown(content(objects=[point])).partition("## Cost over the number of objects per image")[2]
    assert cells(section, "cpu") == [
        "cpu", "400 x 672", "30", "60", "130 ms (120 to 140)", "94.2", "60", "does not fit into memory", ""
    ]  # fmt: skip
    assert "queries per image, ours" in section and "peak MB, baseline" in section


def test_failures_and_quick_runs_are_marked() -> None:
    failure = {"op": "paste", "device": "cuda", "error": "ValueError: broken"}
    table = format_markdown(content(failures=[failure], quick=True))
    assert table.endswith("## Failures\n\n- paste on cuda: ValueError: broken\n")
    assert "**Quick run: these values are meaningless.**" in table
