"""Files to which whole records are appended."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ...io.files import explain_write_errors, make_folder


class AppendedFile:
    """A file that grows by whole records: a record that does not fit on the disk leaves nothing behind.

    Records are not buffered, so that none is lost if the process is killed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: the file; it is created with its folder if it is missing.

        Raises:
            WriteError: the file cannot be opened.
        """
        self.path = Path(path)
        make_folder(self.path.parent)
        with explain_write_errors(self.path):
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed by close)

    def append(self, record: bytes) -> None:
        """Append a record.

        Raises:
            WriteError: it cannot be written; the file is as before.
        """
        with explain_write_errors(self.path, len(record)):
            size = os.fstat(self._file.fileno()).st_size
            try:
                rest = memoryview(record)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(size)
                raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
