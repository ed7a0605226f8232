"""Files of strangers: lengths, references, compression and shapes are bounded before anything is allocated."""

import io
import pickle
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from depthbox.checkpoint.formats import scan
from depthbox.checkpoint.formats.safe_pickle import UnsafePickleError
from depthbox.checkpoint.weight_file import DamagedFileError, read_content
from depthbox.checkpoint.weights import load_weights


def zipped(body: bytes, more: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in {"archive/data.pkl": body, **(more or {})}.items():
            archive.writestr(name, data)
    return file.getvalue()


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpu%stQ"
)
LAUGHS = b"\x80\x04K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 60
HOSTILE = {
    "bytes of 1 TB": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"ab.",
    "a string of 4 GB": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"ab.",
    "a frame of 1 TB": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "an index of 2 billion": b"\x80\x02K\x01r" + struct.pack("<I", 2**31 - 1) + b".",
    "a key that refers to itself": b"\x80\x04}" + LAUGHS[2:] + b"K\x01s.",
    "references": LAUGHS + b".",
    "nested tuples": b"\x80\x02)" + b"\x85" * 20_000 + b".",
    "nested lists": b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "marks": b"\x80\x02" + b"(" * 200_000,
    "sets": b"\x80\x04" + b"\x8f0" * 100_000 + b"N.",
    "a bytearray of 1 TB": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R.",
    "an integer of 1 MB": b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\x01" * 10**6 + b".",
    "no pickle": b"hello",
    "copies": b"\x80\x04X\x40\x42\x0f\x00" + b"a" * 10**6 + b"\x940(" + b"c_codecs\nencode\nh\x00\x85R" * 400 + b"l.",
}  # fmt: skip


@pytest.fixture
def little_memory() -> Any:
    """Let the process allocate only 1 GB more than now."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_before_anything_is_allocated(
    tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    monkeypatch.setattr(scan, "MAX_OPCODES", 150_000)
    body, path = HOSTILE[name], tmp_path / "w.pth"
    header = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    path.write_bytes({"pickle": body, "zip": zipped(body), "legacy": header + body}[form])
    with pytest.raises(ValueError, match=r"w\.pth"):
        load_weights(nn.Linear(3, 2), str(path))


def test_compressed_and_overlapping_archives_are_refused(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(zipped(b"\x80\x02" + b"(" * 10**7, method=zipfile.ZIP_DEFLATED))
    with pytest.raises(DamagedFileError, match="many times as large as the file"):
        read_content(str(path))
    path.write_bytes(b"PK\x03\x04" + bytes(200) + b"PK\x05\x06" + bytes(8) + struct.pack("<II", 2**31, 0) + bytes(2))
    with pytest.raises(DamagedFileError, match="a table of contents of"):
        read_content(str(path))
    path.write_bytes(zipped(b"N.").replace(b"data.pkl", b"nono.pkl"))
    with pytest.raises(DamagedFileError, match=r"has no data\.pkl"):
        read_content(str(path))


@pytest.mark.parametrize(
    ("count", "shape", "strides", "message"),
    [
        (b"K\x04", b"K\x04\x85", b"K\x02\x85", "ends behind its storage"),
        (b"K\x05", b"K\x04\x85", b"K\x01\x85", "a storage of 16 bytes for 5 elements"),
        (b"K\x04", b"J\xff\xff\xff\xff\x85", b"K\x01\x85", "not a tuple of sizes"),
        (b"K\x04", b"K\x02K\x02\x86", b"K\x01\x85", "do not fit each other"),
        (b"J\xff\xff\xff\xff", b"K\x04\x85", b"K\x01\x85", "description of a storage is damaged"),
    ],
)
def test_forged_tensors_never_reach_behind_their_storage(
    tmp_path: Path, count: bytes, shape: bytes, strides: bytes, message: str
) -> None:
    body = b"\x80\x02" + TENSOR % count + b"K\x00" + shape + strides + b"\x89ccollections\nOrderedDict\n)RtR."
    path = tmp_path / "w.pth"
    path.write_bytes(zipped(body, {"archive/data/0": bytes(16)}))
    with pytest.raises(DamagedFileError, match=message):
        read_content(str(path))


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ctorch.storage\n_load_from_bytes\n.",
        b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02ctorch\nFloatStorage\nN}X\x05\x00\x00\x00dtypeK\x01s\x86b.",
    ],
)
def test_other_objects_of_torch_are_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(zipped(body))
    with pytest.raises(UnsafePickleError, match=r"w\.pth is refused: it asks for"):
        read_content(str(path))


def test_the_scan_follows_pickles_of_every_protocol() -> None:
    content = {"a": [1, 2.5, "x" * 300, b"y", None, True], ("k", 1): {1, 2}, "big": 2**60, "f": frozenset({3})}
    for protocol in range(6):
        data = pickle.dumps(content, protocol)
        assert scan.scan_pickle(io.BytesIO(data + b"rest"), len(data) + 4) == len(data)


def test_a_reference_in_the_message_of_a_foreign_key_is_short(tmp_path: Path) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({("a",) * 50: 1}))
    with pytest.raises(ValueError, match="a name of type tuple in it is"):
        load_weights(nn.Linear(3, 2), str(path))
