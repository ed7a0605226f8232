"""Start of a run in its folder: an earlier run is set aside, and put back if the new one is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..checkpoint.earlier_runs import is_run, read_configs, restore_run, set_aside_run


@contextlib.contextmanager
def start_run(
    folder: Path, write: Callable[[], Sequence[Path]], has_begun: Callable[[Path], bool] = is_run
) -> Iterator[None]:
    """Set aside an earlier run, and write the files of the new one, which begins while the block runs.

    If the block ends with an error before the new run has begun, its files are removed and the earlier run is put back.

    Args:
        folder: OUTPUT_DIR.
        write: writes the files that the run reads, and returns their paths.
        has_begun: whether the new run in a folder has begun.
    """
    configs = read_configs(folder)
    earlier = set_aside_run(folder)
    written = write()
    try:
        yield
    except BaseException:
        if not has_begun(folder):
            _remove(written)
            if earlier is not None:
                restore_run(folder, earlier, configs)
        raise


def _remove(written: Sequence[Path]) -> None:
    """Remove files, and their folders if they are empty then."""
    for path in written:
        path.unlink(missing_ok=True)
    for folder in dict.fromkeys([path.parent for path in written] + [path.parent.parent for path in written]):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
