"""What a run leaves in its folder, and what it notes there about itself: command, versions, machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import logging
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.utils import comm

from .. import __version__
from ..io.files import atomic_open
from ..visualization.curves import read_metrics

NOTE = "run.json"
_PACKAGES = ("torch", "torchvision", "detectron2", "numpy", "timm")
_LOG_LINE = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] (\S+) (\w+): (.*)$")


@dataclass(frozen=True)
class FinishedRun:
    """A run as its folder tells it.

    Attributes:
        folder: of the run.
        series: metric -> (iteration, value).
        not_finite: loss or sign of health -> the first iteration at which it was infinite or NaN.
        config: of config.yaml as a tree, and as text; empty where there is none.
        command: that began the run, "" where it is not known.
        facts: about versions and machine.
        seed: that was used, None where it is not known.
        messages: warnings and errors of the log.
        begin, end: times of the log's first and last message.
    """

    folder: Path
    series: Mapping[str, list[tuple[int, float]]]
    not_finite: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    command: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    messages: tuple[str, ...] = ()
    begin: str = ""
    end: str = ""

    def setting(self, key: str, default: Any = None) -> Any:
        """The value of a config key such as "SOLVER.MAX_ITER"."""
        node: Any = self.config
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                return default
            node = node[part]
        return node


def note_run(folder: str | os.PathLike[str], command: str, resume: bool) -> None:
    """Write run.json: how the run was called, with what, and where. A resumed run keeps what it began with.

    A failure is logged only: a note is not worth a training.
    """
    path = Path(folder) / NOTE
    if resume and path.is_file():
        return
    try:
        note = {"command": command, "started": _now(), "facts": machine_facts()}
        with atomic_open(path) as file:
            file.write(json.dumps(note, indent=1).encode() + b"\n")
    except Exception as error:
        logging.getLogger(__name__).warning("%s cannot be written: %s", path, error)


def machine_facts() -> dict[str, str]:
    """Versions of what matters, the commit of a checkout, and the machine."""
    facts = {"DepthBox": __version__}
    if commit := _commit():
        facts["commit"] = commit
    facts["Python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    facts["system"] = platform.platform()
    facts["processor"] = f"{_processor()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        facts["GPU"] = ", ".join(f"{device.name}, {device.total_memory / 2**30:.0f} GiB" for device in names)
    facts["processes"] = str(comm.get_world_size())
    return facts


def read_run(folder: str | os.PathLike[str]) -> FinishedRun:
    """Read the folder of a run; only metrics.json must be there.

    Raises:
        FileNotFoundError: no such folder, or no metrics.json in it.
        ValueError: a broken metrics.json, run.json or config.yaml, or no numbers yet.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; name the OUTPUT_DIR of a training")
    series = read_metrics(folder)
    if not series:
        raise ValueError(f"{folder / 'metrics.json'} holds no numbers yet; wait until the training has written some")
    text = _read(folder / "config.yaml")
    log = _read_log(folder / "log.txt")
    note = _parse(folder / NOTE, json.loads)
    seed = re.search(r"Random seed (\d+)", log["text"])
    config = _parse(folder / "config.yaml", yaml.safe_load)
    return FinishedRun(
        folder=folder,
        series=series,
        not_finite=_not_finite(folder / "metrics.json"),
        config=config,
        config_text=text,
        command=str(note.get("command") or log["command"]),
        facts={str(k): str(v) for k, v in dict(note.get("facts") or log["facts"]).items()},
        seed=int(seed[1]) if seed else config.get("SEED"),
        messages=log["messages"],
        begin=log["begin"],
        end=log["end"],
    )


def _parse(path: Path, parse: Any) -> dict[str, Any]:
    """The tree of a file, empty where there is none."""
    try:
        tree = parse(_read(path) or "{}")
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is broken ({' '.join(str(error).split())}); move it away") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} is broken (it holds no names with values); move it away")
    return tree


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_log(path: Path) -> dict[str, Any]:
    """Command, machine, times and warnings of a log; the command is that of its first run."""
    text = _read(path)
    found = [match for line in text.splitlines() if (match := _LOG_LINE.match(line))]
    commands = [match[4].removeprefix("Run: ") for match in found if match[4].startswith("Run: ")]
    bad = [f"{m[1]} {m[3]} {m[4]}" for m in found if m[3] in ("WARNING", "ERROR", "CRITICAL")]
    table = re.findall(r"^(sys\.platform|Python|PyTorch|detectron2|torchvision|GPU \d[\d,]*) {2,}(.+)$", text, re.M)
    return {
        "text": text,
        "command": commands[0] if commands else "",
        "messages": tuple(bad[-40:]),
        "facts": {name: value.split(" @")[0].strip() for name, value in table},
        "begin": found[0][1] if found else "",
        "end": found[-1][1] if found else "",
    }


def _not_finite(path: Path) -> dict[str, int]:
    """Losses and signs of health that are null (or NaN) in a line, with the first iteration."""
    first: dict[str, int] = {}
    for line in _read(path).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line may be torn
        for name, value in record.items():
            watched = "loss" in name or name.startswith(("raw/", "health/"))
            if watched and (value is None or not math.isfinite(value)):
                first.setdefault(name, int(record["iteration"]))
    return first


def _commit() -> str:
    """The commit of the checkout that the package lies in, "" where there is none."""
    try:
        here = Path(__file__).resolve().parents[2]
        words = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        if not (here / ".git").exists():
            return ""
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _processor() -> str:
    match = re.search(r"^model name\s*: (.+)$", _read(Path("/proc/cpuinfo")), re.M)
    return match[1].strip() if match else platform.processor() or platform.machine()


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
