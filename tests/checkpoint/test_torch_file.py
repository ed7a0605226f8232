"""Files of torch: same content as torch.load, damage is found in every byte of a tensor, and the memory is bounded."""

import collections
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

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
