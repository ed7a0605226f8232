"""Fingerprints of jobs, by which a repeated command recognizes its own result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_BLOCK = 2**20


def fingerprint(files: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """Hash the contents of files and settings; the hash differs if any of them differs.

    Args:
        files: are read completely.
        settings: values that JSON or ``str`` can write.
    """
    digest = hashlib.sha256()
    for text in _encode(settings):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def digest_states(files: Iterable[tuple[str, Path]], times: bool = True) -> str:
    """Hash the names, sizes and times of change of files, without reading them.

    Args:
        files: (name, path); a missing file counts as such.
        times: include the times of change.
    """
    digest = hashlib.sha256()
    for name, path in files:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}" if times else f"{status.st_size}"
        except OSError:
            state = "missing"
        digest.update(f"{name}\0{state}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _encode(value: Any) -> Iterator[str]:
    """Encode a value as JSON in parts: the whole text of a large dataset would need much memory."""
    if isinstance(value, Mapping):
        yield f"dict {len(value)}"
        for key in sorted(value, key=str):
            yield f"key {key}"
            yield from _encode(value[key])
    elif isinstance(value, list):
        yield f"list {len(value)}"
        yield from (json.dumps(entry, sort_keys=True, default=str) for entry in value)
    else:
        yield json.dumps(value, default=str)
