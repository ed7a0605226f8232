"""Summary of the benchmark: JSON file, table and plots."""

import json
import math

import pytest
import torch
from PIL import Image

from depthbox.benchmark import report
from depthbox.benchmark.summary import Summary, format_row

CPU = torch.device("cpu")
ROW = {
    "op": "edges",
    "device": "cpu",
    "speedup": 4.0,
    "memory_ratio": math.inf,
    "input": "2 x 64 x 96",
    "objects": 3,
    "max_difference": 0.0,
    "memory": "peak",
    "ours_s": 0.01,
    "ours_quartiles_s": [0.009, 0.011],
    "ours_repetitions": 5,
    "ours_peak_mb": 1.5,
    "baseline_s": 0.04,
    "baseline_quartiles_s": [0.03, 0.05],
    "baseline_repetitions": 5,
    "baseline_peak_mb": 6.0,
    "floor_bytes": 1000,
}
POINT = {
    "op": "objects",
    "device": "cpu",
    "objects": 3,
    "input": "64 x 96",
    "baseline_note": "does not fit into memory",
}
POINT |= {key: ROW[key] for key in ("ours_s", "ours_quartiles_s", "ours_peak_mb")}
POINT |= {"ours_queries": 4, "baseline_queries": 8}


@pytest.fixture
def summary(tmp_path):
    summary = Summary.open(tmp_path, quick=True, cuda_names=("edges", "paste"))
    summary.note_machine(CPU, lambda _: 1e6, lambda _: 2e6)
    summary.add(dict(ROW))
    return summary


def test_the_json_file_and_the_table_are_written(summary, tmp_path):
    summary.add_point(POINT)
    summary.fail("paste", "cpu", ValueError("broken"))
    summary.write()
    content = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    (row,) = content["rows"]
    assert row["op"] == "edges" and row["device"] == "cpu" and row["speedup"] == 4 and row["memory_ratio"] is None
    assert row["floor_bytes_s"] == pytest.approx(0.001) and row["times_floor_bytes"] == pytest.approx(10)
    assert (
        content["commit"] and torch.__version__.startswith(content["versions"]["torch"]) and content["hardware"]["cpu"]
    )
    table = (tmp_path / "summary.md").read_text()
    assert "10 ms (9 to 11)" in table and "10 (bytes)" in table and "these values are meaningless" in table
    assert "does not fit into memory" in table and "paste on cpu: ValueError: broken" in table
    for name in ("edges", "paste"):
        line = next(x for x in table.splitlines() if name in x and "| cuda " in x)
        assert line.count("not measured") == 6 and f"--device cuda --only {name}" in line
    assert all(line.count("|") == 12 for line in table.splitlines() if line.startswith("| edges"))


def test_a_cuda_row_replaces_its_command(summary):
    summary.add({**ROW, "device": "cuda"})
    table = report.format_markdown(summary.as_dict(), ("edges",))
    assert "not measured" not in table and table.count("| edges") == 2


def test_plots_are_drawn(summary, tmp_path):
    summary.add_point(POINT)
    summary.add_point(POINT | {"objects": 30})
    summary.draw()
    for name in ("summary.png", "objects_cpu.png"):
        with Image.open(tmp_path / name) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20


def test_rows_of_an_earlier_run_are_kept_until_measured_again(summary, tmp_path):
    summary.add({**ROW, "device": "cuda"})
    summary.write()
    again = Summary.open(tmp_path, quick=True)
    again.forget("edges", "cpu", is_curve=False)
    assert [(row["op"], row["device"]) for row in again.rows] == [("edges", "cuda")]
    assert Summary.open(tmp_path, quick=False).rows == []  # quick values are never mixed with real ones
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="not a summary of this tool"):
        Summary.open(tmp_path, quick=True)


def test_a_row_is_one_line_on_the_terminal():
    text = format_row(ROW | {"memory_ratio": 4.0})
    assert "edges cpu" in text and "ours 10 ms" in text and "speedup 4" in text and "memory ratio 4" in text
