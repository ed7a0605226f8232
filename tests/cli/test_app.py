"""``depthbox app``: error messages, and a page that Ctrl-C closes."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from depthbox.app.limits import Limits
from depthbox.app.server import open_port
from depthbox.cli import app
from depthbox.cli.main import main, parse
from depthbox.config import load_config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "40"], "--threshold must be a score between 0 and 1, not 40"),
        (["--size", "8"], "--size must be 32 pixels or more"),
        (["--port", "70000"], "--port must be from 0 to 65535"),
        (["--token", "short"], "--token must have 8 characters or more"),
        (["--allow-host", "http://gpu7"], "--allow-host takes a name or NAME:PORT"),
        (["--max-upload", "0"], "--max-upload must be a number from 0.01 to 10000, not 0"),
        (["--max-pixels", "nan"], "--max-pixels must be a number from 0.01 to 10000, not nan"),
    ],
)
def test_numbers_out_of_range_are_refused(capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        main(["app", "--weights", "x.pth", *words])
    assert message in capsys.readouterr().err


def test_wrong_arguments_give_one_line(capsys, tmp_path, monkeypatch):
    assert main(["app", "--weights", str(tmp_path / "none.pth")]) == 2
    assert "none.pth" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("VERSION: 2\n")
    (tmp_path / "model.pth").write_bytes(b"")
    with open_port("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["app", "--weights", str(tmp_path / "model.pth"), "--port", str(port)]) == 2
    message = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be used" in message and "--port" in message and message.count("\n") == 1
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app", "--weights", str(tmp_path / "model.pth")]) == 2
    assert capsys.readouterr().err == (
        "depthbox app: the page needs gradio, which is not installed: pip install 'depthbox[app]'\n"
    )


def test_help_has_examples():
    assert "examples:" in app.EXAMPLES and "Exit status" in app.EXAMPLES and len(app.SUMMARY) <= 68
    assert all(len(line) <= 80 for line in app.EXAMPLES.replace("%(prog)s", "depthbox app").splitlines())
    arguments = parse(app, ["--weights", "w"])
    assert (arguments.host, arguments.port, arguments.open, arguments.threshold) == ("127.0.0.1", 7860, False, 0.4)


def test_options_of_access_and_limits():
    words = [
        "--weights",
        "w",
        "--allow-host",
        "a",
        "--allow-host",
        "b:8000",
        "--max-upload",
        "2",
        "--max-pixels",
        "0.5",
    ]
    arguments = parse(app, words)
    assert arguments.allow_host == ["a", "b:8000"] and arguments.token is None
    limits = app.make_limits(arguments)
    assert (limits.upload_bytes, limits.pixels, limits.boxes) == (2_000_000, 500_000, 300)
    assert app.make_limits(parse(app, ["--weights", "w"])) == Limits()
    assert parse(app, ["--weights", "w", "--token"]).token == ""  # a random one
    assert parse(app, ["--token", "long-enough", "--weights", "w"]).token == "long-enough"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)],
)
def test_the_page_is_served_until_a_signal(tmp_path: Path, number: signal.Signals, status: int):
    pytest.importorskip("gradio", reason="pip install 'depthbox[app]'")
    import torch
    from detectron2.modeling import build_model

    from depthbox import add_depthbox_config

    cfg = load_config(add_depthbox_config, "tests/tiny.yaml", ["MODEL.FPN.OUT_CHANNELS", "32"])
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model_final.pth")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    words = [sys.executable, "-u", "-m", "depthbox.cli.main", "app", "--weights", str(tmp_path / "model_final.pth")]
    # A proxy that does not exist: neither the start nor the page may use it.
    environment = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        [*words, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        assert running.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+", running.stdout.readline())
        assert url is not None, running.communicate()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url[0], timeout=30) as answer:
            assert answer.status == 200 and b"DepthBox" in answer.read()
        assert list(tmp_path.glob("depthbox_app_*"))
        running.send_signal(number)
        message = running.communicate(timeout=20)[1]
    finally:
        running.kill()
    assert running.returncode == status and "the page is closed" in message and "Traceback" not in message
    assert not list(tmp_path.glob("depthbox_app_*"))
