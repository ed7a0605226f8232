"""``depthbox app``: a web page that applies a trained network."""

from __future__ import annotations

import argparse

SUMMARY = "Serve a web page that applies a trained network to your images."
USAGE = "%(prog)s --weights FILE [options]"
STOPPED = "the page is closed"
EXAMPLES = """
examples:
  on this machine:       %(prog)s --weights output/my/model_final.pth
  another port:          ... --port 8000
  open the browser too:  ... --open
  other machines:        ... --host 0.0.0.0     (without a password)
  higher scores only:    ... --threshold 0.6
  faster:                ... --size 480
  on the CPU:            ... --set MODEL.DEVICE cpu

The page detects objects in an uploaded image, or computes a mask for each box
that is drawn or pasted. It shows masks and depth. The result can be downloaded
as a COCO JSON file. Images stay on this machine and are removed when the page
is closed. The page needs gradio: pip install 'depthbox[app]'.
The config of the training run is config.yaml beside the weights.
Exit status: 2 wrong options or files, 130 closed by Ctrl-C.
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
    add("--open", action="store_true", help="open the page in the browser")
    add("--threshold", type=float, default=0.4, metavar="S", help="initial score threshold (default %(default)s)")
    add("--size", type=int, default=0, metavar="N", help="shorter side of the network's input (default: the config's)")
    add("--classes", default="", metavar="NAMES", help="COCO JSON file, text file, or names separated by commas")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="config keys to override")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError if a number is out of range."""
    if not 0 <= arguments.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, not {arguments.port}")
    if not 0 <= arguments.threshold <= 1:
        raise ValueError(f"--threshold must be a score between 0 and 1, not {arguments.threshold:g}")
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size must be 32 pixels or more, not {arguments.size}")


def run(arguments: argparse.Namespace) -> int:
    """Load the network and serve the page until Ctrl-C.

    Raises:
        ValueError, OSError: wrong options, config or files, or the port is in use.
        ImportError: gradio is not installed.
    """
    from .. import add_depthbox_config
    from ..app.server import make_upload_folder, open_port, serve
    from ..app.support import import_gradio
    from ..config import load_config
    from ..inference.predictor import find_config

    check_arguments(arguments)
    import_gradio()
    config_file = find_config(arguments.weights, arguments.config_file)
    with open_port(arguments.host, arguments.port) as listener, make_upload_folder() as folder:
        from ..app.network import load_trial_network
        from ..app.page import build_page

        cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
        network = load_trial_network(cfg, arguments.weights, size=arguments.size, classes=arguments.classes)
        page = build_page(network, folder, arguments.threshold)
        serve(page, listener, browser=arguments.open)
    return 0
