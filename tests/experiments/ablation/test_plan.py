"""Runs of an ablation: progress, settings, mistakes in the plan."""

import pytest
from ablation_toy import fake, plan

from depthbox.config.loading import ConfigError
from depthbox.experiments.ablation.plan import (
    check_settings,
    count_iterations,
    find_value,
    is_started,
    plan_runs,
    read_final_metrics,
)
from depthbox.experiments.ablation.results import gather
from depthbox.experiments.ablation.runner import execute


def test_a_run_is_finished_after_the_evaluation_of_its_last_iteration(lab):
    run = plan([lab / "plain.yaml"], [0], lab)[0]
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(run.cfg.dump())
    (run.folder / "metrics.json").write_text('{"iteration": 2, "bbox/AP": 1.0}\n')
    (run.folder / "last_evaluation").write_text("2")
    assert read_final_metrics(run.folder) is None
    (run.folder / "last_evaluation").write_text("4")
    assert read_final_metrics(run.folder) is None, "metrics.json has no line of the last evaluation"
    with open(run.folder / "metrics.json", "a") as file:
        file.write('{"iteration": 4, "ds/bbox/AP": null, "ds/segm/AP": 2.5, "teacher_segm/AP": 9}\n{"iterat')
    assert read_final_metrics(run.folder)["ds/segm/AP"] == 2.5 and count_iterations(run.folder) == 5
    row = gather([run])["rows"][0]
    assert (row["mask_AP"], row["box_AP"], row["mask_AP50"]) == ([2.5], [None], [None])


def test_a_run_with_the_ap_of_voc_alone_is_finished_after_its_last_evaluation(lab):
    run = plan([lab / "plain.yaml"], [0], lab)[0]
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(run.cfg.dump())
    (run.folder / "last_evaluation").write_text("4")
    (run.folder / "metrics.json").write_text('{"iteration": 4, "segm/mAP25": 3.0, "segm/mAP50": 2.5}\n')
    assert read_final_metrics(run.folder)["segm/mAP50"] == 2.5


def test_a_folder_with_other_settings_is_refused(lab):
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
        (["plain"], [0], (), ("../a",), "a name consists of"),
        (["plain"], [-1], (), (), "0 or more"),
        (["nothing"], [0], (), (), "the config file .*nothing.* does not exist"),
    ],
)
def test_mistakes_are_found_before_a_run_starts(lab, configs, seeds, overrides, names, message):
    with pytest.raises(ConfigError, match=message):
        plan_runs([str(lab / f"{c}.yaml") for c in configs], seeds, lab / "out", overrides, names)
    assert not (lab / "out").exists()


def test_runs_have_their_folders_and_labels(lab):
    runs = plan_runs([str(lab / "plain.yaml"), str(lab / "better.yaml")], [2, 0], lab / "out", names=["a", "b-1.x"])
    assert [run.label for run in runs] == ["a/seed_2", "b-1.x/seed_2", "a/seed_0", "b-1.x/seed_0"]
    assert runs[1].folder == lab / "out" / "b-1.x" / "seed_2" and runs[1].seed == 2
    assert str(runs[0].folder) == runs[0].cfg.OUTPUT_DIR and runs[0].cfg.SEED == 2


def test_the_schedule_of_a_run_is_rescaled(lab):
    words = ("SOLVER.REFERENCE_BATCH_SIZE", "4", "SOLVER.IMS_PER_BATCH", "2")
    (run,) = plan_runs([str(lab / "plain.yaml")], [0], lab / "out", words)
    assert run.iterations == 8 and run.cfg.SOLVER.MAX_ITER == 8 and run.overrides == words


def test_unstarted_and_damaged_runs_are_unfinished(lab):
    (run,) = plan([lab / "plain.yaml"], [0], lab)
    assert not is_started(run) and read_final_metrics(run.folder) is None and count_iterations(run.folder) == 0
    run.folder.mkdir(parents=True)
    for text in ("", "[]", "SOLVER: 3", "{", "SOLVER:\n  MAX_ITER: many"):
        (run.folder / "config.yaml").write_text(text)
        assert read_final_metrics(run.folder) is None, text
    assert is_started(run)


def test_damaged_lines_of_the_metrics_are_skipped(lab):
    (run,) = plan([lab / "plain.yaml"], [0], lab)
    run.folder.mkdir(parents=True)
    lines = ['{"iteration": 0}', "", "[1]", '{"loss": 2}', '{"iteration": 2, "x": 1}', '{"iteration": 3, "x"']
    (run.folder / "metrics.json").write_text("\n".join(lines))
    assert count_iterations(run.folder) == 3


def test_long_metrics_are_read_from_their_end(lab):
    (run,) = plan([lab / "plain.yaml"], [0], lab)
    run.folder.mkdir(parents=True)
    text = "".join(f'{{"iteration": {n}, "total_loss": {n / 7}}}\n' for n in range(5000))
    (run.folder / "metrics.json").write_text(text)
    assert len(text) > 2 * (1 << 16) and count_iterations(run.folder) == 5000


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ({"segm/AP": 1.0, "coco/segm/AP": 2.0}, 1.0),
        ({"teacher_segm/AP": 9.0, "coco/segm/AP": 2.0, "lvis/segm/AP": 3.0}, 2.0),
        ({"segm/AP50": 1.0}, None),
        ({"segm/AP": None}, None),
        ({}, None),
    ],
)
def test_metrics_are_found_with_and_without_the_name_of_the_dataset(line, value):
    assert find_value(line, "segm/AP") == value
