"""``depthbox train`` and ``depthbox check`` as functions, with the options of the commands as arguments."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from ..cli import check as check_command
from ..cli import train as train_command
from ..cli.main import make_parser

if TYPE_CHECKING:
    from ..data.check.check import CheckReport
    from .network import Network


def train(data: str | Path | None = None, *, settings: Mapping[str, Any] | None = None, **options: Any) -> Network:
    """Train as ``depthbox train`` does, and load the best weights.

    Args:
        data: annotations in any format.
        settings: config keys and their values, such as {"SOLVER.BASE_LR": 0.01}.
        options: the options of ``depthbox train --help``, with underscores: ``images="photos"``, ``iterations=500``,
            ``output="output/my"``, ``resume=True``.

    Returns:
        The trained network; of two stages from one point per object, that of the second. Its folder is
        ``network.cfg.OUTPUT_DIR``.

    Raises:
        TypeError: an option that the command does not have.
        ValueError, OSError: wrong options or data, as reported by the command; or only masks of points are made
            (``stage="a"``).

    Example:
        >>> net = depthbox.train(data="boxes.json", images="photos", iterations=500)  # doctest: +SKIP
    """
    from .network import load

    arguments = _parse(train_command, {"data": data, **options})
    if arguments.stage == "a":
        raise ValueError("stage 'a' makes masks of points, not a network for images: use `depthbox train --stage a`")
    arguments.overrides = [str(word) for pair in (settings or {}).items() for word in pair]
    run = train_command.train(arguments)
    return load(run.OUTPUT_DIR, device=run.MODEL.DEVICE)


def check(data: str | Path, **options: Any) -> dict[str, CheckReport]:
    """Check a dataset as ``depthbox check`` does, and print the result.

    Args:
        data: annotations in any format.
        options: the options of ``depthbox check --help``, with underscores: ``images="photos"``, ``depth="depth"``,
            ``output="look"``.

    Returns:
        The report of each split; the only key of a dataset without splits is "".

    Raises:
        TypeError: an option that the command does not have.
        ValueError, OSError: the data cannot be checked.

    Example:
        >>> reports = depthbox.check("boxes.json", images="photos")  # doctest: +SKIP
        >>> [finding.rule for finding in reports[""].errors]  # doctest: +SKIP
        []
    """
    return check_command.check(_parse(check_command, {"data": data, **options}))


def _parse(module: ModuleType, options: Mapping[str, Any]) -> argparse.Namespace:
    """Parse options as the command does; its mistakes become exceptions."""
    parser = make_parser(module, "depthbox")

    def fail(message: str) -> NoReturn:
        raise ValueError(message)

    parser.error = fail  # type: ignore[method-assign]
    known, words = re.findall(r"--[a-z][a-z-]*", parser.format_help()), list[str]()
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            hint = f": did you mean {near[0].removeprefix('--').replace('-', '_')}?" if near else ""
            raise TypeError(f"there is not an option {name}{hint}")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, *(map(str, value) if isinstance(value, list | tuple) else [str(value)])]
    arguments = parser.parse_args(words)
    getattr(module, "check_arguments", lambda _: None)(arguments)
    return arguments
