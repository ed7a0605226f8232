"""Folder of uploads: removed at the end, and at the next start if the server was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from depthbox.app.folder import make_upload_folder, remove_stale_folders


def test_uploads_are_removed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "mine")
    with make_upload_folder() as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b.png").write_bytes(b"x")
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert not folder.exists() and os.environ["GRADIO_TEMP_DIR"] == "mine"
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    with make_upload_folder():
        pass
    assert "GRADIO_TEMP_DIR" not in os.environ


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder of a server that was killed."""
    code = (
        "import time; from depthbox.app.folder import *\n"
        "with make_upload_folder() as folder: print(folder, flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (folder / "photo").write_bytes(b"x")
        assert folder.parent == tmp_path and not remove_stale_folders(tmp_path)  # it still runs
        process.send_signal(signal.SIGKILL)
    return folder


def test_folders_of_killed_servers_are_removed(killed: Path, tmp_path: Path) -> None:
    assert killed.stat().st_mode & 0o077 == 0
    assert remove_stale_folders(tmp_path) == [killed] and not killed.exists()


def test_folders_of_others_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / ".lock").touch()
    (tmp_path / "depthbox_app_link").symlink_to(target)
    (tmp_path / "depthbox_app_full").mkdir()
    (tmp_path / "depthbox_app_full" / "x").touch()  # without a lock file: of another program
    (tmp_path / "depthbox_app_new").mkdir()  # of a server that is starting
    old = tmp_path / "depthbox_app_old"
    old.mkdir()
    os.utime(old, (0, time.time() - 3600))
    assert remove_stale_folders(tmp_path) == [old]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "depthbox_app_full", "depthbox_app_link", "depthbox_app_new", "mine"
    ]  # fmt: skip
