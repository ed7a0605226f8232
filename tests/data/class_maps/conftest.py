"""Fixtures of the sources of class maps."""

import numpy as np
import pytest
from class_map_toy import make_cells
from numpy.typing import NDArray

from depthbox.data.points import ImagePoints


@pytest.fixture
def cells() -> tuple[NDArray[np.uint8], NDArray[np.bool_], ImagePoints]:
    """Bright discs on a dark background: image, foreground, points off the centers."""
    return make_cells()
