"""Rows of the benchmark with tiny inputs, and tools/benchmark.py."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from script_toy import load_script

from depthbox.benchmark.comparison import Options, run_comparison
from depthbox.benchmark.inputs import Setting
from depthbox.benchmark.rows import affinity, data, detector, evaluation, network, objects, ops, paste
from depthbox.modeling.mask_head import DynamicMaskHead

SCRIPT = Path(__file__).parents[2] / "tools" / "benchmark.py"
QUICK = Options(torch.device("cpu"), quick=True, repeat=1)


@pytest.fixture(scope="module")
def tool():
    return load_script(SCRIPT)


@pytest.mark.parametrize(
    ("make", "rows", "memory"),
    [
        (ops.mask_losses, 1, "kept"),
        (ops.dynamic_head, 1, "kept"),
        (detector.targets, 2, "peak"),
        (paste.paste, 1, "peak"),
        (affinity.affinity, 1, "peak"),
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
    with pytest.raises(ValueError, match=message):
        tool.main([*words, "--device", "cpu", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_cuda_without_a_gpu_is_refused(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        tool.main(["--device", "cuda", "--quick", "--output", str(tmp_path)])


def test_help_lists_the_rows(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    assert "evaluation_masks" in capsys.readouterr().out


def test_the_row_of_the_mapper_has_its_shares():
    (row,) = data.data(QUICK)
    assert row["op"] == "data" and row["images_per_s"] > 0 and row["images_per_s_without_depth"] > 0
    assert all(row[f"share_{part}"] <= 1 for part in ("resize", "depth")) and row["share_decode_image"] > 0


def test_records_of_the_mapper_are_files_with_boxes(tmp_path):
    records = data.write_records(tmp_path, 2, (48, 64))
    assert len(records) == 2 and len(list(tmp_path.iterdir())) == 4
    for record in records:
        with Image.open(record["file_name"]) as image, Image.open(record["depth_file_name"]) as depth:
            assert image.size == depth.size == (record["width"], record["height"]) == (64, 48)
            assert depth.mode.startswith("I")
        assert all(x0 < x1 <= 64 and y0 < y1 <= 48 for x0, y0, x1, y1 in (a["bbox"] for a in record["annotations"]))


@pytest.mark.parametrize("make", [evaluation.evaluation_boxes, evaluation.evaluation_masks])
def test_evaluation_equals_pycocotools(make):
    (row,) = [run_comparison(comparison, QUICK) for comparison in make(QUICK)]
    assert row["op"] == make.__name__ and row["max_difference"] <= 1e-9 and row["ours_repetitions"] == 1


def test_detections_are_reproducible_and_partly_right(tmp_path):
    shapes = evaluation.make_shapes(10)
    objects = evaluation.write_ground_truth(tmp_path / "a.json", shapes, 5)
    results = evaluation.make_results(shapes, objects, 20)
    assert results == evaluation.make_results(shapes, objects, 20) and len(results) == 5 * 20
    content = json.loads((tmp_path / "a.json").read_text())
    assert len(content["annotations"]) == sum(map(len, objects)) and all(3 <= len(found) < 12 for found in objects)
    labels = {image: {label + 1 for _, label in found} for image, found in enumerate(objects, 1)}
    right = sum(result["category_id"] in labels[result["image_id"]] for result in results) / len(results)
    assert 0.5 < right < 1


def test_an_option_that_fails_has_a_note(monkeypatch):
    def broken(network):
        raise RuntimeError("no compiler\nfound here")

    monkeypatch.setattr(network, "_OPTIONS", {"plain": network._keep_plain, "broken": broken})
    monkeypatch.setattr(network, "_BATCHES", (1,))
    plain, failed = network.infer(QUICK)
    assert plain["images_per_s"] > 0 and plain["speedup"] is None and "note" not in plain
    assert failed["note"] == "failed: RuntimeError: no compiler" and "images_per_s" not in failed


def test_options_are_compared_with_the_plain_network(monkeypatch):
    monkeypatch.setattr(network, "_OPTIONS", {"plain": network._keep_plain, "same": network._keep_plain})
    monkeypatch.setattr(network, "_BATCHES", (2,))
    plain, same = network.infer(QUICK)
    assert (same["option"], same["batch"], same["baseline_s"]) == ("same", 2, plain["ours_s"])
    assert same["speedup"] == plain["ours_s"] / same["ours_s"]


def test_the_baselines_are_removed_after_a_failure():
    model = network.build_network(network.make_config(torch.device("cpu"), 5, MODEL__FPN__OUT_CHANNELS=32))
    parts = (model.mask_head, model.controller, model.criterion)
    with pytest.raises(RuntimeError, match="stop"), network.use_baselines(model, (64, 64)):
        raise RuntimeError("stop")
    assert parts == (model.mask_head, model.controller, model.criterion)


def test_an_interrupted_tool_says_what_is_kept(tool, tmp_path, monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("depthbox.benchmark.run_benchmarks", stop)
    assert tool.main(["--quick", "--device", "cpu", "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().out == f"stopped; the measured rows are in {tmp_path}\n"


@pytest.mark.parametrize("words", [["--threads", "-1"], ["--repeat", "0"], ["--device", "tpu"]])
def test_options_out_of_range_are_refused(tool, words, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(words)
    assert words[0] in capsys.readouterr().err
