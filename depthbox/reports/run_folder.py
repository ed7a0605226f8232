"""Folder of a training run: reading its files, and recording command, versions and machine in run.json."""

from __future__ import annotations

import datetime
import json
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..io.files import atomic_open
from ..io.untrusted.json_files import parse_json
from ..io.yaml_files import parse_yaml
from ..visualization.curves import parse_record, read_metrics
from .machine import collect_machine_facts

NOTE = "run.json"
_LOG_LINE = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] (\S+) (\w+): (.*)$")
_MAX_BYTES = 2**30  # of a file of the run that are read
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

    Unknown facts about the machine are only logged, so that they do not stop training.

    Raises:
        WriteError: the file cannot be written.
    """
    path = Path(folder) / NOTE
    if resume and path.is_file():
        return
    facts: Mapping[str, str] = {}
    try:
        facts = collect_machine_facts()
    except Exception as error:
        logging.getLogger(__name__).warning("The facts about this machine are unknown: %s", error)
    note = {"command": command, "started": _now(), "facts": facts}
    with atomic_open(path) as file:
        file.write(json.dumps(note, indent=1).encode() + b"\n")


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
    note = _parse(folder / NOTE, partial(parse_json, name=NOTE))
    facts = note["facts"] if isinstance(note.get("facts"), dict) else log.facts
    config = _parse(folder / "config.yaml", partial(parse_yaml, name="config.yaml"))
    return RecordedRun(
        folder=folder,
        series=series,
        not_finite=_find_not_finite(folder / "metrics.json"),
        config=config,
        config_text=_read_text(folder / "config.yaml"),
        command=str(note.get("command") or log.command),
        facts={
            str(key): str(value) for key, value in (facts if facts and isinstance(facts, dict) else log.facts).items()
        },
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
    """Return the text of a file, of a large one the last part; "" if it does not exist."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_BYTES))
        return file.read(_MAX_BYTES).decode("utf-8", errors="replace")


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
        record = parse_record(line)
        if record is None:
            continue  # the last line may be incomplete
        for name, value in record.items():
            watched = "loss" in name or name.startswith(("raw/", "health/"))
            if watched and (value is None or (isinstance(value, float) and not math.isfinite(value))):
                first.setdefault(name, record["iteration"])
    return first


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
