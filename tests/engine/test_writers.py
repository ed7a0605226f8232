"""Output of console, metrics.json and log.txt."""

import json
import logging
from types import SimpleNamespace

import pytest
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from depthbox.engine.run import open_log, setup_logging
from depthbox.engine.writers import ConsoleWriter, JsonLinesWriter, MetricsWriting


def storage_with(iteration, **values):
    storage = EventStorage(iteration)
    for name, value in values.items():
        storage.put_scalar(name, value, smoothing_hint="loss" in name)
    return storage


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (2, 2), (9, 3)])
def test_console_fits_into_a_hundred_columns(caplog, count, expected):
    values = {f"loss_of_kind_{number}": 0.123456 for number in range(count)}
    storage = storage_with(89_999, total_loss=1.5, time=0.5123, data_time=0.002, lr=0.01, **values)
    with caplog.at_level("INFO"), storage:
        ConsoleWriter(270_000).write()
    printed = caplog.records[0].getMessage().splitlines()
    assert len(printed) == expected and max(map(len, printed)) + len("12:34:56 ") <= 100
    for part in ("iter 90000/270000", "eta 1 day", "0.512 s/it (data 0.002)", "lr 0.01"):
        assert part in printed[0]
    joined = " ".join(line.strip() for line in printed)
    assert "loss 1.5:" + "".join(f" of_kind_{number} 0.123" for number in range(count)) in joined


def test_console_without_metrics(caplog):
    with caplog.at_level("INFO"), EventStorage(0):
        ConsoleWriter(10).write()
    assert "iter 1/10" in caplog.text


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_hold_each_iteration_once(tmp_path):
    path = tmp_path / "metrics.json"
    writer = JsonLinesWriter(path)
    for iteration in (19, 39, 59):
        with storage_with(iteration, loss=1.0, lr=float("nan")):
            writer.write()
            writer.write()
    writer.close()
    assert [line["iteration"] for line in lines(path)] == [19, 39, 59]
    assert lines(path)[0] == {"iteration": 19, "loss": 1.0, "lr": None}
    path.write_text(path.read_text() + '{"iteration": 79, "lo')  # killed while writing
    writer = JsonLinesWriter(path, start_iter=40)
    with storage_with(59, loss=2.0):
        writer.write()
    writer.close()
    assert [(line["iteration"], line["loss"]) for line in lines(path)] == [(19, 1.0), (39, 1.0), (59, 2.0)]


class Counter(ConsoleWriter):
    written = 0

    def write(self):
        self.written += 1


def test_slow_training_runs_are_not_silent(monkeypatch):
    clock = iter(range(0, 10_000, 12))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    console = Counter(40)
    hook = MetricsWriting(lambda first: [console], period=20)
    hook.trainer = SimpleNamespace(max_iter=40, start_iter=0)
    hook.before_train()
    for hook.trainer.iter in range(19):
        hook.after_step()
    assert console.written > 3


def test_logs_go_to_the_console_and_later_to_a_file(tmp_path, capsys, monkeypatch):
    for _ in range(2):  # twice: handlers must be replaced, not added
        setup_logging()
    logger = logging.getLogger("depthbox.test")
    logger.info("hello")
    logger.warning("careful")
    logger.debug("details")
    printed = capsys.readouterr().out.splitlines()
    assert [line[9:] for line in printed] == ["hello", "WARNING careful"]
    folder = tmp_path / "run"
    assert not folder.exists()
    open_log(CfgNode({"OUTPUT_DIR": str(folder)}))
    logger.info("later")
    written = [line.partition("] ")[2] for line in (folder / "log.txt").read_text().splitlines()]
    levels = ["INFO: hello", "WARNING: careful", "DEBUG: details", "INFO: later"]
    assert written == [f"depthbox.test {text}" for text in levels]
    setup_logging(rank=1)
    capsys.readouterr()
    monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda: 1)
    logger.info("from rank one")
    open_log(CfgNode({"OUTPUT_DIR": str(folder)}))
    assert capsys.readouterr().out == ""
    assert "from rank one" in (folder / "log.txt.rank1").read_text()
    assert "from rank one" not in (folder / "log.txt").read_text()
