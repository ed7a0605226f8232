"""Files of numbers whose header or content is wrong."""

import io
import pickle
import resource
import struct

import numpy as np
import pytest
from PIL import Image

from depthbox.io.untrusted import arrays
from depthbox.io.untrusted.arrays import (
    ArrayFileError,
    PngFileError,
    read_array,
    read_png,
    read_png_header,
    scale_to_rgb,
)


def with_header(text: str, version: bytes = b"\x01\x00", data: bytes = b"") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text.encode() + data


def header(shape: object, descr: str = "'<f4'", order: object = False) -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize("dtype", ["f4", "f2", ">f8", "u1", "i8", "?", "c8", np.longdouble])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers_are_read_as_numpy_reads_them(tmp_path, dtype, order):
    values = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    found = read_array(tmp_path / "a.npy")
    assert found.dtype == values.dtype and np.array_equal(found, values)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "npz"),
        (pickle.dumps({"a": 1}), "not a .npy file"),
        (with_header(header("(1000000, 1000000)")), r"1000000 x 1000000 \(4000000000000 bytes\), but the file holds 0"),
        (with_header(header((2, 2)), data=b"\0" * 15), "holds 15"),
        (with_header(header((2, 2)), data=b"\0" * 17), "holds 17"),
        (with_header(header((-1, 2))), "damaged"),
        (with_header(header(f"({2**70},)")), "damaged"),
        (with_header(header("(10**9,)")), "damaged"),
        (with_header(header("(True,)")), "damaged"),
        (with_header(header((2,), order=1)), "damaged"),
        (with_header("{"), "damaged"),
        (with_header("'''"), "damaged"),
        (with_header("(" * 5000), "damaged"),
        (with_header("5"), "damaged"),
        (with_header(header((2,), "'|O'")), "the type object"),
        (with_header(header((2,), "'<U9'")), "not plain numbers"),
        (with_header(header((2,), "[('a', '<f4')]")), "structured"),
        (with_header(header((2,), "'<f4,<f4'")), "not plain numbers"),
        (with_header(header((2,), "'nonsense'")), "damaged"),
        (with_header(header((2, 2)), b"\x09\x09"), "unknown version"),
        (with_header(header((2, 2)), b"\x02\x00")[:11], "truncated"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31), "truncated"),
    ],
)
def test_damaged_files_are_refused_before_memory_is_taken(tmp_path, content, cause):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArrayFileError, match=cause):
        read_array(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_pickles_are_not_loaded(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.save(tmp_path / "a.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(ArrayFileError, match="object"):
        read_array(tmp_path / "a.npy")
    assert not (tmp_path / "ran").exists()


def test_png_files_are_read_as_stored(tmp_path):
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 9999
    Image.fromarray(values).save(tmp_path / "a.png")
    found = read_png(tmp_path / "a.png")
    assert found.header.is_gray_16 and found.header.size == (2, 3) and np.array_equal(found.values, values)
    assert read_png_header(tmp_path / "a.png") == found.header
    assert not read_png_header(_encode(Image.new("P", (3, 2)))).is_gray_16


def test_other_files_are_not_png_files(tmp_path, monkeypatch):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n%%EndComments\n"
    for content in (b"", eps, _encode(Image.new("L", (3, 2)), "JPEG")):
        with pytest.raises(PngFileError, match="not a PNG file"):
            read_png(content)
    with pytest.raises(PngFileError, match="truncated or damaged"):
        read_png(_encode(Image.effect_noise((64, 64), 50))[:200])
    monkeypatch.setattr(arrays, "MAX_PIXELS", 5)
    with pytest.raises(PngFileError, match="3 x 2 pixels, at most 5 are read"):
        read_png_header(_encode(Image.new("L", (3, 2))))


def test_scaling_in_parts_equals_scaling_at_once(monkeypatch):
    monkeypatch.setattr(arrays, "_ROWS", 3)
    generator = np.random.default_rng(0)
    real = generator.normal(size=(10, 7)).astype(np.float32)
    real[0, 0], real[9, 6] = np.nan, np.inf
    finite = real[np.isfinite(real)].astype(np.float64)
    shares = np.clip((real - finite.min()) / (finite.max() - finite.min()), 0, 1) * 255
    expected = np.rint(np.nan_to_num(shares, nan=0)).astype(np.uint8)
    assert np.array_equal(scale_to_rgb(real), np.repeat(expected[:, :, None], 3, axis=2))
    deep = generator.integers(100, 60000, (10, 7, 3)).astype(np.uint16)
    assert np.array_equal(scale_to_rgb(deep), scale_to_rgb(deep.astype(np.float64)))
    assert not scale_to_rgb(np.full((4, 4), 7, np.uint16)).any()


def _encode(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format=form)
    return file.getvalue()
