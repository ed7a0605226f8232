"""Damaged images, numpy arrays and checkpoints."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import torch
from damage_toy import Damage, damage_bytes
from PIL import Image


class Payload:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def damage_image(data: bytes, rng: random.Random) -> Damage:
    """Damage an image of 64 x 96 pixels, or replace it by one of another size, mode or format."""
    if rng.random() < 0.4:
        return damage_bytes(data, rng)
    made = [("RGB", (1, 1), "PNG"), ("RGB", (1, 5000), "PNG"), ("P", (96, 64), "PNG"), ("I;16", (96, 64), "PNG")]
    made += [("1", (96, 64), "PNG"), ("LA", (96, 64), "PNG"), ("CMYK", (96, 64), "JPEG"), ("F", (96, 64), "TIFF")]
    mode, size, form = rng.choice(made)
    file = io.BytesIO()
    Image.new(mode, size).save(file, format=form)
    return rng.choice(
        [
            *[Damage(file.getvalue(), f"{form} of {size} and mode {mode}")] * 5,
            Damage(b"", "empty", True),
            Damage(b"no image", "text", True),
            Damage(_claim_size(60000, 60000), "header of 3.6 gigapixels", True),
            Damage(_claim_size(12000, 12000), "header of 144 megapixels", True),
            Damage(_claim_size(0, 0), "header of no pixels", True),
            Damage(_claim_size(2**31, 2**31), "header of 4 exapixels", True),
            Damage(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", True),
            Damage(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n%%EndComments\n", "EPS", True),
        ]
    )


def _claim_size(width: int, height: int) -> bytes:
    """Return a PNG file whose header promises more pixels than the file has."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def damage_array(rng: random.Random, payload: str) -> Damage:
    """Make a damaged .npy file of depth."""
    good = _save_array(np.linspace(0, 1, 64 * 96, dtype=np.float32).reshape(64, 96))
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    objects = np.array([Payload(payload)], dtype=object)
    return rng.choice(
        [
            damage_bytes(good, rng),
            Damage(b"", "empty", True),
            Damage(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header, "4 TB promised", True),
            Damage(good.replace(b"(64, 96)", b"(10**9,)"), "expression as shape", True),
            Damage(good[:6] + b"\x09\x09" + good[8:], "unknown version", True),
            Damage(_save_array(objects, allow_pickle=True), "pickled object", True),
            Damage(pickle.dumps(Payload(payload)), "bare pickle", True),
            Damage(_save_array(np.zeros((64, 96, 3), np.float32)), "three axes", True),
            Damage(_save_array(np.zeros((0, 96), np.float32)), "no row", True),
            Damage(_save_array(np.float32(1)), "no axis", True),
            Damage(_save_array(np.full((64, 96), np.nan, np.float32)), "not a number", True),
            Damage(_save_array(np.zeros((64, 96), complex)), "complex", True),
            Damage(_save_array(np.array([["a"]])), "texts", True),
            Damage(_save_array(np.zeros((64, 96), dtype=[("a", "f4")])), "records", True),
        ]
    )


def _save_array(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def damage_checkpoint(data: bytes, rng: random.Random, payload: str) -> Damage:
    """Damage a checkpoint of a training run; ``payload`` is a file that no program may create."""
    roll = rng.random()
    if roll < 0.25:
        return damage_bytes(data, rng)
    state = torch.load(io.BytesIO(data), weights_only=True)
    return _damage_content(state, rng) if roll < 0.65 else _replace_checkpoint(data, state, rng, payload)


def _damage_content(state: dict[str, Any], rng: random.Random) -> Damage:
    """Save a checkpoint anew with another tensor, other types or missing parts."""
    model = state["model"]
    name = rng.choice([name for name, tensor in model.items() if tensor.is_floating_point()])
    tensors: dict[str, Any] = {
        "a text": "hello",
        "None": None,
        "another shape": torch.zeros(5, 5, 5),
        "no axis": torch.tensor(1.0),
        "complex": torch.zeros(3, dtype=torch.complex64),
        "sparse": torch.eye(4).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "4 TB expanded": torch.zeros(1).expand(2**20, 2**20),
        "quantized": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
        "infinite": model[name] + float("inf"),
        "not a number": model[name] * float("nan"),
    }
    changes: dict[str, Any] = {
        "no optimizer": {key: value for key, value in state.items() if key != "optimizer"},
        "optimizer None": {**state, "optimizer": None},
        "trainer list": {**state, "trainer": [1]},
        "trainer number": {**state, "trainer": 5},
        "model list": {**state, "model": [1]},
        "no weights": {"model": {}},
        "integers as names": {"model": dict(enumerate(model.values()))},
        "integers as weights": {**state, "model": {key: value.long() for key, value in model.items()}},
        "iteration 10^12": {**state, "iteration": 10**12},
        "a list": [1, 2],
        "None instead": None,
        "a tensor": torch.zeros(3),
    }
    if rng.random() < 0.5:
        kind = rng.choice(sorted(tensors))
        return Damage(
            _save({**state, "model": {**model, name: tensors[kind]}}), f"{name} {kind}", tensors[kind] == "hello"
        )
    kind = rng.choice(sorted(changes))
    unusable = kind in ("model list", "no weights", "integers as names", "a list", "None instead", "a tensor")
    return Damage(_save(changes[kind]), kind, unusable)


def _replace_checkpoint(data: bytes, state: dict[str, Any], rng: random.Random, payload: str) -> Damage:
    """Replace a checkpoint by a file of another kind, or by one that runs code or takes much memory when loaded."""
    evil, model = Payload(payload), state["model"]
    storage = bytearray(data)
    storage[len(data) // 2] ^= 0x7F
    return rng.choice(
        [
            Damage(b"", "empty", True),
            Damage(b"<html>404 not found</html>", "HTML", True),
            Damage(data[: len(data) * 2 // 3], "two thirds", True),
            Damage(bytes(storage), "byte of a tensor", True),
            Damage(pickle.dumps(evil), "payload", True),
            Damage(pickle.dumps({"model": {"a.b": evil}}), "payload in a dict", True),
            Damage(_save({"model": {**model, "evil": evil}}), "payload of torch", True),
            Damage(_save({"model": {"e": evil}}, _use_new_zipfile_serialization=False), "old payload of torch", True),
            Damage(_zip(pickle.dumps(evil)), "payload in a zip file", True),
            Damage(b"cposix\nsystem\n(S'touch " + payload.encode() + b"'\ntR.", "payload as text", True),
            Damage(b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"ab.", "1 TB of bytes promised", True),
            Damage(b"\x80\x02K\x01r" + struct.pack("<I", 2**31 - 1) + b".", "large memo", True),
            Damage(b"\x80\x04" + b"]" * 100000 + b"a" * 99999 + b".", "deep lists", True),
            Damage(b"\x80\x04K\x01q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b".", "billion laughs", True),
            Damage(_zip(b"\x80\x02" + b"(" * 10**7), "compressed marks", True),
            Damage(b"archive".ljust(257, b"\0") + b"ustar" + bytes(1000), "tar file", True),
            Damage(pickle.dumps({"model": {k: v.numpy() for k, v in model.items()}})[:-200], "cut off pickle", True),
        ]
    )


def _save(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _zip(body: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()
