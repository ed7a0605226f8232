"""The ablation runner, with a quick script in the place of the training."""

import json
import math
import os
import signal
import sys
import textwrap
import threading
import time

import pytest
from PIL import Image

from depthbox.config.loading import ConfigError
from depthbox.experiments.ablation.plan import check_settings, final_metrics, is_started, iterations_done, plan_runs
from depthbox.experiments.ablation.plot import save_ablation_plot
from depthbox.experiments.ablation.results import gather, generator, table, write_results
from depthbox.experiments.ablation.runner import CONSOLE, check_devices, environment, execute, training_command

# Writes what a training leaves behind. The row "fails" ends with an error, "mute" without results, "waits" never, and
# "cut" stops in the middle the first time.
FAKE = textwrap.dedent(
    """
    import json, os, sys, time
    words = sys.argv[1:]
    keys = dict(zip(words[-6::2], words[-5::2]))
    folder, seed = keys["OUTPUT_DIR"], int(keys["SEED"])
    name = os.path.basename(os.path.dirname(folder))
    with open(folder + "/calls.txt", "a") as file:
        how = "resume" if "--resume" in words else "start"
        print(how, os.environ.get("OMP_NUM_THREADS"), time.time(), os.getpid(), file=file)
    print("fake training of", name, flush=True)
    with open(folder + "/config.yaml", "w") as file:
        dump = open(words[words.index("--config-file") + 1] + ".dump").read()
        file.write(dump.replace("SEED: 0", f"SEED: {seed}"))
    def report(iteration, **values):
        with open(folder + "/metrics.json", "a") as file:
            print(json.dumps({"iteration": iteration, **values}), file=file)
    report(1, total_loss=1.0)
    if name == "fails":
        sys.exit("it broke: " + name)
    if name == "waits":
        time.sleep(60)
    if name == "mute" or (name == "cut" and "--resume" not in words):
        sys.exit(3 if name == "cut" else 0)
    time.sleep(0.3)
    base = {"plain": 10.0, "better": 20.0, "cut": 30.0}[name]
    report(4, **{"bbox/AP": base + seed, "segm/AP": base / 2 + seed, "segm/AP50": None, "teacher_segm/AP": 99.0})
    open(folder + "/last_evaluation", "w").write("4")
    """
)


