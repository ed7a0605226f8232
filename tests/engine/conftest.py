"""Fixtures of the engine's tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for engine_toy

from engine_toy import write_dataset

from depthbox.engine.setup import LOGGED


@pytest.fixture(scope="session")
def entry(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A registered data set of seven small images, as an entry of DATASETS.COCO_STYLE."""
    return write_dataset(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(autouse=True)
def logs_reach_caplog() -> Iterator[None]:
    """Undo what setup_logging does, so that the next test sees messages again."""
    import logging

    yield
    for name in LOGGED:
        logger = logging.getLogger(name)
        logger.propagate = True
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
