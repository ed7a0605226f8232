"""Folder of depth maps, all generated with the same settings, which ``depth_info.json`` records."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ...io.files import atomic_open, explain_write_errors, remove_stale
from ...io.folder_lock import lock_folder
from ...io.images import ImageError, image_size
from ...io.untrusted.json_files import read_json
from ...io.write_errors import describe_shortage
from .items import DEPTH_SUFFIX, DepthItem, output_size
from .model import ModelInfo, PseudoDepthError

SIDECAR = "depth_info.json"
CONVENTION = "inverse depth, each map stretched to [0, 1], 1 = near; 16-bit gray PNG, value * 65535"
_SAMPLE, _PIXEL_BYTES = 100, 1.2  # images whose sizes are read, and bytes of a pixel of a map
_RESIZING = "bilinear with antialiasing, before the stretching"


def describe_folder(model: ModelInfo, short_side: int | None, half: bool) -> dict[str, Any]:
    """Return the content of ``depth_info.json``.

    Args:
        model: model that generates the maps.
        short_side: short side of the maps in pixels; None = that of each image.
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
        "versions": {"python": platform.python_version(), **{name: _find_version(name) for name in packages}},
    }


@contextlib.contextmanager
def occupy_folder(output: str | os.PathLike[str], shard: int = 0, count: int = 1) -> Iterator[None]:
    """Lock a shard of a folder of depth maps, and remove the temporary files of dead processes before and after.

    Other shards of the folder may be generated at the same time.

    Raises:
        FolderInUseError: another process generates the same shard.
        WriteError: the folder cannot be written.
    """
    with lock_folder(output, "generation of depth maps", f"shard_{shard}_of_{count}"):
        remove_stale(output, recursive=True)
        try:
            yield
        finally:
            remove_stale(output, recursive=True)


def describe_depth_shortage(items: Sequence[DepthItem], short_side: int | None, output: str | os.PathLike[str]) -> str:
    """Return a line if the disk probably has less space than the maps of images will take; "" otherwise.

    The sizes are those of a sample of the images.
    """
    sample = items[:: max(1, len(items) // _SAMPLE)]
    pixels = []
    for item in sample:
        with contextlib.suppress(ImageError):
            height, width = output_size(item.size or image_size(item.image), short_side)
            pixels.append(height * width)
    return describe_shortage(output, len(items) * _PIXEL_BYTES * sum(pixels) / len(pixels)) if pixels else ""


def prepare_folder(
    output: str | os.PathLike[str],
    items: Sequence[DepthItem],
    info: dict[str, Any],
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> None:
    """Check that a folder holds maps of the same settings only, and write its ``depth_info.json``.

    Args:
        output: the folder; created if missing.
        items: all images that get a map in the folder, not only those of one shard.
        info: output of ``describe_folder``. Names of models and versions of libraries may differ from those in the
            folder; weights, convention and settings may not.
        overwrite: remove existing maps of ``items``.
        dry_run: check only, change nothing.

    Raises:
        PseudoDepthError: the folder holds maps of other settings. With ``overwrite`` only if maps of other images are
            among them, which are never removed.
    """
    output = Path(output)
    # In this order: another shard writes depth_info.json before its first map. Maps without it are of unknown origin.
    present = {path for path in output.rglob(f"*{DEPTH_SUFFIX}") if not path.name.startswith(".")}
    known = _read_sidecar(output / SIDECAR)
    different = _find_differences(known, info) if known is not None else []
    if known is None and present:
        different = [f"{SIDECAR} is missing"]
    targets = {item.depth for item in items}
    if present and different:
        _refuse(output, different, sorted(present - targets) if overwrite else [], overwrite)
    if dry_run:
        return
    if overwrite:
        for path in present & targets:
            with explain_write_errors(path):
                path.unlink(missing_ok=True)
    if known is None or different:
        with atomic_open(output / SIDECAR) as file:
            file.write((json.dumps(info, indent=2) + "\n").encode())


def _refuse(output: Path, different: Sequence[str], others: Sequence[Path], overwrite: bool) -> None:
    if overwrite and not others:
        return
    remedy = "Choose another folder, use the same settings as before"
    if overwrite:
        remedy += f", or remove the maps of other images first ({len(others)}, such as {others[0]})."
    else:
        remedy += (
            " (--model, --revision with the commit, --size, --invert, --half), or generate them again with --overwrite."
        )
    raise PseudoDepthError(f"{output} holds depth maps of other settings: {'; '.join(different)}. {remedy}")


def _read_sidecar(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        known = read_json(path)
        _get_settings(known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PseudoDepthError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it, or remove it and the maps beside it"
        ) from error
    return known


def _get_settings(info: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that must be equal for all maps of a folder."""
    model, settings = info["model"], info["settings"]
    return {
        "convention": re.sub("gr[ae]y", "gray", info["convention"]),  # earlier versions spelled it differently
        **{key: model[key] for key in ("weights", "type", "output_inverted")},
        **{key: settings[key] for key in ("size", "precision", "resizing")},
    }


def _find_differences(known: dict[str, Any], info: dict[str, Any]) -> list[str]:
    there, now = _get_settings(known), _get_settings(info)
    names = f" (model {known['model'].get('name')} there, {info['model']['name']} now)"
    return [
        f"{key} {there[key]} there, {now[key]} now{names if key == 'weights' else ''}"
        for key in now
        if there[key] != now[key]
    ]


def _find_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
