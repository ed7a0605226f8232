"""A dataset with a trained network, made once for all tests of this folder."""

from pathlib import Path

import pytest
from fuzz_toy import make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images, boxes, depth and a training run; tests copy it."""
    folder = tmp_path_factory.mktemp("base") / "case"
    make_base(folder)
    return folder
