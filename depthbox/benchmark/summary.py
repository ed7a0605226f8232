"""Summary of all measurements: summary.json, summary.md and the plots."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..io.files import atomic_open
from ..io.untrusted.json_files import read_json
from ..reports.machine import device_name
from .comparison import Row
from .plots import save_bars, save_curve
from .report import format_markdown

JSON_FILE, TABLE_FILE = "summary.json", "summary.md"
_PACKAGES = (
    "torch",
    "torchvision",
    "triton",
    "detectron2",
    "numpy",
    "scipy",
    "pillow",
    "opencv-python-headless",
    "scikit-image",
    "pycocotools",
    "faster-coco-eval",
)


@dataclass
class Summary:
    """Rows of the benchmark, with the versions and machines of their measurement.

    Attributes:
        folder: folder of the files.
        quick: True if the inputs are tiny, so that the values are meaningless.
        rows: rows of all operations.
        points: points of the cost over the number of objects.
        machines: device type -> its name, threads, copy bandwidth (bytes/s), rate of matrix products (operations/s).
        failures: ``op``, ``device`` and ``error`` of each failed row.
        cuda_names: ops with a row for CUDA, which appear in the table even if they were not measured.
        commit: commit of the project.
    """

    folder: Path
    quick: bool
    rows: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    cuda_names: tuple[str, ...] = ()
    commit: str = field(default_factory=lambda: read_commit())
    _fresh: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, folder: Path, quick: bool, cuda_names: tuple[str, ...] = ()) -> Summary:
        """Create a summary with the rows of an earlier run in this folder, unless exactly one of the two is quick.

        Raises:
            ValueError: summary.json exists but was not written by a benchmark.
        """
        path = folder / JSON_FILE
        if not path.is_file():
            return cls(folder, quick, cuda_names=cuda_names)
        try:
            content = read_json(path)
            parts = {key: content[key] for key in ("rows", "machines", "failures")}
            was_quick, points = content["quick"], content["objects"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a summary of this tool: delete it, or choose another --output") from error
        if was_quick != quick:
            return cls(folder, quick, cuda_names=cuda_names)
        return cls(folder, quick, points=points, cuda_names=cuda_names, **parts)

    def note_machine(
        self,
        device: torch.device,
        bandwidth: Callable[[torch.device], float],
        rate: Callable[[torch.device], float],
    ) -> None:
        """Measure the peak rates of the device, once per run."""
        if device.type not in self._fresh:
            self._fresh.add(device.type)
            self.machines[device.type] = {
                "name": device_name(device.type),
                "threads": torch.get_num_threads(),
                "copy_bandwidth": bandwidth(device),
                "matrix_rate": rate(device),
            }

    def forget(self, name: str, device: str, is_curve: bool) -> None:
        """Remove the rows, points and failures of an earlier run of this benchmark."""
        if is_curve:
            self.points = [p for p in self.points if p["device"] != device]
        self.rows = [r for r in self.rows if (r["op"], r["device"]) != (name, device)]
        self.failures = [f for f in self.failures if (f["op"], f["device"]) != (name, device)]

    def add(self, row: Row) -> None:
        """Add a row, with its ratios to the lower bounds and the commit."""
        machine = self.machines.get(row["device"], {})
        for kind, best in (("bytes", "copy_bandwidth"), ("operations", "matrix_rate")):
            if f"floor_{kind}" in row and best in machine:
                row[f"floor_{kind}_s"] = row[f"floor_{kind}"] / machine[best]
                row[f"times_floor_{kind}"] = row["ours_s"] / row[f"floor_{kind}_s"]
        row["commit"] = self.commit
        self.rows.append(row)

    def add_point(self, row: Row) -> None:
        """Add a point of the curve."""
        self.points.append(row | {"commit": self.commit})

    def fail(self, name: str, device: str, error: Exception) -> None:
        """Add a failed row."""
        self.failures.append({"op": name, "device": device, "error": f"{type(error).__name__}: {error}"})

    def as_dict(self) -> dict[str, Any]:
        """Return the content of summary.json; infinite and undefined numbers are None."""
        content = {
            "rows": self.rows,
            "objects": self.points,
            "failures": self.failures,
            "quick": self.quick,
            "versions": read_versions(),
            "commit": self.commit,
            "hardware": {device: machine["name"] for device, machine in self.machines.items()},
            "machines": self.machines,
        }
        return _clean(content)

    def write(self) -> None:
        """Write summary.json and summary.md, each of them atomically."""
        content = self.as_dict()
        files = {JSON_FILE: json.dumps(content, indent=1) + "\n", TABLE_FILE: format_markdown(content, self.cuda_names)}
        for name, text in files.items():
            with atomic_open(self.folder / name, tidy=True) as file:
                file.write(text.encode())

    def draw(self) -> None:
        """Draw the plots of the available rows and points."""
        rows = [row for row in self.rows if row.get("speedup") and row["op"] != "infer"]
        if rows:
            save_bars(rows, self.folder / "summary.png")
        for device in sorted({point["device"] for point in self.points}):
            save_curve([p for p in self.points if p["device"] == device], self.folder / f"objects_{device}.png")


def format_row(row: Row) -> str:
    """Format a row as one line of the terminal."""
    label = " ".join(str(row[key]) for key in ("op", "option", "device") if key in row)
    parts = [f"{label:<28}"]
    parts += [f"{row[key]} {unit}" for key, unit in (("objects", "objects"), ("batch", "images")) if key in row]
    parts += [f"{who} {1000 * row[f'{who}_s']:.4g} ms" for who in ("ours", "baseline") if row.get(f"{who}_s")]
    ratios = (("speedup", "speedup"), ("memory_ratio", "memory ratio"))
    parts += [f"{name} {row[key]:.3g}" for key, name in ratios if row.get(key)]
    parts += [f"{row['images_per_s']:.3g} images/s"] if row.get("images_per_s") else []
    return "  ".join(parts + ([row["note"]] if row.get("note") else []))


def read_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect the measurements."""
    from .. import __version__

    found = {"python": platform.python_version(), "depthbox": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | ({"cuda": torch.version.cuda} if torch.version.cuda else {})


def read_commit() -> str:
    """Return the project's commit, with a + if tracked files differ from it; "unknown" outside a repository."""
    root = Path(__file__).resolve().parents[2]
    found = []
    for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no")):
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            return "unknown"
        found.append(done.stdout.strip())
    return found[0] + ("+" if found[1] else "")


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
