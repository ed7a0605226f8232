"""Method of a training run on a user's own data: by its options and by what is annotated."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.loading import ConfigError
from .overrides import find_stage
from .sources import OwnData
from .split import KindCounts

METHODS = ("boxinst", "depthbox", "p2seg")


def check_method(method: str, depth: bool) -> None:
    """Check a method before the data are read.

    Raises:
        ConfigError: an unknown method, or the whole method without depth.
    """
    if method and method not in METHODS:
        raise ConfigError(f"--method is {', '.join(METHODS[:-1])} or {METHODS[-1]}, not '{method}'")
    if method == "depthbox" and not depth:
        raise ConfigError("--method depthbox needs depth maps: generate them with `depthbox depth` and give --depth")


def choose_method(method: str, own: OwnData, kinds: KindCounts) -> str:
    """Return the given method if it fits the data; "" = p2seg if an object has a point only, else by the depth.

    Args:
        method: "" or one of METHODS, see ``check_method``.
        own: data of the user; without points, depth means the whole method, else BoxInst.
        kinds: numbers of the training objects by annotation.

    Raises:
        ConfigError: the method cannot learn from these objects.
    """
    if method == "p2seg" and kinds.mask == kinds.total:
        raise ConfigError(
            f"every object of {own.data} has a mask, so --method p2seg has nothing to add: train on the masks, without "
            "--method and with MODEL.MASK_SUPERVISION mask at the end of the command"
        )
    if method == "p2seg" and not kinds.point:
        raise ConfigError(
            f"every object of {own.data} has a box or a mask, and --method p2seg makes masks of objects with a point "
            "only: leave out --method"
        )
    if kinds.point and method not in ("", "p2seg"):
        raise ConfigError(
            f"{kinds.point} of {kinds.total} objects of {own.data} have a point only, and --method {method} learns "
            "from boxes: leave out --method (p2seg makes masks of points), or annotate boxes"
        )
    if method:
        return method
    if kinds.point:
        return "p2seg"
    return "depthbox" if own.depth is not None else "boxinst"


def check_point_options(stage: str, own: OwnData, overrides: Sequence[str]) -> None:
    """Check that a run of another method has no options of p2seg.

    Raises:
        ConfigError: it has one.
    """
    words = [f"{key} {value}" for key, value in zip(overrides[::2], overrides[1::2], strict=True) if find_stage(key)]
    options = [f"--stage {stage}"] * bool(stage) + [f"--class-maps {own.class_maps}"] * bool(own.class_maps) + words
    if options:
        raise ConfigError(
            f"{options[0]} is for objects with a point only, but every object of {own.data} has a box or a mask: leave "
            "it out"
        )
