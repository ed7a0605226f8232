"""Reader of files of ``torch.save``: it runs no code, verifies checksums, and bounds the memory by the file's size."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from io import BytesIO
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from .torch_objects import Storage, StorageType, TensorReader
from .unpickler import BROKEN_PICKLE, load_pickle

MAX_PICKLE = 2**28  # bytes of data.pkl: names, numbers, strings; the values of tensors are beside it
MAX_DIRECTORY = 2**26  # bytes of the table of contents of an archive
_MAX_EXPANSION = 20  # of compressed members; torch.save does not compress
_BLOCK = 2**24
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of files from before torch 1.6
# Errors of damaged files. Errors of the disk or network, which are OSError, are not among them.
BROKEN_FILE = (
    *BROKEN_PICKLE,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_torch_file(path: str) -> Any:
    """Read a file of ``torch.save``, once; the checksum of each member is verified while it is read.

    Args:
        path: of the file, a zip archive or in the format from before torch 1.6.

    Returns:
        The content, with tensors on the CPU. Tensors that cannot be weights are ``UnusableTensor``.

    Raises:
        UnsafePickleError: the file asks for another object; the message names it.
        Exception: the file is damaged (any of ``BROKEN_FILE``).
        OSError: the file cannot be read.
    """
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            _check_directory(file, size)
            with zipfile.ZipFile(file) as archive:
                return _read_archive(archive, size)
        file.seek(0)
        return _read_legacy(file, size)


def _check_directory(file: IO[bytes], size: int) -> None:
    """Bound the table of contents: zipfile makes an object for each of its entries."""
    file.seek(max(0, size - 2**16 - 22))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + 22 > len(tail):
        raise zipfile.BadZipFile("the end of the archive is missing: the file was cut")
    length = struct.unpack_from("<I", tail, place + 12)[0]
    large = tail.rfind(b"PK\x06\x06", 0, place)
    if length == 2**32 - 1 and 0 <= large <= len(tail) - 56:
        length = struct.unpack_from("<Q", tail, large + 40)[0]
    if length > min(size, MAX_DIRECTORY):
        raise zipfile.BadZipFile(f"a table of contents of {length:,} bytes")


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    members = archive.infolist()
    stored = sum(member.compress_size for member in members)
    if stored > size or sum(member.file_size for member in members) > _MAX_EXPANSION * size:
        raise ValueError("the contents of the archive are many times as large as the file")
    pickles = [m for m in members if m.filename.endswith("/data.pkl") and m.filename.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("it has no data.pkl: the archive is not of torch.save")
    if pickles[0].file_size > MAX_PICKLE:
        raise ValueError(f"data.pkl has {pickles[0].file_size:,} bytes")
    root = pickles[0].filename.removesuffix("data.pkl")
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.namelist() else b"little"
    if order != b"little":
        raise ValueError("it was written on a machine with another byte order")
    data = archive.read(pickles[0])
    return load_pickle(BytesIO(data), len(data), lambda file, n: _ArchiveReader(file, size, archive, f"{root}data/"))


class _ArchiveReader(TensorReader):
    """Reader of the pickle in an archive; storages are other members of it."""

    def __init__(self, file: IO[bytes], size: int, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file, size)
        self._archive, self._root = archive, root
        self._storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        """Return a storage: ("storage", type, key, location, number of elements)."""
        _, kind, key, _, count = _check_storage(pid, 5)
        if key not in self._storages:
            self._storages[key] = self._load(kind, self._archive.getinfo(self._root + key), count)
        return self._storages[key]

    def _load(self, kind: StorageType, member: zipfile.ZipInfo, count: int) -> Storage:
        if kind.dtype is None:
            return Storage(None)
        if member.file_size != count * kind.dtype.itemsize:
            raise ValueError(f"a storage of {member.file_size:,} bytes for {count:,} elements of {kind.dtype}")
        with self._archive.open(member) as file:
            content = _read_bytes(file, member.file_size)
            if file.read(1):
                raise ValueError(f"the member {member.filename} is longer than it says")
        return Storage(content.view(kind.dtype))


def _check_storage(pid: Any, length: int) -> tuple[Any, StorageType, str, Any, int]:
    """Return the first five values of the id of a storage."""
    if not isinstance(pid, tuple) or len(pid) < length or pid[0] != "storage" or not isinstance(pid[1], StorageType):
        raise ValueError("an object that is not a storage")
    key, count = str(pid[2]) if isinstance(pid[2], str | int) else "", pid[4]
    if not key or not isinstance(count, int) or not 0 <= count < 2**62:
        raise ValueError("the description of a storage is damaged")
    return pid[0], pid[1], key, pid[3], count


def _allocate(count: int) -> Tensor:
    try:
        return torch.empty(count, dtype=torch.uint8)
    except RuntimeError as error:  # of torch's allocator
        raise MemoryError(str(error)) from error


def _read_bytes(file: IO[bytes], count: int) -> Tensor:
    """Return the next bytes of a file as a tensor (count,) uint8."""
    return _fill(file, _allocate(count))


def _fill(file: IO[bytes], target: Tensor) -> Tensor:
    """Fill a tensor (N,) uint8 with the next bytes of a file, and return it."""
    view, place = target.numpy(), 0
    while place < len(view):
        block = file.read(min(_BLOCK, len(view) - place))
        if not block:
            raise EOFError(f"it ends {len(view) - place:,} bytes too early")
        view[place : place + len(block)] = np.frombuffer(block, np.uint8)
        place += len(block)
    return target


class _LegacyReader(TensorReader):
    """Reader of the pickle in a file from before torch 1.6; the bytes of the storages follow it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, size)
        self._size = size
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        """Return a storage: ("storage", type, key, location, number of elements, part)."""
        _, kind, key, _, count = _check_storage(pid, 6)
        if kind.dtype is None:
            raise ValueError("quantized tensors in the format from before torch 1.6 are not supported")
        if key not in self.storages:
            needed = count * kind.dtype.itemsize
            self._size -= needed
            if self._size < 0:
                raise ValueError(f"a storage of {needed:,} bytes, which is more than the file has")
            self.storages[key] = Storage(_allocate(needed).view(kind.dtype))
        whole, part = self.storages[key], pid[5]
        if part is None:
            return whole
        _, start, length = part
        elements = whole.elements
        if elements is None or not 0 <= start <= start + length <= len(elements):
            raise ValueError("a part of a storage that is not in it")
        return Storage(elements[start : start + length])


def _read_legacy(file: IO[bytes], size: int) -> Any:
    """Read four pickles (magic number, version, machine, content), the keys of the storages, and their bytes."""
    readers: list[_LegacyReader] = []

    def make_reader(stream: IO[bytes], length: int) -> _LegacyReader:
        readers.append(_LegacyReader(stream, length))
        return readers[-1]

    magic, version, machine, content = (load_pickle(file, size, make_reader) for _ in range(4))
    if magic != _MAGIC or version != _PROTOCOL:
        raise ValueError("an unknown version of the format from before torch 1.6")
    if not isinstance(machine, dict) or not machine.get("little_endian", True):
        raise ValueError("it was written on a machine with another byte order")
    keys = load_pickle(file, size, make_reader)
    storages = readers[3].storages
    if not isinstance(keys, list) or {str(key) for key in keys if isinstance(key, str | int)} != storages.keys():
        raise ValueError("the list of its storages is damaged")
    for key in keys:
        elements = storages[str(key)].elements
        assert elements is not None
        count = int.from_bytes(file.read(8), "little")
        if count != len(elements):
            raise ValueError(f"a storage of {count:,} elements, not {len(elements):,}")
        _fill(file, elements.view(torch.uint8))
    return content
