"""A record is appended as a whole or not at all."""

import resource
import signal

import pytest

from depthbox.engine.writers.append import AppendedFile
from depthbox.io.files import WriteError


def test_a_record_that_does_not_fit_leaves_nothing_behind(tmp_path):
    path = tmp_path / "folder" / "lines"
    file = AppendedFile(path)
    file.append(b"first\n")
    assert path.read_bytes() == b"first\n"  # at once
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(WriteError, match=r"lines cannot be written: File too large"):
            file.append(b"second line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"first\n"
    file.append(b"third\n")
    file.close()
    assert path.read_bytes() == b"first\nthird\n"
