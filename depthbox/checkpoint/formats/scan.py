"""Bounds of a pickle, verified before it is loaded: lengths, memo, depth, and the work of its references.

A pickle of a few bytes can ask for gigabytes: by a length, by an index of the memo, or by tuples that refer to each
other, whose hash takes exponential time. The scan follows the stack of the pickle machine without building objects.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import IO, NamedTuple

MAX_OPCODES = 2_000_000  # each can allocate about 200 bytes; a tensor in a checkpoint has about 30
MAX_WORK = 50_000_000  # elements that are visited when tuples are hashed
MAX_DEPTH = 100  # of nested tuples: their hash is recursive in C
MAX_INTEGER = 16  # bytes
_LENGTH_BYTES = {-2: 1, -3: 4, -4: 4, -5: 8}  # pickletools: length that precedes an argument
_UP_TO_NEWLINE = -1
_REFUSED = ("EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER")
_TWO_LINES = ("GLOBAL", "INST")
_LITERALS = ("INT", "LONG", "FLOAT", "GET", "PUT", "PERSID")


class _Value(NamedTuple):
    """An object on the stack: number of its elements and depth, if all references in tuples are expanded."""

    size: int = 1
    depth: int = 0


_ATOM = _Value()


@dataclass(frozen=True)
class _Operation:
    """An operation of the pickle machine.

    Attributes:
        name: as in ``pickletools``.
        argument: number of bytes of its argument, or a negative kind of ``pickletools``.
        to_mark: it pops all values down to the last mark.
        pops: number of values that it pops besides.
        pushes: number of values that it pushes.
    """

    name: str
    argument: int
    to_mark: bool
    pops: int
    pushes: int


def _describe(opcode: pickletools.OpcodeInfo) -> _Operation:
    marked = pickletools.markobject in opcode.stack_before
    popped = [kind for kind in opcode.stack_before if kind not in (pickletools.markobject, pickletools.stackslice)]
    pops = 0 if opcode.name == "OBJ" else len(popped)  # its class lies behind the mark
    return _Operation(opcode.name, opcode.arg.n if opcode.arg else 0, marked, pops, len(opcode.stack_after))


_OPERATIONS = {opcode.code.encode("latin1"): _describe(opcode) for opcode in pickletools.opcodes}


def scan_pickle(file: IO[bytes], size: int) -> int:
    """Verify one pickle in a file, from the current position on, without loading it.

    Args:
        file: seekable binary file.
        size: of the file, in bytes.

    Returns:
        The position behind the pickle; the file is there.

    Raises:
        ValueError: the pickle is damaged, or asks for more memory or time than its size justifies.
    """
    machine = _Machine(file, size)
    for _ in range(MAX_OPCODES):
        if machine.step():
            return file.tell()
    raise ValueError(f"it has more than {MAX_OPCODES:,} operations")


@dataclass
class _Machine:
    """The stack of a pickle; ``step`` follows one operation."""

    file: IO[bytes]
    size: int
    stack: list[_Value] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, _Value] = field(default_factory=dict)
    work: int = 0

    def step(self) -> bool:
        """Follow the next operation; return whether it was the last one."""
        code = self.file.read(1)
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise ValueError(f"unknown operation {code!r}" if code else "it ends too early")
        if operation.name in _REFUSED:
            raise ValueError(f"the operation {operation.name} is not supported")
        self._apply(operation, self._read_argument(operation))
        return operation.name == "STOP"

    def _read_argument(self, operation: _Operation) -> bytes:
        """Return a short argument; skip a long one if the file has that many bytes."""
        if operation.argument >= 0:
            return self._read_exactly(operation.argument)
        if operation.argument == _UP_TO_NEWLINE:
            line = self.file.readline()
            if operation.name in _TWO_LINES:
                self.file.readline()
            if operation.name in _LITERALS and len(line) > 64:
                raise ValueError(f"a number of {len(line)} characters")
            return line
        length = int.from_bytes(self._read_exactly(_LENGTH_BYTES[operation.argument]), "little")
        self._require(length)
        if operation.name.startswith("LONG") and length > MAX_INTEGER:
            raise ValueError(f"an integer of {length} bytes")
        self.file.seek(length, 1)
        return b""

    def _read_exactly(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) != count:
            raise ValueError("it ends too early")
        return data

    def _require(self, length: int) -> None:
        left = self.size - self.file.tell()
        if length > left:
            raise ValueError(f"it asks for {length:,} bytes, but has only {left:,} more")

    def _apply(self, operation: _Operation, argument: bytes) -> None:
        name = operation.name
        if name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "FRAME":
            self._require(int.from_bytes(argument, "little"))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memoize(len(self.memo) if name == "MEMOIZE" else _index(name, argument))
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self._recall(_index(name, argument)))
        elif name == "DUP":
            self.stack.append(self._top())
        elif name == "POP" and self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self._replace(operation)

    def _replace(self, operation: _Operation) -> None:
        popped: list[_Value] = []
        if operation.to_mark:
            if not self.marks:
                raise ValueError("a mark is missing")
            mark = self.marks.pop()
            popped = self.stack[mark:]
            del self.stack[mark:]
        for _ in range(operation.pops):
            popped.append(self._top())
            self.stack.pop()
        total = sum(value.size for value in popped)
        self.work += total
        if self.work > MAX_WORK:
            raise ValueError("its tuples refer to each other too often")
        value = _ATOM
        if operation.name.startswith("TUPLE") or operation.name == "FROZENSET":
            value = _Value(1 + total, 1 + max((value.depth for value in popped), default=0))
            if value.depth > MAX_DEPTH:
                raise ValueError("its tuples are nested too deeply")
        self.stack.extend([value] * operation.pushes)

    def _top(self) -> _Value:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("a value is missing")
        return self.stack[-1]

    def _memoize(self, index: int) -> None:
        if not 0 <= index <= MAX_OPCODES:
            raise ValueError(f"index {index:,} of a memo that has {len(self.memo):,} entries")
        self.memo[index] = self._top()

    def _recall(self, index: int) -> _Value:
        if index not in self.memo:
            raise ValueError(f"the memo has no entry {index}")
        return self.memo[index]


def _index(name: str, argument: bytes) -> int:
    return int(argument) if name in ("PUT", "GET") else int.from_bytes(argument, "little")
