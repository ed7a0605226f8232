"""Reader of safetensors files, with a bound of the header."""

from __future__ import annotations

import os

from torch import Tensor

from ...errors import UserError

MAX_HEADER = 2**24  # bytes; 10,000 tensors have about 2 MB


def is_safetensors(head: bytes, size: int) -> bool:
    """Return whether a file of ``size`` bytes with these first 9 bytes or more is a safetensors file."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file to the CPU. The format has no checksums.

    Raises:
        UserError: the file is damaged, or the package safetensors is not installed.
        OSError: the file cannot be read.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(f"{path} is a safetensors file: pip install safetensors, or give a .pth file") from error
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    reason = f"its header has {length:,} bytes" if length > MAX_HEADER else ""
    try:
        if not reason:
            return load_file(path)
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    raise UserError(f"{path} is not a sound safetensors file ({reason}). Download it again.")
