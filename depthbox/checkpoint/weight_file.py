"""Weight files of several projects: reading without running code, and selection of the weights in their content."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .formats.safe_pickle import UnsafePickleError, format_reason, format_refusal, read_arrays
from .formats.safetensors_file import is_safetensors, read_safetensors
from .formats.torch_file import BROKEN_FILE, read_torch_file
from .tensor_checks import describe_problem

# First bytes of zip files and of files from before torch 1.6.
_TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
# Errors of the system that damaged offsets in a file cause, in contrast to errors of a disk or network.
_BAD_OFFSET = (errno.EINVAL, errno.EOVERFLOW)


class DamagedFileError(UserError):
    """Error for a file that is truncated, has wrong checksums, or is of another format."""


@dataclass(frozen=True)
class WeightFile:
    """Tensors of a weight file.

    Attributes:
        state: tensors by the names of the file.
        by_suffix, caffe2: conventions of the names, see ``conversion.convert_names``.
    """

    state: dict[str, Tensor]
    by_suffix: bool = False
    caffe2: bool = False


def read_weight_file(path: str) -> WeightFile:
    """Read the tensors of a local file, without running code.

    Raises:
        ValueError: the file is damaged, unsafe, or holds no weights.
        OSError: the file cannot be read.
    """
    return select_weights(read_content(path), path)


def read_content(path: str) -> Any:
    """Read a local file of torch or safetensors, or a pickle of arrays, without running code.

    The file is read once. Checksums are verified, and lengths are bounded by the size of the file before anything is
    allocated. Tensors that cannot be weights (sparse, quantized, without values) are ``UnusableTensor``.

    Raises:
        ValueError: the file is damaged, unsafe, or has another format.
        OSError: the file cannot be read, or the memory is not sufficient: the file may be sound.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(16)
        if head.startswith(_TORCH):
            return _read_torch(path)
        return read_safetensors(path) if is_safetensors(head, os.path.getsize(path)) else read_arrays(path)
    except MemoryError as error:
        raise OSError(errno.ENOMEM, "the memory is not sufficient to read it", path) from error


def _read_torch(path: str) -> Any:
    try:
        return read_torch_file(path)
    except UnsafePickleError as error:
        raise UnsafePickleError(format_refusal(path, str(error))) from None
    except (*BROKEN_FILE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _BAD_OFFSET:
            raise
        raise DamagedFileError(
            f"{path} is not a sound checkpoint of torch ({format_reason(error)}). Download it again, or use an "
            "earlier checkpoint of the training run."
        ) from error


def select_weights(content: Any, path: str) -> WeightFile:
    """Select the weights in the content of a file.

    Args:
        content: of ``read_content``.
        path: of the file, for messages and for its format.

    Raises:
        ValueError: the content holds no weights.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of weights: give a checkpoint")
    keys = ("model", "state_dict", "model_state", "blobs")  # Detectron2; Lightning and timm; pycls; Detectron
    key = next((key for key in keys if isinstance(content.get(key), dict)), "")
    state = content[key] if key else content
    if not state:
        raise ValueError(f"{path} holds no weights: it is an empty dict. Give a checkpoint.")
    # Only names of Caffe2 contain no dots, and only such files lack an entry about their origin.
    dotless = not any("." in name for name in state if isinstance(name, str))
    author, heuristics = content.get("__author__"), content.get("matching_heuristics")
    caffe2 = (isinstance(author, str) and author == "Caffe2") or (dotless and _is_pickle(path))
    unused = "_momentum" if caffe2 else "num_batches_tracked" if key == "model_state" else "\0"
    by_suffix = caffe2 or key == "model_state" or (isinstance(heuristics, int) and bool(heuristics))
    return WeightFile(convert_tensors(state, path, unused), by_suffix, caffe2)


def _is_pickle(path: str) -> bool:
    with open(path, "rb") as file:
        return not file.read(16).startswith(_TORCH)


def convert_tensors(state: Mapping[Any, Any], path: str, unused: str = "\0") -> dict[str, Tensor]:
    """Convert arrays to tensors, strip the name prefix of DataParallel, and keep the module versions of torch.

    Args:
        state: arrays or tensors of any shape by name.
        path: of the file, for messages.
        unused: names with this suffix are left out.

    Raises:
        ValueError: a name is not a str, or a value cannot be a weight.
    """
    versions = getattr(state, "_metadata", None)
    prefix = "module." if state and all(isinstance(n, str) and n.startswith("module.") for n in state) else ""
    result: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in state.items():
        if isinstance(name, str) and name.endswith(unused):
            continue
        tensor = _to_tensor(value)
        problem = describe_problem(tensor)
        if problem or not isinstance(name, str):
            shown = repr(name[:60]) if isinstance(name, str) else f"a name of type {type(name).__name__}"
            raise ValueError(
                f"{path} holds no weights: {shown} in it is {problem or 'not a str'}. "
                "Give a dict of tensors by name, or a checkpoint with such a dict as 'model'."
            )
        result[name.removeprefix(prefix)] = tensor
    if versions is not None:
        result._metadata = {name.removeprefix(prefix): v for name, v in versions.items()}  # type: ignore[attr-defined]
    return result


def _to_tensor(value: Any) -> Any:
    """Convert an array or number of numpy to a tensor; other values, and types that torch lacks, are unchanged."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    try:
        return torch.as_tensor(value)
    except TypeError:
        return value
