"""Folder of a training run: reading its files, and recording command, versions and machine in run.json."""

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm

from .. import __version__
from ..io.files import atomic_open
from ..io.yaml_files import parse_yaml
from ..visualization.curves import read_metrics

NOTE = "run.json"
_PACKAGES = ("torch", "torchvision", "detectron2", "numpy", "timm")
_LOG_LINE = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] (\S+) (\w+): (.*)$")
_MAX_MESSAGES = 40  # of a log; the last ones are kept


@dataclass(frozen=True)
class RunLog:
    """Content of log.txt.

    Attributes:
        command: command of the first run, "" = unknown.
        seed: random seed, None = unknown.
        facts: versions and machine.
        messages: last warnings and errors.
        begin, end: times of the first and last message.
    """

    command: str = ""
    seed: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    begin: str = ""
    end: str = ""


@dataclass(frozen=True)
class RecordedRun:
    """Content of the folder of a run, finished or not.

    Attributes:
        folder: folder of the run.
        series: metric -> (iteration, value).
        not_finite: loss or health statistic -> first iteration at which it was infinite or NaN.
        config: tree of config.yaml; empty if there is none.
        config_text: text of config.yaml.
        command: command that started the run, "" = unknown.
        facts: versions and machine.
        seed: random seed, None = unknown.
        messages: warnings and errors in the log.
        begin, end: times of the first and last message in the log.
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
        """Return the value of a config key such as "SOLVER.MAX_ITER".

        The default is returned for a missing key, and for a value of another type than the default, if it has one: a
        config that was edited or damaged must not prevent the report.
        """
        return _find(self.config, key, default)

    def names(self, key: str) -> list[str]:
        """Return the texts in the list of a config key such as "DATASETS.TEST"."""
        return [name for name in self.setting(key, []) if isinstance(name, str)]


def _find(config: Mapping[str, Any], key: str, default: Any = None) -> Any:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    fits = default is None or (isinstance(node, type(default)) and not isinstance(node, bool))
    return node if fits else default


def note_run(folder: str | os.PathLike[str], command: str, resume: bool) -> None:
    """Write run.json with the command, versions and machine; a resumed run keeps its first one.

    A failure is only logged, so it does not stop training.
    """
    path = Path(folder) / NOTE
    if resume and path.is_file():
        return
    try:
        note = {"command": command, "started": _now(), "facts": collect_machine_facts()}
        with atomic_open(path) as file:
            file.write(json.dumps(note, indent=1).encode() + b"\n")
    except Exception as error:
        logging.getLogger(__name__).warning("%s cannot be written: %s", path, error)


def collect_machine_facts() -> dict[str, str]:
    """Return the versions of the main packages, the commit of a checkout, and the machine."""
    facts = {"DepthBox": __version__}
    if commit := _find_commit():
        facts["commit"] = commit
    facts["Python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    facts["system"] = platform.platform()
    facts["processor"] = device_name("cpu")
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        facts["GPU"] = ", ".join(f"{device.name}, {device.total_memory / 2**30:.0f} GiB" for device in devices)
    facts["processes"] = str(comm.get_world_size())
    return facts


def device_name(device: str) -> str:
    """Return the name of a device, such as "NVIDIA H200" or "AMD EPYC 7763, 8 cores"."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", _read_text(Path("/proc/cpuinfo")), re.MULTILINE)
    except OSError:
        match = None
    name = match[1].strip() if match else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def read_run(folder: str | os.PathLike[str]) -> RecordedRun:
    """Read the folder of a run; only metrics.json is required.

    Raises:
        FileNotFoundError: the folder or its metrics.json does not exist.
        ValueError: metrics.json has no numbers yet, or metrics.json, run.json or config.yaml is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist; name the OUTPUT_DIR of a training run")
    series = read_metrics(folder)
    if not series:
        raise ValueError(f"{folder / 'metrics.json'} has no numbers yet; wait until training has written some")
    log = _read_log(folder / "log.txt")
    note = _parse(folder / NOTE, json.loads)
    config = _parse(folder / "config.yaml", partial(parse_yaml, name="config.yaml"))
    return RecordedRun(
        folder=folder,
        series=series,
        not_finite=_find_not_finite(folder / "metrics.json"),
        config=config,
        config_text=_read_text(folder / "config.yaml"),
        command=str(note.get("command") or log.command),
        facts={str(key): str(value) for key, value in dict(note.get("facts") or log.facts).items()},
        seed=(_find(config, "SEED", -1) if "SEED" in config else None) if log.seed is None else log.seed,
        messages=log.messages,
        begin=log.begin,
        end=log.end,
    )


def _parse(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Return the content of a JSON or YAML file; {} if the file does not exist."""
    try:
        tree = parse(_read_text(path) or "{}")
    except ValueError as error:
        raise ValueError(f"{path} is broken ({' '.join(str(error).split())}); move it away") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} is broken (it does not hold a mapping); move it away")
    return tree


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_log(path: Path) -> RunLog:
    text = _read_text(path)
    found = [match for line in text.splitlines() if (match := _LOG_LINE.match(line))]
    commands = [match[4].removeprefix("Run: ") for match in found if match[4].startswith("Run: ")]
    problems = [f"{m[1]} {m[3]} {m[4]}" for m in found if m[3] in ("WARNING", "ERROR", "CRITICAL")]
    table = re.findall(r"^(sys\.platform|Python|PyTorch|detectron2|torchvision|GPU \d[\d,]*) {2,}(.+)$", text, re.M)
    seed = re.search(r"Random seed (\d+)", text)
    return RunLog(
        command=commands[0] if commands else "",
        seed=int(seed[1]) if seed else None,
        facts={name: value.split(" @")[0].strip() for name, value in table},
        messages=tuple(problems[-_MAX_MESSAGES:]),
        begin=found[0][1] if found else "",
        end=found[-1][1] if found else "",
    )


def _find_not_finite(path: Path) -> dict[str, int]:
    """Return the losses and health statistics that are null, infinite or NaN, with the first iteration."""
    first: dict[str, int] = {}
    for line in _read_text(path).splitlines():
        try:
            record = json.loads(line)
            iteration = int(record["iteration"])
        except (ValueError, KeyError, TypeError):
            continue  # the last line may be incomplete
        for name, value in record.items():
            watched = "loss" in name or name.startswith(("raw/", "health/"))
            if watched and (value is None or not math.isfinite(value)):
                first.setdefault(name, iteration)
    return first


def _find_commit() -> str:
    """Return the commit of the checkout that contains the package, "" outside a checkout."""
    try:
        root = Path(__file__).resolve().parents[2]
        words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        if not (root / ".git").exists():
            return ""
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
