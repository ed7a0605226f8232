"""The numbers and panels of a training for Weights & Biases."""

from __future__ import annotations

import importlib.util
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage

from ..config.loading import ConfigError
from ..io.files import atomic_open
from .image_logging import Panel

MODES = ("online", "offline")
RUN_ID = "wandb_run_id"  # file in OUTPUT_DIR: a resumed training goes on in the run that it began


def check_wandb(cfg: CfgNode) -> None:
    """Say before a training begins that WANDB cannot be served.

    Raises:
        ConfigError: a mode that there is not, or no project.
        ImportError: wandb is not installed.
    """
    node = cfg.WANDB
    if not node.ENABLED:
        return
    if node.MODE not in MODES:
        raise ConfigError(f"WANDB.MODE is one of {MODES}, not '{node.MODE}'")
    if not node.PROJECT:
        raise ConfigError("WANDB.PROJECT is empty: name the project that the run belongs to")
    if importlib.util.find_spec("wandb") is None:
        raise ImportError(
            "WANDB.ENABLED is True, but wandb is not installed: pip install 'depthbox[wandb]', or set WANDB.ENABLED "
            "False"
        )


class WandbWriter(EventWriter):
    """Medians of the numbers of an iteration, and the newest panels; the x axis is the iteration."""

    def __init__(
        self, cfg: CfgNode, window: int, start_iter: int = 0, panels: Callable[[], Sequence[Panel]] = tuple
    ) -> None:
        """
        Args:
            cfg: of the run; all of it is noted with the run.
            window: iterations of the medians.
            start_iter: the first iteration; above 0 the run whose id OUTPUT_DIR holds is continued.
            panels: gives the panels drawn last.

        Raises:
            ConfigError: Weights & Biases cannot be reached, or nobody is logged in.
        """
        import wandb

        self._wandb = wandb
        self._window, self._panels = window, panels
        self._written, self._drawn = start_iter - 1, start_iter - 1
        folder = Path(cfg.OUTPUT_DIR)
        number, online = _run_id(folder / RUN_ID, start_iter > 0), cfg.WANDB.MODE == "online"
        try:
            self._run = wandb.init(
                project=cfg.WANDB.PROJECT,
                name=cfg.WANDB.NAME or folder.resolve().name,
                dir=str(folder),
                mode=cfg.WANDB.MODE,
                config=yaml.safe_load(cfg.dump()),
                id=number,
                resume="allow" if online else None,
                settings=wandb.Settings(console="off", silent=not online),  # log.txt has what the console shows
            )
        except wandb.Error as error:
            raise ConfigError(
                f"Weights & Biases cannot be used: {error}. Log in by `wandb login`, or set WANDB.MODE offline and "
                "send the run later"
            ) from error
        # Resumed runs repeat iterations, which wandb's own step counter would drop.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def write(self) -> None:
        rows: dict[int, dict[str, Any]] = defaultdict(dict)
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(self._window).items():
            if iteration > self._written:
                rows[iteration][name] = value
        for panel in self._panels():
            if panel.iteration > self._drawn:
                rows[panel.iteration][panel.name] = self._wandb.Image(panel.picture)
        self._drawn = max((panel.iteration for panel in self._panels()), default=self._drawn)
        for iteration in sorted(rows):
            self._run.log({"iteration": iteration, **rows[iteration]})
            self._written = max(self._written, iteration)

    def close(self) -> None:
        self._run.finish()


def _run_id(path: Path, resumed: bool) -> str:
    """The id of this training's run; kept in a file, so that it outlives the process."""
    if resumed and path.is_file():
        return path.read_text(encoding="utf-8").strip()
    number = uuid.uuid4().hex[:8]
    with atomic_open(path) as file:
        file.write(number.encode() + b"\n")
    return number
