"""Results of an ablation: files, table and origin."""

import json
import math

from ablation_toy import fake, plan
from PIL import Image

from depthbox.experiments.ablation import results
from depthbox.experiments.ablation.results import format_table, gather, read_generator, write_results
from depthbox.experiments.ablation.runner import execute


def test_json_table_and_plot_are_written(lab):
    runs = plan([lab / "plain.yaml", lab / "better.yaml"], [3, 1], lab)
    execute(runs[:3], ["cpu", "cpu"], fake(lab), poll=0.02)
    content = gather(runs)
    assert content["rows"][1]["seeds"] == [3]
    write_results(content, lab / "out")
    assert json.loads((lab / "out" / "ablation.json").read_text()) == content
    assert len(content["commit"]) in (40, len("unknown")) and "cores" in content["hardware"]
    assert content["generator"] == "unknown" and content["overrides"] == ""
    text = (lab / "out" / "ablation.md").read_text()
    assert "7.00±1.41" in text and "+6.00" in text and f"commit: {content['commit']}" in text
    assert Image.open(lab / "out" / "ablation.png").size[0] > 1000


def test_table_has_mean_deviation_and_gain():
    figures = [30.0, 31.0, 33.5]
    rows = [
        {
            "name": "a",
            "seeds": [0, 1, 2],
            "mask_AP": figures,
            "mask_AP50": [None] * 3,
            "mask_AP75": figures,
            "box_AP": [1.0, None, 2.0],
        },
        {"name": "b", "seeds": [0], "mask_AP": [32.0], "mask_AP50": [5.0], "mask_AP75": [5.0], "box_AP": [1.0]},
        {"name": "c", "seeds": [], "mask_AP": [], "mask_AP50": [], "mask_AP75": [], "box_AP": []},
    ]
    mean = sum(figures) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in figures) / 2)
    first, second, third = format_table({"rows": rows}).splitlines()[2:]
    assert f"{mean:.2f}±{deviation:.2f}" in first and "1.50±0.71" in first and "+" not in first
    assert f"{32 - mean:+.2f}" in second and "±" not in second
    assert third.split() == ["c", "0", "-", "-", "-", "-"]
    assert len(first) <= 80


def test_generator_is_read_from_the_json_file(lab):
    info = {"description": "made-up scenes", "version": "7", "seed": 2}
    for number, (head, found) in enumerate(
        [
            (f'{{"info": {json.dumps(info)}, "images"', "made-up scenes, version 7, seed 2"),
            ('{"images": []}', "unknown"),
        ]
    ):
        name, path = f"ablation_generator_{number}", lab / f"{number}.json"
        path.write_text(head)
        entry = [[name, str(path), "images", ""]]
        run = plan([lab / "plain.yaml"], [0], lab, "DATASETS.COCO_STYLE", repr(entry), "DATASETS.TRAIN", f"('{name}',)")
        assert read_generator(run[0].cfg) == found


def test_the_origin_of_a_run_is_written_once(lab, monkeypatch):
    run = plan([lab / "plain.yaml"], [0], lab, "SOLVER.BASE_LR", "0.5")[0]
    monkeypatch.setattr(results, "_git", lambda word, *more: {"rev-parse": "abc", "status": " M a.py"}[word])
    results.write_origin(run, "cpu")
    origin = json.loads((run.folder / "ablation_run.json").read_text())
    assert origin["commit"] == "abc" and origin["uncommitted_changes"] and "cores" in origin["hardware"]
    assert origin["overrides"] == "SOLVER.BASE_LR 0.5" and origin["config"].endswith("plain.yaml")
    row = gather([run])
    assert row["commit"] == "unknown", "the run is not finished"


def test_origins_that_differ_are_joined(lab):
    runs = plan([lab / "plain.yaml", lab / "better.yaml"], [0], lab)
    execute(runs, ["cpu"], fake(lab), poll=0.02)
    for run, commit in zip(runs, ("abc", "def"), strict=True):
        origin = {"commit": commit, "hardware": "same", "uncommitted_changes": commit == "def"}
        (run.folder / "ablation_run.json").write_text(json.dumps(origin))
    content = gather(runs)
    assert content["commit"] == "abc | def" and content["hardware"] == "same" and content["uncommitted_changes"]
    write_results(content, lab / "out")
    text = (lab / "out" / "ablation.md").read_text()
    assert "- commit: abc | def" in text and "- tracked files differed from the commit" in text
    (runs[0].folder / "ablation_run.json").write_text("damaged")
    assert gather(runs)["commit"] == "unknown | def"


def test_configs_of_the_project_are_named_relative_to_it(lab):
    assert results._in_project(str(results.ROOT / "configs" / "a.yaml")) == "configs/a.yaml"
    assert results._in_project(str(lab / "plain.yaml")) == str(lab / "plain.yaml")


def test_commands_outside_a_repository_have_no_output(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert results._git("rev-parse", "HEAD") is None and results._git("no-such-command") is None


def test_a_plot_needs_a_finished_run(lab):
    runs = plan([lab / "plain.yaml"], [0], lab)
    write_results(gather(runs), lab / "out")
    assert {path.name for path in (lab / "out").glob("ablation*")} == {"ablation.json", "ablation.md"}


def test_markdown_tables_have_pipes():
    row = {"name": "a", "seeds": [0], **{key: [50.0] for key in results.METRICS}}
    head, line, first = format_table({"rows": [row]}, "pipe").splitlines()
    assert [cell.strip() for cell in first.strip("|").split("|")] == ["a", "1", *["50.00"] * 4, ""]
    assert head.count("|") == line.count("|") == 8 and line.startswith("|:--")
