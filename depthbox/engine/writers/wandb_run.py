"""Writer of metrics and panels to Weights & Biases."""

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

from ...config.loading import ConfigError
from ...io.files import atomic_open
from ..image_logging import Panel

MODES = ("online", "offline")
RUN_ID = "wandb_run_id"  # file in OUTPUT_DIR with the id of the W&B run, which a resumed training run continues


def check_wandb(cfg: CfgNode) -> None:
    """Check the WANDB keys, before training starts.

    Raises:
        ConfigError: an unknown mode, or no project.
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
    """Writer of the medians of an iteration and the newest panels; the x axis is the iteration."""

    def __init__(
        self, cfg: CfgNode, window: int, start_iter: int = 0, panels: Callable[[], Sequence[Panel]] = tuple
    ) -> None:
        """
        Args:
            cfg: config of the run, which is logged completely.
            window: of the medians, in iterations.
            start_iter: first iteration; above 0 the W&B run of the id in OUTPUT_DIR is continued.
            panels: returns the panels that were drawn last.

        Raises:
            ConfigError: Weights & Biases is unreachable, or the login is missing.
        """
        import wandb

        self._wandb = wandb
        self._window, self._panels = window, panels
        self._written, self._drawn = start_iter - 1, start_iter - 1
        folder = Path(cfg.OUTPUT_DIR)
        run_id, online = _read_or_create_id(folder / RUN_ID, start_iter > 0), cfg.WANDB.MODE == "online"
        try:
            self._run = wandb.init(
                project=cfg.WANDB.PROJECT,
                name=cfg.WANDB.NAME or folder.resolve().name,
                dir=str(folder),
                mode=cfg.WANDB.MODE,
                config=yaml.safe_load(cfg.dump()),
                id=run_id,
                resume="allow" if online else None,
                settings=wandb.Settings(console="off", silent=not online),
            )
        except wandb.Error as error:
            raise ConfigError(
                f"Weights & Biases cannot be used: {error}. Log in with `wandb login`, or set WANDB.MODE offline and "
                "upload the run later"
            ) from error
        # Resumed runs repeat iterations, which the step counter of wandb would drop.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def write(self) -> None:
        """Log the metrics and panels since the last call."""
        values: dict[int, dict[str, Any]] = defaultdict(dict)
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(self._window).items():
            if iteration > self._written:
                values[iteration][name] = value
        for panel in self._panels():
            if panel.iteration > self._drawn:
                values[panel.iteration][panel.name] = self._wandb.Image(panel.image)
        self._drawn = max((panel.iteration for panel in self._panels()), default=self._drawn)
        for iteration in sorted(values):
            self._run.log({"iteration": iteration, **values[iteration]})
            self._written = max(self._written, iteration)

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()


def _read_or_create_id(path: Path, resumed: bool) -> str:
    """Return the id of the W&B run, which is stored in a file for resuming."""
    if resumed and path.is_file():
        return path.read_text(encoding="utf-8").strip()
    run_id = uuid.uuid4().hex[:8]
    with atomic_open(path) as file:
        file.write(run_id.encode() + b"\n")
    return run_id
