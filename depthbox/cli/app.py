"""``depthbox app``: a web page that applies a trained network."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from ..app.limits import Limits
from ..errors import Stopped

SUMMARY = "Serve a web page that applies a trained network to your images."
USAGE = "%(prog)s --weights FILE [options]"
STOPPED = "the page is closed"
LARGEST = 10_000  # MB of an upload, megapixels of an image
EXAMPLES = """
examples:
  on this machine:       %(prog)s --weights output/my/model_final.pth
  another port:          ... --port 8000
  open the browser too:  ... --open
  other machines:        ... --host 0.0.0.0     (prints a URL with a token)
  behind another name:   ... --host 0.0.0.0 --allow-host gpu7.example.org
  higher scores only:    ... --threshold 0.6
  faster:                ... --size 480
  on the CPU:            ... --set MODEL.DEVICE cpu

The page detects objects in an uploaded image, or computes a mask for each box
that is drawn or pasted. It shows masks and depth. The result can be downloaded
as a COCO JSON file. Images stay on this machine and are removed when the page
is closed. The page needs gradio: pip install 'depthbox[app]'.
The config of the training run is config.yaml beside the weights.
On other addresses than 127.0.0.1, browsers need the token in the printed URL;
the connection is not encrypted.
Exit status: 2 wrong options or files, 130 closed by Ctrl-C, 143 by SIGTERM,
129 by SIGHUP.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--weights", required=True, metavar="FILE", help="checkpoint of the network")
    add("--config-file", default="", metavar="FILE", help="config of the training run (default: beside the weights)")
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default %(default)s: only this machine)",
    )
    add("--port", type=int, default=7860, metavar="N", help="default %(default)s; 0 = any free port")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="further name or NAME:PORT under which the page is requested; may be repeated",
    )
    add(
        "--token",
        nargs="?",
        const="",
        default=None,
        metavar="TEXT",
        help="demand a token also on this machine, TEXT or a random one (default: only on other addresses)",
    )
    add("--max-upload", type=float, default=50, metavar="MB", help="largest uploaded file (default %(default)g)")
    add("--max-pixels", type=float, default=25, metavar="N", help="largest image in megapixels (default %(default)g)")
    add("--open", action="store_true", help="open the page in the browser")
    add("--threshold", type=float, default=0.4, metavar="S", help="initial score threshold (default %(default)s)")
    add("--size", type=int, default=0, metavar="N", help="shorter side of the network's input (default: the config's)")
    add("--classes", default="", metavar="NAMES", help="COCO JSON file, text file, or names separated by commas")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="config keys to override")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if a number is out of range, or a name or token has another form."""
    from ..app.guard.access import check_token
    from ..app.guard.hosts import find_rules

    if not 0 <= arguments.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, not {arguments.port}")
    if not 0 <= arguments.threshold <= 1:
        raise ValueError(f"--threshold must be a score between 0 and 1, not {arguments.threshold:g}")
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size must be 32 pixels or more, not {arguments.size}")
    for option, value in (("--max-upload", arguments.max_upload), ("--max-pixels", arguments.max_pixels)):
        if not 0.01 <= value <= LARGEST:
            raise ValueError(f"{option} must be a number from 0.01 to {LARGEST}, not {value:g}")
    if arguments.token:
        check_token(arguments.token)
    find_rules("localhost", "127.0.0.1", 1, arguments.allow_host)


def run(arguments: argparse.Namespace) -> int:
    """Load the network and serve the page until Ctrl-C or SIGTERM.

    Raises:
        ValueError, OSError: wrong options, config or files, or the port is in use.
        ImportError: gradio is not installed.
    """
    try:
        with _stop_on_signals():
            _serve(arguments)
    except Stopped as stopped:
        print(STOPPED, file=sys.stderr)
        return stopped.status
    return 0


def _serve(arguments: argparse.Namespace) -> None:
    from .. import add_depthbox_config
    from ..app.folder import make_upload_folder
    from ..app.support import import_gradio
    from ..config import load_config
    from ..inference.predictor import find_config

    import_gradio()
    config_file = find_config(arguments.weights, arguments.config_file)
    from ..app.server import Address, choose_token, open_port, serve

    with open_port(arguments.host, arguments.port) as listener, make_upload_folder() as folder:
        from ..app.actions import Actions
        from ..app.network import load_trial_network
        from ..app.page import build_page
        from ..app.storage import DownloadStore, UploadStore

        cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
        network = load_trial_network(cfg, arguments.weights, size=arguments.size, classes=arguments.classes)
        limits = make_limits(arguments)
        actions = Actions(network, UploadStore(folder, limits), DownloadStore(limits.download_bytes), limits)
        token = choose_token(listener, arguments.token)
        address = Address(arguments.host, tuple(arguments.allow_host), token)
        serve(build_page(actions, arguments.threshold), actions, listener, address, browser=arguments.open)


def make_limits(arguments: argparse.Namespace) -> Limits:
    """Return the limits of the page with those that the options change."""
    upload, pixels = round(arguments.max_upload * 1e6), round(arguments.max_pixels * 1e6)
    return Limits(upload_bytes=upload, pixels=pixels, disk_bytes=max(Limits.disk_bytes, 4 * upload))


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Raise ``Stopped`` at a signal that ends the process, so that the uploads are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup demands
    before = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
