"""Shared setup of all tests: one thread, fixed seeds, folders with real images and reference numbers."""

import logging
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels run as Python; must be set before Triton is imported
sys.path.insert(0, str(Path(__file__).parent / "toys"))  # modules that several test folders share
torch.set_num_threads(1)  # pytest-xdist runs tests side by side; more threads only make them wait for each other


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """Start every test with the usual handlers: a background job of a shell and nohup ignore some signals."""
    handlers = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
    before = {name: signal.signal(getattr(signal, name), handler) for name, handler in handlers.items()}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start every test from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def logs_reach_caplog() -> Iterator[None]:
    """Undo what a run's logging sets up, so that the next test sees messages again."""
    yield
    setup = sys.modules.get("depthbox.engine.run")
    for name in setup.LOGGED if setup else ():
        logger = logging.getLogger(name)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


def _folder_from(variable: str) -> Path:
    value = os.environ.get(variable, "")
    if not value:
        pytest.skip(f"{variable} is not set")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"{variable} is {value!r}, which is not a folder: correct it or unset it")
    return folder


@pytest.fixture(scope="session")
def test_data_dir() -> Path:
    """The folder DEPTHBOX_TEST_DATA with real images; the test is skipped when that is not set."""
    return _folder_from("DEPTHBOX_TEST_DATA")


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """The folder DEPTHBOX_PARITY_DATA with recorded numbers; the test is skipped when that is not set."""
    return _folder_from("DEPTHBOX_PARITY_DATA")


@pytest.fixture(scope="session")
def entry(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A registered dataset of seven small images, as an entry of DATASETS.COCO_STYLE."""
    from engine_toy import write_dataset

    return write_dataset(tmp_path_factory.mktemp("toy") / "data")