@pytest.fixture
def lab(tmp_path):
    """A folder with configs of four iterations, and the words that start the fake."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    entry = ["ablation_val", "truth.json", "images", ""]
    for name in ("plain", "better", "fails", "mute", "waits", "cut"):
        text = f"DATASETS:\n  TEST: ('ablation_val',)\n  TRAIN: ('ablation_val',)\n  COCO_STYLE: {[entry]}\n"
        path = tmp_path / f"{name}.yaml"
        path.write_text(text + "SOLVER:\n  MAX_ITER: 4\n  STEPS: (3,)\n")
        (tmp_path / f"{name}.yaml.dump").write_text(plan([path], [0], tmp_path)[0].cfg.dump())
    return tmp_path


def plan(configs, seeds, folder, *overrides):
    return plan_runs([str(config) for config in configs], seeds, folder / "out", overrides)


def fake(lab):
    return [sys.executable, "-S", str(lab / "fake.py")]


def calls(run):
    lines = (run.folder / "calls.txt").read_text().splitlines()
    return [line.split()[0] for line in lines]


def test_runs_all_skips_the_finished_and_gathers(lab):
    runs = plan([lab / "plain.yaml", lab / "better.yaml"], [3, 1], lab)
    labels = ["plain/seed_3", "better/seed_3", "plain/seed_1", "better/seed_1"]
    assert [run.label for run in runs] == labels and [run.iterations for run in runs] == [4] * 4
    done: list[int] = []
    assert execute(runs, ["cpu"], fake(lab), lambda: done.append(len(gather(runs)["rows"][0]["seeds"])), 0.02) == []
    assert done == [1, 1, 2, 2]
    rows = gather(runs)["rows"]
    assert [row["name"] for row in rows] == ["plain", "better"] and rows[0]["seeds"] == [3, 1]
    assert rows[1]["mask_AP"] == [13.0, 11.0] and rows[1]["box_AP"] == [23.0, 21.0]
    assert rows[1]["mask_AP50"] == rows[1]["mask_AP75"] == [None, None] and rows[1]["config"].endswith("better.yaml")
    assert execute(runs, ["cpu"], fake(lab), poll=0.02) == []
    assert [calls(run) for run in runs] == [["start"]] * 4, "finished runs are not run again"


def test_results_are_written(lab):
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


def test_a_failure_is_told_and_the_others_go_on(lab, capsys):
    runs = plan([lab / f"{name}.yaml" for name in ("fails", "mute", "plain")], [0], lab)
    failures = execute(runs, ["cpu"], fake(lab), poll=0.02)
    assert [(f.run.name, f.reason) for f in failures] == [
        ("fails", "failed with exit status 1"),
        ("mute", "ended without results"),
    ]
    assert failures[0].tail == "fake training of fails\nit broke: fails"
    assert final_metrics(runs[2].folder)["bbox/AP"] == 10
    again = execute(runs[:1], ["cpu"], fake(lab), poll=0.02)
    assert again[0].tail == failures[0].tail, "only what this attempt said"
    assert calls(runs[0]) == ["start", "resume"] and "plain/seed_0: done" in capsys.readouterr().out


def test_a_run_that_was_cut_off_is_resumed(lab):
    runs = plan([lab / "cut.yaml"], [0], lab)
    assert not is_started(runs[0])
    assert execute(runs, ["cpu"], fake(lab), poll=0.02)[0].reason == "failed with exit status 3"
    assert is_started(runs[0]) and iterations_done(runs[0].folder) == 2 and final_metrics(runs[0].folder) is None
    assert execute(runs, ["cpu"], fake(lab), poll=0.02) == []
    assert calls(runs[0]) == ["start", "resume"] and gather(runs)["rows"][0]["box_AP"] == [30]


def test_two_devices_run_two_at_a_time(lab, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    runs = plan([lab / "plain.yaml", lab / "better.yaml"], [0], lab)
    execute(runs, ["cpu", "cpu"], fake(lab), poll=0.02)
    (_, threads, first, _), (_, _, second, _) = ((r.folder / "calls.txt").read_text().split() for r in runs)
    assert abs(float(first) - float(second)) < 0.3 and int(threads) == max(1, os.cpu_count() // 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_runner_stops_its_trainings(lab, number):
    runs = plan([lab / "waits.yaml", lab / "plain.yaml"], [0], lab)

    def interrupt():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if iterations_done(runs[0].folder):
                os.kill(os.getpid(), number)
                return
            time.sleep(0.02)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(runs, ["cpu"], fake(lab), poll=0.02)
    thread.join()
    pid = int((runs[0].folder / "calls.txt").read_text().split()[3])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert final_metrics(runs[0].folder) is None and not is_started(runs[1])
    assert signal.getsignal(signal.SIGTERM) == before


def test_finished_means_the_last_evaluation_of_the_whole_length(lab):
    run = plan([lab / "plain.yaml"], [0], lab)[0]
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(run.cfg.dump())
    (run.folder / "metrics.json").write_text('{"iteration": 2, "bbox/AP": 1.0}\n')
    (run.folder / "last_evaluation").write_text("2")
    assert final_metrics(run.folder) is None
    (run.folder / "last_evaluation").write_text("4")
    assert final_metrics(run.folder) is None, "the last evaluation was not written down"
    with open(run.folder / "metrics.json", "a") as file:
        file.write('{"iteration": 4, "ds/bbox/AP": null, "ds/segm/AP": 2.5, "teacher_segm/AP": 9}\n{"iterat')
    assert final_metrics(run.folder)["ds/segm/AP"] == 2.5 and iterations_done(run.folder) == 5
    row = gather([run])["rows"][0]
    assert (row["mask_AP"], row["box_AP"], row["mask_AP50"]) == ([2.5], [None], [None])


def test_a_folder_of_other_settings_is_refused(lab):
    execute(plan([lab / "plain.yaml"], [0], lab), ["cpu"], fake(lab), poll=0.02)
    other = plan([lab / "plain.yaml"], [0], lab, "SOLVER.BASE_LR", "0.5")
    with pytest.raises(ConfigError, match=r"SOLVER.BASE_LR .* -> 0.5.*--output"):
        execute(other, ["cpu"], fake(lab), poll=0.02)
    check_settings(plan([lab / "plain.yaml"], [0], lab, "DATALOADER.NUM_WORKERS", "0")[0])


@pytest.mark.parametrize(
    ("configs", "seeds", "overrides", "names", "message"),
    [
        (["plain", "plain"], [0], (), (), "names must differ"),
        (["plain"], [1, 1], (), (), "seeds must differ"),
        (["plain"], [0], ("SEED", "3"), (), "--seeds"),
        (["plain"], [0], ("MODEL.DEVICE", "cpu"), (), "--devices"),
        (["plain"], [0], ("SOLVER.MAXITER", "3"), (), "MAX_ITER"),
        (["plain"], [0], ("DATASETS.TEST", "()"), (), "DATASETS.TEST is empty"),
        (["plain"], [0], (), ("a", "b"), "2 names for 1 configs"),
        (["plain"], [0], (), ("../a",), "a name is made of"),
        (["plain"], [-1], (), (), "0 or more"),
        (["nothing"], [0], (), (), "no config file"),
    ],
)
def test_mistakes_are_found_before_anything_runs(lab, configs, seeds, overrides, names, message):
    with pytest.raises(ConfigError, match=message):
        plan_runs([str(lab / f"{c}.yaml") for c in configs], seeds, lab / "out", overrides, names)
    assert not (lab / "out").exists()


def test_devices(lab):
    run = plan([lab / "plain.yaml"], [0], lab, "SOLVER.BASE_LR", "0.5")[0]
    words = training_command(run, "cuda:1", ["train"])
    assert words[:2] == ["train", "--config-file"] and "--resume" not in words
    assert words[words.index("MODEL.DEVICE") + 1] == "cuda" and words[words.index("SOLVER.BASE_LR") + 1] == "0.5"
    devices = ["cuda:0", "cuda:1", "cpu"]
    assert environment("cuda:1", devices, {}, 8) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert environment("cuda:1", devices, {"CUDA_VISIBLE_DEVICES": "4,6"}, 8)["CUDA_VISIBLE_DEVICES"] == "6"
    assert environment("cpu", devices, {"OMP_NUM_THREADS": "3"}, 8)["OMP_NUM_THREADS"] == "3"
    with pytest.raises(ConfigError, match="cuda:99"):
        check_devices(["cpu", "cuda:99"])


def test_table_against_the_textbook():
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
    first, second, third = table({"rows": rows}).splitlines()[2:]
    assert f"{mean:.2f}±{deviation:.2f}" in first and "1.50±0.71" in first and "+" not in first
    assert f"{32 - mean:+.2f}" in second and "±" not in second
    assert third.split() == ["c", "0", "-", "-", "-", "-"]
    assert len(first) <= 80


def test_plot_of_rows_without_values(tmp_path):
    rows = [{"name": "a", "mask_AP": [None], "box_AP": [3.0]}, {"name": "b", "mask_AP": [], "box_AP": []}]
    save_ablation_plot(rows, tmp_path / "plot.png")
    colors = Image.open(tmp_path / "plot.png").convert("RGB").getcolors(1 << 20)
    assert (0xC9, 0xC9, 0xC9) in {color for _, color in colors}


def test_generator_is_read_from_the_json(lab):
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
        assert generator(run[0].cfg) == found


def test_console_goes_to_a_file(lab, capfd):
    runs = plan([lab / "plain.yaml"], [0], lab)
    execute(runs, ["cpu"], fake(lab), poll=0.02)
    assert (runs[0].folder / CONSOLE).read_text() == "fake training of plain\n"
    assert "fake training" not in capfd.readouterr().out
