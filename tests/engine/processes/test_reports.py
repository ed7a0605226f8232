"""The reason for the end of a process, in one line."""

import signal

import pytest

from depthbox.data.samples import SampleError
from depthbox.engine.processes.reports import (
    GroupMember,
    RankReport,
    format_cause,
    make_report,
    print_report,
    read_report,
    report_path,
    write_report,
)
from depthbox.errors import Stopped, UserError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UserError("a.json is missing"), "mistake"),
        (SampleError("the image a.png cannot be read, socket"), "mistake"),
        (FloatingPointError("the loss is not finite"), "mistake"),
        (OSError("disk"), "mistake"),
        (KeyError("x"), "bug"),
        (RuntimeError("shapes do not fit"), "bug"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"), "lost"),
        (Stopped(signal.SIGTERM, "stopped"), "stopped"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_kinds_of_errors(error, kind):
    report = make_report(error, 1)
    assert report.kind == kind and report.rank == 1 and "\n" not in report.message
    assert bool(report.details) == (kind == "bug")


def test_a_cause_names_rank_and_remedy():
    killed = RankReport(1, "killed", "was killed by signal 9 (SIGKILL), often because memory ran out")
    assert format_cause(killed, 8) == (
        "rank 1 of 8 was killed by signal 9 (SIGKILL), often because memory ran out; the other processes were ended. "
        "The same command with --resume continues from the newest checkpoint"
    )
    assert format_cause(make_report(UserError("a.json is missing"), 3), 8) == "rank 3 of 8: a.json is missing"
    assert "traceback is above: KeyError: 'x'" in format_cause(make_report(KeyError("x"), 0), 2)


def test_a_stop_is_printed_by_one_process(capsys):
    for rank in (0, 1):
        print_report(make_report(Stopped(signal.SIGTERM, "stopped by SIGTERM"), rank), 2)
    assert capsys.readouterr().err.count("stopped by SIGTERM") == 1


def test_reports_are_files(tmp_path):
    path = report_path(tmp_path, GroupMember("env://", 3, 4, 1, 2, "cpu"))
    assert read_report(path) is None
    report = make_report(KeyError("x"), 3)
    assert write_report(path, report) and read_report(path) == report
    path.write_text("{")
    assert read_report(path) is None
    assert not write_report(tmp_path / "missing" / "rank.json", report)
