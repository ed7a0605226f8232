"""log.txt: errors of writing are reported once, and never as a traceback of the logging module."""

import logging
import sys

import pytest
from detectron2.config import CfgNode

from depthbox.engine.writers.logs import open_log, raise_log_failure, setup_logging
from depthbox.io.files import WriteError


def test_a_log_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "log.txt").mkdir()
    setup_logging()
    with pytest.raises(WriteError, match=r"log\.txt cannot be written: Is a directory"):
        open_log(CfgNode({"OUTPUT_DIR": str(tmp_path)}))


def test_a_full_disk_is_raised_later_and_not_printed(tmp_path, capsys, monkeypatch):
    setup_logging()
    open_log(CfgNode({"OUTPUT_DIR": str(tmp_path)}))
    raise_log_failure()

    def refuse(self, record):
        raise WriteError(f"{self.path} cannot be written: No space left on device")

    monkeypatch.setattr("depthbox.engine.writers.append.AppendedFile.append", refuse)
    logging.getLogger("depthbox.test").info("hello")
    logging.getLogger("depthbox.test").info("again")
    shown = capsys.readouterr()
    assert shown.err == "" and "hello" in shown.out and "again" in shown.out
    with pytest.raises(WriteError, match="No space left"):
        raise_log_failure()


class Broken:
    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError

    def isatty(self):
        return False


def test_a_closed_console_does_not_disturb(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken())
    setup_logging()
    open_log(CfgNode({"OUTPUT_DIR": str(tmp_path)}))
    logging.getLogger("depthbox.test").info("hello")
    assert capsys.readouterr().err == ""
    assert "hello" in (tmp_path / "log.txt").read_text()


def test_tracebacks_of_the_loop_go_to_the_file_alone(tmp_path, capsys):
    setup_logging()
    open_log(CfgNode({"OUTPUT_DIR": str(tmp_path)}))
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("detectron2.engine.train_loop").exception("Exception during training:")
    assert capsys.readouterr().out == ""
    assert "Traceback" in (tmp_path / "log.txt").read_text()
