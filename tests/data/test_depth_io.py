import os

import numpy as np
import pytest
from PIL import Image

from depthbox.data.depth_io import DepthFileError, read_depth, resize_depth, write_depth


def ramp(height, width):
    return np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0.5 / 65535 + 1e-7), (".npy", 0)])
def test_round_trip(tmp_path, suffix, tolerance):
    path = tmp_path / f"depth{suffix}"
    write_depth(path, ramp(20, 30))
    depth = read_depth(path, (20, 30))
    assert depth.dtype == np.float32 and depth.shape == (20, 30)
    assert np.abs(depth - ramp(20, 30)).max() <= tolerance
    assert os.listdir(tmp_path) == [path.name]


def test_png_is_16_bit_gray_with_65535_near(tmp_path):
    write_depth(tmp_path / "d.png", np.array([[0.0, 1.0]], dtype=np.float32))
    with Image.open(tmp_path / "d.png") as image:
        assert np.array_equal(np.asarray(image), [[0, 65535]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_npy_types_give_float32(tmp_path, dtype):
    np.save(tmp_path / "d.npy", ramp(4, 6).astype(dtype))
    depth = read_depth(tmp_path / "d.npy", (4, 6))
    assert depth.dtype == np.float32 and depth.max() <= 1


@pytest.mark.parametrize(
    ("size", "image_size"),
    [((213, 320), (427, 640)), ((214, 320), (427, 640)), ((320, 213), (640, 427)), ((427, 640), (427, 640)),
     ((854, 1280), (427, 640)), ((384, 576), (427, 640)), ((1, 1), (1, 1))],
)  # fmt: skip
def test_other_resolutions_of_the_same_aspect(tmp_path, size, image_size):
    write_depth(tmp_path / "d.npy", np.zeros(size, dtype=np.float32))
    assert read_depth(tmp_path / "d.npy", image_size).shape == size


@pytest.mark.parametrize("size", [(211, 320), (216, 320), (320, 213), (425, 640), (100, 100)])
def test_another_aspect_is_an_error_with_both_sizes(tmp_path, size):
    write_depth(tmp_path / "d.png", np.zeros(size, dtype=np.float32))
    with pytest.raises(DepthFileError) as error:
        read_depth(tmp_path / "d.png", (427, 640))
    for part in (
        str(tmp_path / "d.png"),
        f"{size[0]} x {size[1]}",
        "427 x 640",
        "`depthbox depth`",
    ):
        assert part in str(error.value)


def save_png(pixels, mode=None):
    def save(path):
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(path, format="PNG")

    return save


def truncated(path):
    save_png((np.random.default_rng(0).random((64, 64)) * 65535).astype(np.uint16))(path)
    path.write_bytes(path.read_bytes()[:2000])


def save_jpeg(path):
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(path, format="JPEG")


def save_npz(path):
    with open(path, "wb") as file:
        np.savez(file, depth=ramp(8, 8))


BROKEN = {
    "missing.png": (lambda path: None, "does not exist"),
    "eight_bit.png": (save_png(np.zeros((8, 8), np.uint8)), "16-bit gray"),
    "color.png": (save_png(np.zeros((8, 8, 3), np.uint8)), "16-bit gray"),
    "palette.png": (save_png(np.zeros((8, 8, 3), np.uint8), "P"), "16-bit gray"),
    "jpeg.png": (save_jpeg, "16-bit gray"),
    "text.png": (lambda path: path.write_text("no picture"), "cannot be read"),
    "empty.png": (lambda path: path.write_bytes(b""), "cannot be read"),
    "truncated.png": (truncated, "cannot be read"),
    "depth.tif": (save_png(np.zeros((8, 8), np.uint16)), "'.tif'"),
    "nan.npy": (lambda path: np.save(path, np.full((8, 8), np.nan, np.float32)), "NaN"),
    "infinite.npy": (lambda path: np.save(path, np.full((8, 8), np.inf, np.float32)), "NaN or infinite"),
    "meters.npy": (lambda path: np.save(path, 80 * ramp(8, 8)), "normalize"),
    "negative.npy": (lambda path: np.save(path, ramp(8, 8) - 1), "normalize"),
    "integer.npy": (lambda path: np.save(path, np.zeros((8, 8), np.uint16)), "uint16"),
    "three_dims.npy": (lambda path: np.save(path, np.zeros((1, 8, 8), np.float32)), "(H, W)"),
    "pickle.npy": (lambda path: np.save(path, np.array([[None]]), allow_pickle=True), "cannot be read"),
    "text.npy": (lambda path: path.write_text("no array"), "cannot be read"),
    "empty.npy": (lambda path: path.write_bytes(b""), "cannot be read"),
    "archive.npy": (save_npz, ".npz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_with_the_remedy(tmp_path, name):
    make, problem = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(DepthFileError) as error:
        read_depth(tmp_path / name, (8, 8))
    for part in (str(tmp_path / name), problem, "`depthbox depth`"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "depth", [np.full((2, 2), 2.0), np.full((2, 2), np.nan), np.zeros((2, 2, 1)), np.zeros((2, 2), int)]
)
def test_write_refuses_what_read_would(tmp_path, depth):
    with pytest.raises(ValueError, match="not written"):
        write_depth(tmp_path / "d.png", depth)
    assert not os.listdir(tmp_path)


def test_write_refuses_other_suffixes(tmp_path):
    with pytest.raises(ValueError, match=r"'\.jpg'"):
        write_depth(tmp_path / "d.jpg", ramp(2, 2))


def test_resize_is_bilinear_and_averages_when_it_shrinks():
    assert np.allclose(resize_depth(np.array([[0, 1]], np.float32), (1, 4)), [[0, 0.25, 0.75, 1]])
    checkers = np.indices((64, 64)).sum(0).astype(np.float32) % 2
    assert np.abs(resize_depth(checkers, (8, 8)) - 0.5).max() < 0.02
    depth = np.random.default_rng(0).random((17, 23), dtype=np.float32)
    assert resize_depth(depth, (17, 23)) is depth
    assert resize_depth(depth[::-1], (30, 40)).flags["C_CONTIGUOUS"]
