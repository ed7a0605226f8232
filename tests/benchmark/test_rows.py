"""Rows of the benchmark with tiny inputs, and tools/benchmark.py."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from depthbox.benchmark.comparison import Options, run_comparison
from depthbox.benchmark.inputs import Setting
from depthbox.benchmark.rows import detector, network, objects, ops, paste
from depthbox.modeling.mask_head import DynamicMaskHead

SCRIPT = Path(__file__).parents[2] / "tools" / "benchmark.py"
QUICK = Options(torch.device("cpu"), quick=True, repeat=1)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark_tool", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("make", "rows", "memory"),
    [
        (ops.mask_losses, 1, "kept"),
        (ops.dynamic_head, 1, "kept"),
        (detector.targets, 2, "peak"),
        (paste.paste, 1, "peak"),
    ],
)
def test_each_row_is_measured(make, rows, memory):
    found = [run_comparison(comparison, QUICK) for comparison in make(QUICK)]
    assert len(found) == rows and {row["op"] for row in found} == {make.__name__}
    for row in found:
        assert row["speedup"] > 0 and row["memory_ratio"] > 0 and row["memory"] == memory
        assert row["max_difference"] <= 1e-3


def test_the_curve_has_a_point_for_each_number_of_objects():
    points = list(objects.measure_objects(QUICK))
    assert [p["objects"] for p in points] == [1, 8]
    assert [(p["ours_queries"], p["baseline_queries"]) for p in points] == [(4, 4), (4, 8)]
    assert all(p["ours_s"] > 0 and p["baseline_s"] > 0 for p in points)


def test_the_network_with_the_baselines_has_the_same_losses():
    pytest.importorskip("skimage")
    setting = Setting(images=2, height=64, width=64, objects=3, queries=64, classes=5)
    cpu = torch.device("cpu")
    model = network.build_network(network.make_config(cpu, 5, MODEL__FPN__OUT_CHANNELS=32)).train()
    batch = network.make_batch(setting, cpu)
    ours = model(batch)
    with network.use_baselines(model, (64, 64)):
        theirs = model(batch)
        assert not isinstance(model.mask_head, DynamicMaskHead)
    assert isinstance(model.mask_head, DynamicMaskHead)
    assert {"loss_depth", "loss_depth_consistency", "loss_color_pairwise"} <= ours.keys() == theirs.keys()
    for name, loss in ours.items():
        assert loss.item() == pytest.approx(theirs[name].item(), rel=2e-3), name


def test_the_tool_measures_edges(tool, tmp_path, capsys):
    pytest.importorskip("skimage")
    words = ["ops", "--quick", "--only", "edges", "--device", "cpu", "--repeat", "1", "--output", str(tmp_path)]
    assert tool.main(words) == 0
    content = json.loads((tmp_path / "summary.json").read_text())
    (row,) = content["rows"]
    assert row["op"] == "edges" and row["speedup"] > 0 and row["times_floor_bytes"] > 0 and content["quick"]
    assert {"summary.json", "summary.md", "summary.png"} == {path.name for path in tmp_path.iterdir()}
    assert "summary.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["opps"], "unknown part opps; the parts are ops train"),
        (["eval", "--only", "edges"], "--only edges: the rows of eval"),
    ],
)
def test_mistakes_end_with_one_line(tool, tmp_path, words, message):
    with pytest.raises(SystemExit, match=message):
        tool.main([*words, "--device", "cpu", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_cuda_without_a_gpu_is_refused(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device"):
        tool.main(["--device", "cuda", "--quick", "--output", str(tmp_path)])


def test_help_lists_the_rows(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    assert "evaluation_masks" in capsys.readouterr().out
