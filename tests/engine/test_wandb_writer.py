"""Offline logging to Weights & Biases, read back from its files."""

import importlib.util
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from detectron2.utils.events import EventStorage
from engine_toy import toy_config

from depthbox.config.loading import ConfigError
from depthbox.engine.image_logging import Panel
from depthbox.engine.run import run
from depthbox.engine.writers.wandb_run import RUN_ID, WandbWriter, check_wandb

BLOCK, HEADER = 32768, 7  # of the log format of offline runs


def records(folder: Path) -> Iterator[bytes]:
    """Return the records of the newest offline run in OUTPUT_DIR."""
    file = max(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    data, place, parts = file.read_bytes(), HEADER, []
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        parts.append(data[place + HEADER : place + HEADER + length])
        place += HEADER + length
        if kind in (1, 4):  # a complete record, or the last part of one
            yield b"".join(parts)
            parts = []


def history(folder: Path) -> list[dict[str, str]]:
    """Return each logged step as name -> JSON value. A process of wandb writes the file, perhaps with a delay."""
    from wandb.proto.wandb_internal_pb2 import Record

    deadline = time.monotonic() + 20
    while True:
        messages = [Record.FromString(record) for record in records(folder)]
        if any(message.HasField("exit") for message in messages):
            break
        assert time.monotonic() < deadline, "the run does not end"
        time.sleep(0.05)
    return [
        {item.key or "/".join(item.nested_key): item.value_json for item in message.history.item}
        for message in messages
        if message.HasField("history")
    ]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def test_training_run_is_logged_offline(entry, tmp_path, offline):
    keys = {"WANDB__ENABLED": True, "WANDB__MODE": "offline", "REPORT__ENABLED": False, "WANDB__PROJECT": "boxes"}
    run(toy_config(entry, tmp_path, SOLVER__MAX_ITER=22, SOLVER__STEPS=(9,), **keys))
    steps = history(tmp_path)
    assert [int(step["iteration"]) for step in steps if "total_loss" in step] == [19, 21]
    assert float(steps[0]["total_loss"]) > 0 and "lr" in steps[0]
    content = b"".join(records(tmp_path))
    assert b"boxes" in content and b"BASE_LR" in content  # the project and the config
    assert (tmp_path / RUN_ID).read_text().strip() in next((tmp_path / "wandb").glob("offline-run-*")).name


def test_panels_are_logged_and_a_resumed_run_keeps_its_id(entry, tmp_path, offline):
    cfg = toy_config(entry, tmp_path, WANDB__MODE="offline")
    panel = Panel("panels/image_0", np.zeros((8, 8, 3), np.uint8), 7)
    writer = WandbWriter(cfg, 20, panels=lambda: [panel])
    with EventStorage(7) as storage:
        storage.put_scalar("loss", 2.0)
        writer.write()
        writer.write()  # logs nothing twice
    writer.close()
    steps = history(tmp_path)
    assert len(steps) == 1 and float(steps[0]["loss"]) == 2.0 and int(steps[0]["iteration"]) == 7
    files = list(tmp_path.glob("wandb/offline-run-*/files/media/images/panels/*.png"))
    assert len(files) == 1
    number = (tmp_path / RUN_ID).read_text()
    WandbWriter(cfg, 20, start_iter=8).close()
    assert (tmp_path / RUN_ID).read_text() == number
    WandbWriter(cfg, 20).close()
    assert (tmp_path / RUN_ID).read_text() != number


def test_mistakes_are_named_before_training(entry, tmp_path, monkeypatch):
    cfg = toy_config(entry, tmp_path).clone()  # a file or override with this mode is refused when it is loaded
    cfg.defrost()
    cfg.WANDB.MODE = "nonsense"
    check_wandb(cfg)  # switched off: not checked
    cfg.WANDB.ENABLED = True
    with pytest.raises(ConfigError, match="not 'nonsense'"):
        check_wandb(cfg)
    with pytest.raises(ConfigError, match=r"WANDB\.MODE is 'nonsense', but it must be online or offline"):
        toy_config(entry, tmp_path, WANDB__MODE="nonsense")
    with pytest.raises(ConfigError, match=r"WANDB\.PROJECT is empty"):
        check_wandb(toy_config(entry, tmp_path, WANDB__ENABLED=True, WANDB__PROJECT="''"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"depthbox\[wandb\]"):
        check_wandb(toy_config(entry, tmp_path, WANDB__ENABLED=True))


def test_missing_login_is_named(entry, tmp_path, offline, monkeypatch):
    import wandb

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("api_key not configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigError, match=r"api_key not configured.*WANDB\.MODE offline"):
        WandbWriter(toy_config(entry, tmp_path), 20)
