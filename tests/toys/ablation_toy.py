"""A quick script in the place of tools/train_net.py, and configs for it."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from depthbox.experiments.ablation.plan import AblationRun, plan_runs

# Writes the files of a training run. The row "fails" ends with an error, "mute" without results, "waits" never ends,
# "cut" stops in the middle the first time.
FAKE = textwrap.dedent(
    """
    import glob, json, os, sys, time
    words = sys.argv[1:]
    keys = dict(zip(words[-6::2], words[-5::2]))
    folder, seed = keys["OUTPUT_DIR"], int(keys["SEED"])
    name = os.path.basename(os.path.dirname(folder))
    with open(folder + "/calls.txt", "a") as file:
        how = "resume" if "--resume" in words else "start"
        print(how, os.environ.get("OMP_NUM_THREADS"), time.time(), os.getpid(), file=file)
    print("fake training of", name, flush=True)
    root, deadline = os.path.dirname(os.path.dirname(folder)), time.time() + 60
    while "FAKE_MEETS" in os.environ and len(glob.glob(root + "/*/*/calls.txt")) < 2:
        if time.time() > deadline:
            sys.exit("no other run has started")
        time.sleep(0.02)
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
def lab(tmp_path: Path) -> Path:
    """Write configs of four iterations and the fake script into a folder."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    entry = ["ablation_val", "truth.json", "images", ""]
    for name in ("plain", "better", "fails", "mute", "waits", "cut"):
        text = f"DATASETS:\n  TEST: ('ablation_val',)\n  TRAIN: ('ablation_val',)\n  COCO_STYLE: {[entry]}\n"
        path = tmp_path / f"{name}.yaml"
        path.write_text(text + "SOLVER:\n  MAX_ITER: 4\n  STEPS: (3,)\n")
        (tmp_path / f"{name}.yaml.dump").write_text(plan([path], [0], tmp_path)[0].cfg.dump())
    return tmp_path


def plan(configs: Sequence[Path], seeds: Sequence[int], folder: Path, *overrides: str) -> list[AblationRun]:
    """Plan the runs of some configs in ``folder/out``."""
    return plan_runs([str(config) for config in configs], seeds, folder / "out", overrides)


def fake(lab: Path) -> list[str]:
    """Return the command that starts the fake script."""
    return [sys.executable, "-S", str(lab / "fake.py")]


def calls(run: AblationRun) -> list[str]:
    """Return "start" or "resume" for each call of the fake script."""
    lines = (run.folder / "calls.txt").read_text().splitlines()
    return [line.split()[0] for line in lines]
