"""Files of torch: same content as torch.load, damage is found in every byte of a tensor, and the memory is bounded."""

import collections
import io
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from depthbox.checkpoint.formats import scan
from depthbox.checkpoint.formats.safe_pickle import UnsafePickleError
from depthbox.checkpoint.training_state import read_checkpoint, teacher_state
from depthbox.checkpoint.weight_file import DamagedFileError, read_content
from depthbox.checkpoint.weights import load_weights


def saved(folder: Path, content: Any, legacy: bool = False) -> Path:
    path = folder / "w.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def every_type() -> dict[str, Any]:
    dtypes = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "types": {str(dtype): torch.arange(5).to(dtype) for dtype in dtypes},
        "views": [base, base.t(), base[1:, ::2], base[:0], torch.tensor(3.5)],
        "parameter": nn.Parameter(torch.ones(2)).detach(),
        "plain": [None, True, 7, -(2**40), 1.5, "text", ("a", (1, 2)), {"deep": {"er": [1]}}],
        "complex": torch.ones(2, dtype=torch.complex64),
    }


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_content_equals_that_of_torch(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path, every_type(), legacy)
    assert same(torch.load(path, weights_only=True), read_content(str(path)))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_network_and_its_optimizer_are_read_with_module_versions(tmp_path: Path, legacy: bool) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    content = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "p": network[0].weight}
    found = read_content(str(saved(tmp_path, content, legacy)))
    assert same(dict(network.state_dict()), dict(found["model"]))
    assert found["model"]._metadata["1"] == {"version": 2}
    assert same(optimizer.state_dict(), found["optimizer"]) and torch.equal(found["p"], network[0].weight)


def test_shared_storages_stay_shared_and_tensors_are_writable(tmp_path: Path) -> None:
    base = torch.zeros(6)
    found = read_content(str(saved(tmp_path, {"a": base, "b": base[2:]})))
    found["b"][0] = 5.0
    assert found["a"][2] == 5.0


def test_objects_that_torch_accepts_beside_tensors(tmp_path: Path) -> None:
    content = {"size": torch.Size([1, 2]), "type": torch.float16, "counts": collections.Counter({3: 1}), "set": {1}}
    found = read_content(str(saved(tmp_path, content)))
    assert found == {"size": (1, 2), "type": torch.float16, "counts": {3: 1}, "set": [1]}


READERS: dict[str, Callable[[Path], Any]] = {
    "content": lambda path: read_content(str(path)),
    "checkpoint": read_checkpoint,
    "teacher": teacher_state,
    "weights": lambda path: load_weights(nn.Linear(50, 40), str(path)),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_flipped_bit_in_any_tensor_is_found_by_every_reader(tmp_path: Path, reader: str) -> None:
    state = nn.Linear(50, 40).state_dict()
    momenta = {"state": {0: {"momentum_buffer": torch.full((40, 50), 7.0)}}, "param_groups": []}
    path = saved(tmp_path, {"model": state, "optimizer": momenta, "trainer": {"iteration": 1}})
    sound = path.read_bytes()
    READERS[reader](path)
    for tensor in (state["weight"], state["bias"], momenta["state"][0]["momentum_buffer"]):
        place = sound.index(tensor.contiguous().numpy().tobytes()) + 5
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(DamagedFileError, match=r"w\.pth is not a sound checkpoint.*CRC"):
            READERS[reader](path)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_that_was_cut_anywhere_is_damaged(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path, {"model": {"a.b": torch.ones(500)}}, legacy)
    sound = path.read_bytes()
    for length in range(0, len(sound) - 1, 97):
        path.write_bytes(sound[:length])
        with pytest.raises(ValueError, match=r"w\.pth"):
            read_content(str(path))


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(4).to_sparse(), "a sparse tensor"),
        (torch.zeros(3, device="meta"), "without values"),
        (torch.zeros(1).expand(2**20, 2**20), "1,099,511,627,776 elements, of which the file holds 1"),
        (torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8), "a quantized tensor"),
        (torch.zeros(3, dtype=torch.complex64), "complex"),
        (None, "of type NoneType, not a tensor"),
        ("hello", "of type str, not a tensor"),
    ],
)
def test_tensors_that_cannot_be_weights_are_named(tmp_path: Path, tensor: Any, kind: str) -> None:
    path = saved(tmp_path, {"model": {"weight": torch.ones(2, 3), "bias": tensor}})
    with pytest.raises(ValueError, match=rf"w\.pth holds no weights: 'bias' in it is .*{kind}.*Give "):
        load_weights(nn.Linear(3, 2), str(path))
    read_content(str(saved(tmp_path, {"model": {"a": torch.ones(1)}, "unused": tensor})))


def test_a_small_expanded_tensor_is_read(tmp_path: Path) -> None:
    found = read_content(str(saved(tmp_path, {"a": torch.ones(1, 3).expand(4, 3)})))
    assert torch.equal(found["a"], torch.ones(4, 3))


@pytest.mark.parametrize(("dtype", "value"), [(torch.bool, 1), (torch.int64, 1), (torch.float32, float("nan"))])
def test_values_that_cannot_be_weights_are_refused_with_the_tensor(tmp_path: Path, dtype: Any, value: Any) -> None:
    network = nn.Linear(3, 2)
    before = network.weight.clone()
    state = {"weight": torch.full((2, 3), value, dtype=dtype), "bias": torch.zeros(2)}
    with pytest.raises(ValueError, match=r"w\.pth: the tensor weight (is torch|has values that are NaN).*Give another"):
        load_weights(network, str(saved(tmp_path, {"model": state})))
    assert torch.equal(network.weight, before)


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


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, {"model": {"a.b": torch.ones(5)}})

    def fail(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(zipfile.ZipExtFile, "read", fail)
        read_content(str(path))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="memory is not sufficient"):
        patch.setattr(torch, "empty", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("not enough memory")))
        read_content(str(path))
    with pytest.raises(OSError, match="directory"):
        read_content(str(tmp_path))


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
