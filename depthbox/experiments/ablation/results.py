"""Results of an ablation: one table of its finished runs, as JSON, Markdown and a plot."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from tabulate import tabulate

from ...data.datasets import register_from_config
from ...io.files import atomic_open
from ...io.untrusted.json_files import read_json
from ...reports.machine import device_name
from .figures import save_ablation_plot
from .plan import ORIGIN, AblationRun, find_value, read_final_metrics

ROOT = Path(__file__).resolve().parents[3]
METRICS = {"mask_AP": "segm/AP", "mask_AP50": "segm/AP50", "mask_AP75": "segm/AP75", "box_AP": "bbox/AP"}
SHARED = ("commit", "hardware", "generator", "overrides")  # expected to be equal for all runs
JSON_FILE, TABLE_FILE, PLOT_FILE = "ablation.json", "ablation.md", "ablation.png"
_INFO_BYTES = 1 << 16  # length of the head of a COCO JSON file in which "info" is searched
_HEADERS = ("name", "seeds", "mask AP", "AP50", "AP75", "box AP", "gain")


def write_origin(run: AblationRun, device: str) -> None:
    """Write the origin of a run into its folder: config, overrides, commit, hardware, training data."""
    origin = {
        "config": _in_project(run.config),
        "overrides": " ".join(run.overrides),
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "hardware": device_name(device),
        "generator": read_generator(run.cfg),
    }
    with atomic_open(run.folder / ORIGIN, tidy=True) as file:
        file.write(json.dumps(origin, indent=1).encode())


def gather(runs: Sequence[AblationRun]) -> dict[str, Any]:
    """Collect the content of ``ablation.json``: one row per name, with the finished seeds.

    A metric that an evaluation could not compute is None. Origins that differ between runs are joined by " | ".
    """
    rows: dict[str, dict[str, Any]] = {}
    origins: list[dict[str, Any]] = []
    for run in runs:
        row = rows.setdefault(run.name, {"name": run.name, "config": _in_project(run.config), "seeds": []})
        for key in METRICS:
            row.setdefault(key, [])
        values = read_final_metrics(run.folder)
        if values is None:
            continue
        row["seeds"].append(run.seed)
        origins.append(_read_origin(run))
        for key, metric in METRICS.items():
            row[key].append(find_value(values, metric))
    shared = {
        key: " | ".join(dict.fromkeys(str(origin.get(key, "unknown")) for origin in origins)) if origins else "unknown"
        for key in SHARED
    }
    changed = any(origin.get("uncommitted_changes") for origin in origins)
    return {**shared, "uncommitted_changes": changed, "rows": list(rows.values())}


def write_results(content: dict[str, Any], folder: Path) -> None:
    """Write ablation.json, ablation.md and, if a run is finished, ablation.png."""
    about = [f"- {key}: {content[key]}" for key in SHARED if content[key]]
    about += ["- tracked files differed from the commit"] if content["uncommitted_changes"] else []
    text = "\n".join(["# Ablation", "", *about, "", format_table(content, "pipe"), ""])
    for name, data in ((JSON_FILE, json.dumps(content, indent=1) + "\n"), (TABLE_FILE, text)):
        with atomic_open(folder / name, tidy=True) as file:
            file.write(data.encode())
    if any(row["seeds"] for row in content["rows"]):
        save_ablation_plot(content["rows"], folder / PLOT_FILE)


def format_table(content: dict[str, Any], style: str = "simple") -> str:
    """Format the table: mean±standard deviation over the seeds, and the gain in mean mask AP over the first row."""
    rows, first = content["rows"], _mean(content["rows"][0]["mask_AP"])
    lines = []
    for row in rows:
        mean = _mean(row["mask_AP"])
        known = row is not rows[0] and not math.isnan(mean - first)
        figures = [_spread(row[key]) for key in METRICS]
        lines.append([row["name"], len(row["seeds"]), *figures, f"{mean - first:+.2f}" if known else ""])
    right = ("left", *["right"] * (len(_HEADERS) - 1))
    return tabulate(lines, _HEADERS, tablefmt=style, colalign=right, disable_numparse=True)


def read_generator(cfg: CfgNode) -> str:
    """Return the "info" of the training set's JSON file as text; "unknown" if it has none."""
    register_from_config(cfg)
    path = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("json_file") if cfg.DATASETS.TRAIN else None
    try:
        with open(path or os.devnull, "rb") as file:
            head = file.read(_INFO_BYTES).decode(errors="replace")
        info = json.JSONDecoder().raw_decode(head, re.search(r'"info":\s*', head).end())[0]  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return "unknown"
    parts = [str(info.get("description", ""))] if isinstance(info, dict) else []
    parts += [f"{key} {info[key]}" for key in ("version", "seed", "split", "height", "width") if parts and key in info]
    return ", ".join(part for part in parts if part) or "unknown"


def _git(*words: str) -> str | None:
    """Return the output of a git command in the project's folder; None outside a repository."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _read_origin(run: AblationRun) -> dict[str, Any]:
    try:
        return read_json(run.folder / ORIGIN)
    except (OSError, ValueError):
        return {}


def _in_project(path: str) -> str:
    """Return a path relative to the project if the file belongs to it, else the path unchanged."""
    resolved = Path(path).resolve()
    return resolved.relative_to(ROOT).as_posix() if resolved.is_relative_to(ROOT) else path


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float:
    known = _known(values)
    return statistics.fmean(known) if known else math.nan


def _spread(values: Sequence[float | None]) -> str:
    known = _known(values)
    if not known:
        return "-"
    return f"{_mean(known):.2f}" + (f"±{statistics.stdev(known):.2f}" if len(known) > 1 else "")
