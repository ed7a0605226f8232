"""Fixture of the clean dataset."""

from pathlib import Path

import pytest
from check_toy import write_clean


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_clean(tmp_path)
    return tmp_path
