"""Runs of an ablation: progress, settings, mistakes in the plan."""

import pytest
from ablation_toy import fake, plan

from depthbox.config.loading import ConfigError
from depthbox.experiments.ablation.plan import check_settings, count_iterations, plan_runs, read_final_metrics
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
        (["nothing"], [0], (), (), "no config file"),
    ],
)
def test_mistakes_are_found_before_a_run_starts(lab, configs, seeds, overrides, names, message):
    with pytest.raises(ConfigError, match=message):
        plan_runs([str(lab / f"{c}.yaml") for c in configs], seeds, lab / "out", overrides, names)
    assert not (lab / "out").exists()
