"""Fixtures of the engine's tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for engine_toy

from engine_toy import write_dataset


@pytest.fixture(scope="session")
def entry(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A registered data set of seven small images, as an entry of DATASETS.COCO_STYLE."""
    return write_dataset(tmp_path_factory.mktemp("toy") / "data")
