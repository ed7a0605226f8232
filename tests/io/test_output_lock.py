import os
import signal
import subprocess
import sys

import pytest

from depthbox.io.files import WriteError
from depthbox.io.output_lock import OutputInUseError, lock_output

HOLD = """
import sys
from depthbox.io.output_lock import lock_output
with lock_output(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Process that holds the lock of ``tmp_path / "out" / "masks.json"``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out" / "masks.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_process_is_refused_and_told_the_first(tmp_path, holder):
    pattern = rf"masks.json is being written by another process \(process {holder.pid} on "
    with pytest.raises(OutputInUseError, match=pattern), lock_output(tmp_path / "out" / "masks.json"):
        pass
    with lock_output(tmp_path / "out" / "other.json"):
        pass


def test_no_file_stays_after_the_end(tmp_path, holder):
    holder.communicate("")
    assert holder.returncode == 0 and os.listdir(tmp_path / "out") == []
    with pytest.raises(RuntimeError), lock_output(tmp_path / "out" / "masks.json"):
        assert os.listdir(tmp_path / "out") == [".masks.json.lock"]
        raise RuntimeError
    assert os.listdir(tmp_path / "out") == []


def test_a_killed_process_does_not_leave_the_output_locked(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock_output(tmp_path / "out" / "masks.json"):
        pass
    assert os.listdir(tmp_path / "out") == []


def test_a_forked_process_does_not_prolong_the_lock(tmp_path):
    ready, done = os.pipe(), os.pipe()
    with lock_output(tmp_path / "a"):
        child = os.fork()
        if child == 0:
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        with pytest.raises(OutputInUseError), lock_output(tmp_path / "a"):
            pass
    try:
        with lock_output(tmp_path / "a"):
            pass
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="is a file, not a folder"), lock_output(tmp_path / "file" / "a"):
        pass
