"""Runs of an ablation (configs x seeds): their folders, settings and progress."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ...checkpoint.evaluations import read_evaluation
from ...config.defaults import add_depthbox_config
from ...config.loading import ConfigError, load_config
from ...engine.resume import compare_configs
from ...engine.schedule import scale_schedule
from ...io.yaml_files import read_yaml

ORIGIN = "ablation_run.json"
# Keys set by the runner, with the option of tools/ablate.py that sets them.
_OWN_KEYS = {"OUTPUT_DIR": "--output", "SEED": "--seeds", "MODEL.DEVICE": "--devices"}
# Keys that change the device and speed of a run, not its result.
_HARMLESS = ("MODEL.DEVICE", "DATALOADER.NUM_WORKERS")
_TAIL = 1 << 16
_HEADLINES = ("bbox/AP", "segm/mAP50")  # metrics that an evaluation always has, of COCO and of VOC


@dataclass(frozen=True)
class AblationRun:
    """One training run of an ablation.

    Attributes:
        name: name of its row in the table.
        config: YAML file.
        seed: SEED.
        folder: OUTPUT_DIR.
        overrides: KEY VALUE KEY VALUE..., without the keys that the runner sets.
        cfg: config of the run, with its schedule rescaled to the batch size.
    """

    name: str
    config: str
    seed: int
    folder: Path
    overrides: tuple[str, ...]
    cfg: CfgNode

    @property
    def label(self) -> str:
        """Name and seed as ``name/seed_n``."""
        return f"{self.name}/{self.folder.name}"

    @property
    def iterations(self) -> int:
        """Number of iterations of the run."""
        return self.cfg.SOLVER.MAX_ITER


def plan_runs(
    configs: Sequence[str],
    seeds: Sequence[int],
    output: Path,
    overrides: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[AblationRun]:
    """Plan all runs; the first seed of every config comes before the second seed of any.

    Args:
        configs: YAML files, one per row of the table.
        seeds: seeds of each config.
        output: folder; a run is written to ``output/<name>/seed_<seed>``.
        overrides: KEY VALUE pairs for all runs.
        names: names of the rows; by default the stems of the files.

    Raises:
        ConfigError: a config or override is invalid, a name or seed appears twice, or a config has no DATASETS.TEST.
    """
    for key in overrides[::2]:
        if key in _OWN_KEYS:
            raise ConfigError(f"{key} is set for each run by {_OWN_KEYS[key]}: remove it from the overrides")
    names = list(names) or [Path(config).stem for config in configs]
    if len(names) != len(configs):
        raise ConfigError(f"--names: {len(names)} names for {len(configs)} configs")
    for kind, values in (("names", names), ("seeds", list(seeds))):
        if len(set(values)) < len(values):
            raise ConfigError(f"the {kind} must differ, got {values}; name configs with --names")
    broken = [name for name in names if not re.fullmatch(r"[\w-][\w.-]*", name)]
    if broken or any(seed < 0 for seed in seeds):
        raise ConfigError(f"a name consists of letters, digits, '_', '-' and '.', a seed is 0 or more; got {broken}")
    return [
        _plan(config, seed, output / name / f"seed_{seed}", tuple(overrides), name)
        for seed in seeds
        for config, name in zip(configs, names, strict=True)
    ]


def _plan(config: str, seed: int, folder: Path, overrides: tuple[str, ...], name: str) -> AblationRun:
    cfg = load_config(add_depthbox_config, config, [*overrides, "OUTPUT_DIR", str(folder), "SEED", str(seed)])
    if not cfg.DATASETS.TEST:
        raise ConfigError(f"{config}: DATASETS.TEST is empty, so that there is nothing to compare; add a test set")
    return AblationRun(name, config, seed, folder, overrides, scale_schedule(cfg))


def check_settings(run: AblationRun) -> None:
    """Raise ConfigError if the run's folder contains a run with other settings.

    Keys that only one of the two configs has are ignored, because a newer version may have added them.
    """
    try:
        before = (run.folder / "config.yaml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    changed = [
        line
        for line in compare_configs(before, run.cfg.dump())
        if line.split(" ", 1)[0] not in _HARMLESS and "(none)" not in line
    ]
    if changed:
        raise ConfigError(
            f"{run.folder} contains a run with other settings: {'; '.join(changed)}. Choose another --output, or "
            "remove that folder"
        )


def is_started(run: AblationRun) -> bool:
    """Return True if the run has been started and can be resumed."""
    return (run.folder / "config.yaml").is_file()


def read_final_metrics(folder: Path) -> dict[str, Any] | None:
    """Return the metrics of the evaluation after a run's last iteration; None if the run is not finished."""
    try:
        cfg = read_yaml(folder / "config.yaml")
        length = int(cfg["SOLVER"]["MAX_ITER"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if read_evaluation(folder)[0] < length:
        return None
    rows = _last_rows(folder)
    found = [row for row in rows if any(_find_key(row, key) is not None for key in _HEADLINES)]
    return found[-1] if found and found[-1]["iteration"] >= length - 1 else None


def count_iterations(folder: Path) -> int:
    """Return the number of iterations that a run has logged."""
    rows = _last_rows(folder)
    return rows[-1]["iteration"] + 1 if rows else 0


def find_value(row: Mapping[str, Any], metric: str) -> float | None:
    """Return a metric such as "segm/AP" of a line of metrics.json; None if it has no finite value.

    If several datasets or networks were tested, their keys start with a name; the first matching key is used.
    """
    key = _find_key(row, metric)
    return None if key is None else row[key]


def _find_key(row: Mapping[str, Any], metric: str) -> str | None:
    if metric in row:
        return metric
    return next((key for key in row if key.endswith(f"/{metric}")), None)


def _last_rows(folder: Path) -> list[dict[str, Any]]:
    """Read the last lines of metrics.json; truncated lines are skipped."""
    try:
        with open(folder / "metrics.json", "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "iteration" in row:
            rows.append(row)
    return rows
