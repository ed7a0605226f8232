"""The folder of pseudo depth: its note ``depth_info.json``, and the rule that one folder holds one kind of maps."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ...io.files import atomic_open
from .items import DEPTH_SUFFIX, DepthItem
from .model import ModelInfo, PseudoDepthError

SIDECAR = "depth_info.json"
CONVENTION = "inverse depth, each map stretched to [0, 1], 1 = near; 16-bit grey PNG, value * 65535"
_RESIZING = "bilinear with antialiasing, before the stretching"


def describe_folder(model: ModelInfo, short_side: int | None, half: bool) -> dict[str, Any]:
    """What ``depth_info.json`` says.

    Args:
        model: what the maps are made with.
        short_side: of the maps in pixels; None = that of each image.
        half: whether the network computes in float16.
    """
    packages = ("depthbox", "torch", "torchvision", "transformers", "numpy", "pillow")
    return {
        "convention": CONVENTION,
        "model": {
            "name": model.name,
            "revision": model.revision,
            "weights": model.weights,
            "type": model.model_type,
            "output_inverted": model.inverted,
        },
        "settings": {
            "size": "original" if short_side is None else short_side,
            "precision": "float16" if half else "float32",
            "resizing": _RESIZING,
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def prepare_folder(
    output: str | os.PathLike[str],
    items: Sequence[DepthItem],
    info: dict[str, Any],
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> None:
    """Make sure that a folder holds, and will hold, only maps made in one way; write its ``depth_info.json``.

    Args:
        output: the folder; made if missing.
        items: all images that get a map in it, not only those of one shard.
        info: from ``describe_folder``. Names of models and versions of libraries may differ from those in the
            folder; weights, convention and settings may not.
        overwrite: remove the maps of ``items`` that are there.
        dry_run: check only, change nothing.

    Raises:
        PseudoDepthError: the folder holds maps made otherwise. With ``overwrite`` only if some of them belong to
            other images: those are never removed.
    """
    output = Path(output)
    # In this order: another shard writes the note before its first map, so maps without note are strangers.
    present = {path for path in output.rglob(f"*{DEPTH_SUFFIX}") if not path.name.startswith(".")}
    known = _read_sidecar(output / SIDECAR)
    different = _differences(known, info) if known is not None else []
    if known is None and present:
        different = [f"no {SIDECAR} that says how they were made"]
    targets = {item.depth for item in items}
    if present and different:
        _refuse(output, different, [] if not overwrite else sorted(present - targets), overwrite)
    if dry_run:
        return
    if overwrite:
        for path in present & targets:
            path.unlink()
    if known is None or different:
        with atomic_open(output / SIDECAR) as file:
            file.write((json.dumps(info, indent=2) + "\n").encode())


def _refuse(output: Path, different: Sequence[str], strangers: Sequence[Path], overwrite: bool) -> None:
    if overwrite and not strangers:
        return
    remedy = "Choose another folder, use the same settings as before"
    if overwrite:
        remedy += f", or remove the maps of other images first ({len(strangers)}, such as {strangers[0]})."
    else:
        remedy += (
            " (--model, --revision with the commit, --size, --invert, --half), or make them anew with --overwrite."
        )
    raise PseudoDepthError(f"{output} holds depth maps made otherwise: {'; '.join(different)}. {remedy}")


def _read_sidecar(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        _identity(known)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PseudoDepthError(
            f"{path} is broken ({type(error).__name__}: {error}); restore it, or remove it and the maps beside it"
        ) from error
    return known


def _identity(info: dict[str, Any]) -> dict[str, Any]:
    """What must be equal for two maps to be comparable."""
    model, settings = info["model"], info["settings"]
    return {
        "convention": info["convention"],
        **{key: model[key] for key in ("weights", "type", "output_inverted")},
        **{key: settings[key] for key in ("size", "precision", "resizing")},
    }


def _differences(known: dict[str, Any], info: dict[str, Any]) -> list[str]:
    there, now = _identity(known), _identity(info)
    names = f" (model {known['model'].get('name')} there, {info['model']['name']} now)"
    return [
        f"{key} {there[key]} there, {now[key]} now{names if key == 'weights' else ''}" for key in _changed(there, now)
    ]


def _changed(there: dict[str, Any], now: dict[str, Any]) -> Iterable[str]:
    return (key for key in now if there[key] != now[key])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
