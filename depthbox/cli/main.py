"""``depthbox COMMAND``: choice of the command, parsing, and mistakes of the user as one line.

Only the standard library and the chosen command are imported, because torch alone takes seconds.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from ..errors import MISTAKE, MISTAKES, Stopped, describe_error
from ..io.processes import ENDING_SIGNALS, raise_on_signals

COMMANDS = (
    "check", "depth", "train", "eval", "predict", "label", "app", "export", "visualize", "report", "doctor",
)  # fmt: skip
INTERRUPTED, BROKEN_PIPE = 130, 141

_ABOUT = """usage: depthbox [--debug] COMMAND [options]

Instance masks from boxes.

commands, in the order in which they are usually needed:
{commands}

options:
  -h, --help  this text; depthbox COMMAND --help explains a command
  --version   the versions of DepthBox, torch and Detectron2
  --debug     show the traceback of an error

start here:
  depthbox doctor                                   test the installation
  depthbox check --data boxes.json --images photos  find problems of the data
  depthbox train --data boxes.json --images photos  learn masks from the boxes

Exit status: 0 done, 1 errors were found or something failed, 2 a mistake in
the call or in a file, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""


class CommandError(ValueError):
    """An unknown command, or one that is not installed. The message names the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (``argv`` None = that of this process) and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = words[:1] == ["--debug"]
    words = words[debug:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(format_help(), end="")
        return 0 if words else MISTAKE
    if words[0] in ("-V", "--version"):
        print(format_versions())
        return 0
    try:
        module = import_command(words[0])
    except CommandError as error:
        if debug:
            traceback.print_exc()
        return _print_mistake("depthbox", error)
    return call(module, words[1:], prog=f"depthbox {words[0]}", debug=debug)


def call(module: ModuleType, argv: Sequence[str] | None = None, *, prog: str = "", debug: bool = False) -> int:
    """Parse the options of a command and run it.

    Args:
        module: module of the command with ``SUMMARY``, ``EXAMPLES``, ``add_arguments`` and ``run``, and optionally
            ``USAGE``, ``STOPPED`` (printed after Ctrl-C) and ``check_arguments`` (raises ValueError if options do not
            fit each other).
        argv: words of the command line; None = those of this process.
        prog: name of the command in messages; "" = that of this process.
        debug: show the traceback of a mistake.

    Returns:
        The exit status.
    """
    arguments = parse(module, argv, prog=prog)
    name = prog or Path(sys.argv[0]).name
    stopped = getattr(module, "STOPPED", "stopped")
    return _run_guarded(lambda: module.run(arguments), name, debug=debug or arguments.debug, stopped=stopped)


def run_tool(main: Callable[[], int | None], prog: str = "") -> int:
    """Run the main function of a script, with a mistake of the user as one line.

    Any other exception is a bug and leaves with its traceback. ``--debug`` on the command line of the script shows the
    traceback of a mistake, too (see ``add_debug``).

    Args:
        main: parses the command line of this process and returns the exit status; None = 0.
        prog: name of the script in messages; "" = that of this process.

    Returns:
        The exit status: that of ``main``, 2 after a mistake, 130 after Ctrl-C, 128 + N after signal N.
    """
    return _run_guarded(main, prog or Path(sys.argv[0]).name, debug="--debug" in sys.argv[1:], stopped="stopped")


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--debug`` to a parser."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _run_guarded(job: Callable[[], int | None], name: str, *, debug: bool, stopped: str) -> int:
    """Run a job and return its exit status; a mistake or a request to stop is printed as one line."""
    _prepare_streams(debug)
    _separate_progress_bars()
    try:
        with raise_on_signals(ENDING_SIGNALS):  # cleans up; Ctrl-C does so anyway
            status = int(job() or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as in `depthbox check ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MISTAKES as error:
        # The log.txt of a run, if one has begun, gets the traceback.
        logging.getLogger("depthbox").debug("%s failed", name, exc_info=True)
        if debug:
            traceback.print_exc()
        return _print_mistake(name, error)
    except Stopped as error:
        print(f"{name}: {describe_error(error)}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return INTERRUPTED


def _prepare_streams(debug: bool) -> None:
    """Hide deprecations, which concern developers, and print names of files that are not Unicode text."""
    if not debug:
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _separate_progress_bars() -> None:
    """Let the bars of this process have a lock of their own.

    The default lock of tqdm is shared with forked processes: one that is killed while it draws would block the others.
    """
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())


def parse(module: ModuleType, argv: Sequence[str] | None = None, *, prog: str = "") -> argparse.Namespace:
    """Parse the options of a command; mistakes end the process with status 2, as in argparse."""
    parser = make_parser(module, prog)
    arguments = parser.parse_intermixed_args(None if argv is None else list(argv))
    try:
        getattr(module, "check_arguments", lambda _: None)(arguments)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def make_parser(module: ModuleType, prog: str = "") -> argparse.ArgumentParser:
    """Return the parser of a command."""
    parser = argparse.ArgumentParser(
        prog=prog or None,
        usage=getattr(module, "USAGE", None),
        description=module.SUMMARY,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    add_debug(parser)
    return parser


def import_command(name: str) -> ModuleType:
    """Import the module of a command.

    Raises:
        CommandError: an unknown command, or a missing dependency.
    """
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        raise CommandError(f"unknown command '{name}': {hint} (see depthbox --help)")
    full = f"{__package__}.{name}"
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name == full:
            raise CommandError(f"the command '{name}' is not part of this version; update DepthBox") from error
        raise CommandError(f"the command '{name}' needs something that is not installed: {error}") from error


def format_help() -> str:
    """Return the output of ``depthbox --help``, at most 80 columns wide."""
    lines = [f"  {name:10}  {textwrap.shorten(read_summary(name), 66, placeholder='...')}" for name in COMMANDS]
    return _ABOUT.format(commands="\n".join(lines))


def read_summary(name: str) -> str:
    """Read ``SUMMARY`` of a command from its source, because imports of all commands would take too long."""
    spec = importlib.util.find_spec(f"{__package__}.{name}")
    if spec is None or spec.origin is None:
        return "(not part of this version)"
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "SUMMARY" for target in targets):
            return str(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return ""


def format_versions() -> str:
    """Return the versions that a bug report needs, in one line."""
    init = Path(__file__).resolve().parents[1] / "__init__.py"
    match = re.search(r'^__version__ = "([^"]+)"$', init.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [f"depthbox {match[1] if match else 'of unknown version'}"]
    for name in ("torch", "detectron2"):
        try:
            parts.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"{name} not installed")
    return ", ".join([*parts, f"python {'.'.join(map(str, sys.version_info[:3]))}"])


def _print_mistake(name: str, error: BaseException) -> int:
    """Print a mistake as one line and return its exit status."""
    print(f"{name}: {describe_error(error)}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    sys.exit(main())
