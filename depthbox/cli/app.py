"""``depthbox app``: which network is tried, and where its page is."""

from __future__ import annotations

import argparse

SUMMARY = "A page in the browser to try a trained network."
USAGE = "%(prog)s --weights FILE [options]"
STOPPED = "the page is closed"
EXAMPLES = """
examples:
  on this machine:       %(prog)s --weights output/my/model_final.pth
  another port:          ... --port 8000
  open the browser too:  ... --open
  for the whole network: ... --host 0.0.0.0     (everybody can reach it)
  surer objects only:    ... --threshold 0.6
  faster:                ... --size 480
  on the CPU:            ... --set MODEL.DEVICE cpu

On the page: drop or paste an image, let the network find objects, or draw or
paste boxes and get the mask of each; look at masks and depth, download a COCO
json. Images stay on this machine, and are removed when the page is closed.
It needs gradio: pip install 'depthbox[app]'.
The config of the training is taken from beside the weights (config.yaml).
Exit status: 2 a mistake in the call, 130 closed by Ctrl-C.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--weights", required=True, metavar="FILE", help="checkpoint to try")
    add("--config-file", default="", metavar="FILE", help="of its training (default: config.yaml beside it)")
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="who can reach it (default %(default)s: this machine)")
    add("--port", type=int, default=7860, metavar="N", help="(default %(default)s; 0 = any that is free)")
    add("--open", action="store_true", help="open the page in the browser")
    add("--threshold", type=float, default=0.4, metavar="S", help="least score of an object, at first (default 0.4)")
    add("--size", type=int, default=0, metavar="N", help="short side of the network's input (default: the config's)")
    add("--classes", default="", metavar="NAMES", help="a COCO json, a text file, or names with commas between")
    add("--set", nargs="+", default=[], metavar="KEY VALUE", dest="overrides", help="settings that win over the config")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ValueError where a number is out of range."""
    if not 0 <= arguments.port <= 65535:
        raise ValueError(f"--port is a number from 0 to 65535, not {arguments.port}")
    if not 0 <= arguments.threshold <= 1:
        raise ValueError(f"--threshold is a score between 0 and 1, not {arguments.threshold:g}")
    if arguments.size < 0 or 0 < arguments.size < 32:
        raise ValueError(f"--size is a number of pixels, 32 or more, not {arguments.size}")


def run(arguments: argparse.Namespace) -> int:
    """Load the network and show the page until Ctrl-C.

    Raises:
        ValueError, OSError: a mistake in the options, the config or the files; the port is taken.
        ImportError: gradio is not installed.
    """
    from .. import add_depthbox_config
    from ..app.server import open_port, serve, uploads
    from ..app.support import import_gradio
    from ..config import load_config
    from ..inference.predictor import find_config

    check_arguments(arguments)
    import_gradio()
    config_file = find_config(arguments.weights, arguments.config_file)
    with open_port(arguments.host, arguments.port) as listener, uploads() as folder:
        from ..app.network import load_trial_network
        from ..app.page import build_page

        cfg = load_config(add_depthbox_config, config_file, arguments.overrides)
        network = load_trial_network(cfg, arguments.weights, size=arguments.size, classes=arguments.classes)
        page = build_page(network, folder, arguments.threshold)
        serve(page, listener, browser=arguments.open)
    return 0
