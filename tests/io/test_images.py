"""The reader of image files."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import detection_utils
from PIL import Image

from depthbox.io.images import MAX_PIXELS, ImageError, image_size, list_images, page_count, read_image


@pytest.fixture
def colors() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8))


EIGHT_BIT = {
    "rgb.png": "RGB",
    "gray.png": "L",
    "alpha.png": "RGBA",
    "gray_alpha.png": "LA",
    "palette.png": "P",
    "bit.png": "1",
    "print.jpg": "CMYK",
    "photo.jpg": "RGB",
    "web.webp": "RGB",
    "lab.tif": "LAB",
    "still.gif": "P",
}


@pytest.mark.parametrize("name", EIGHT_BIT)
def test_images_of_8_bits_are_read_as_detectron2_reads_them(name: str, colors: Image.Image, tmp_path: Path) -> None:
    mode = EIGHT_BIT[name]
    (Image.new("LAB", colors.size, (90, 120, 200)) if mode == "LAB" else colors.convert(mode)).save(tmp_path / name)
    expected = detection_utils.read_image(str(tmp_path / name), "RGB")
    pixels = read_image(tmp_path / name)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (6, 9, 3)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert image_size(tmp_path / name) == (6, 9)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied_as_in_detectron2(
    suffix: str, orientation: int, colors: Image.Image, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    colors.save(path, exif=exif)
    expected = detection_utils.read_image(str(path), "RGB")
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]
    assert (expected.shape[:2] == (9, 6)) == (5 <= orientation <= 8)


UPRIGHT = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: pixels[::-1, ::-1],
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["RGB", "L", "F", "I;16"])
def test_tiff_images_are_turned_upright_once(mode: str, orientation: int, colors: Image.Image, tmp_path: Path) -> None:
    gray = np.arange(54, dtype={"F": np.float32, "I;16": np.uint16}.get(mode, np.uint8)).reshape(6, 9)
    image = colors if mode == "RGB" else Image.fromarray(gray)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "turned.tif", exif=exif)
    expected = UPRIGHT[orientation](read_image(tmp_path / "plain.tif"))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.tif"), expected)
    assert image_size(tmp_path / "turned.tif") == expected.shape[:2]


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_color_tiff_images_of_16_bits_are_turned_upright_once(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    values = np.arange(6 * 9 * 3, dtype=np.uint16).reshape(6, 9, 3) * 100
    cv2.imwrite(str(path), values, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    expected = UPRIGHT[orientation](read_image(path))
    data = bytearray(path.read_bytes())  # little-endian: the tags, 12 bytes each, follow their number
    start = struct.unpack_from("<I", data, 4)[0]
    end = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
    tags = [bytes(data[place : place + 12]) for place in range(start + 2, end, 12)]
    tags = [tag for tag in tags if struct.unpack_from("<H", tag)[0] != 284]  # one that may be missing
    tags.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    data[start + 2 : end] = b"".join(sorted(tags, key=lambda tag: struct.unpack_from("<H", tag)[0]))
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_orientation_behind_the_pixels_of_a_png_counts(colors: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "late.png"
    colors.save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:])
    assert detection_utils.read_image(str(path), "RGB").shape == (9, 6, 3)
    assert image_size(path) == (9, 6)
    assert read_image(path).shape == (9, 6, 3)


def test_size_of_a_png_needs_no_pixels(colors: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    colors.save(path)
    path.write_bytes(path.read_bytes()[:60])
    assert image_size(path) == (6, 9)
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(path)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_gray_of_16_bits_is_scaled_by_its_own_range(name: str, tmp_path: Path) -> None:
    values = np.array([[1000, 1500], [2000, 1250]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    expected = np.array([[0, 128], [255, 64]], dtype=np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / name), np.repeat(expected[:, :, None], 3, 2))


@pytest.mark.parametrize("name", ["color.png", "color.tif", "alpha.png"])
def test_color_of_16_bits_is_scaled_by_its_own_range(name: str, tmp_path: Path) -> None:
    values = np.array([[[300, 800, 1300], [600, 800, 1000]]], dtype=np.uint16)
    stored = values[:, :, ::-1]
    if name.startswith("alpha"):
        stored = np.dstack([stored, np.full((1, 2), 65535, np.uint16)])
    cv2.imwrite(str(tmp_path / name), stored)
    expected = np.rint((values.astype(float) - 300) / 1000 * 255)
    np.testing.assert_array_equal(read_image(tmp_path / name), expected)


def test_floating_point_numbers_are_scaled_by_their_finite_range(tmp_path: Path) -> None:
    values = np.array([[0.5, 1.5, np.nan], [np.inf, -np.inf, 1.0]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "float.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "float.tif")[:, :, 1], [[0, 255, 0], [255, 0, 128]])


@pytest.mark.parametrize("value", [7.0, np.nan, 3e38])
def test_constant_deep_images_become_zero(value: float, tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 3), value, dtype=np.float32)).save(tmp_path / "flat.tif")
    assert read_image(tmp_path / "flat.tif").max() == 0


def test_extreme_floating_point_range_does_not_overflow(tmp_path: Path) -> None:
    values = np.array([[-3e38, 3e38, 0]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "wide.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "wide.tif")[0, :, 0], [0, 255, 128])


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_deep_images_are_upright_too(orientation: int, tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 51
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "deep.png", exif=exif)
    expected = {3: values[::-1, ::-1], 6: np.rot90(values, -1), 8: np.rot90(values)}[orientation]
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png")[:, :, 0], expected)


@pytest.mark.parametrize("name", ["moving.gif", "pages.tif"])
def test_the_first_of_several_pages_is_read(name: str, tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 3), value) for value in (50, 100, 150)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    assert page_count(tmp_path / name) == 3
    assert read_image(tmp_path / name).max() == 50


def test_page_count_of_a_photograph_is_1(colors: Image.Image, tmp_path: Path) -> None:
    colors.save(tmp_path / "a.jpg")
    assert page_count(tmp_path / "a.jpg") == 1


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"\0" * 200, "only zero bytes"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\n<html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
        (b"<svg/>", "SVG"),
        (b"something else", "convert it to JPEG or PNG"),
    ],
)
def test_files_that_are_not_images_are_named_with_the_cause(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    for read in (read_image, image_size, page_count):
        with pytest.raises(ImageError, match=cause) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_truncated_photograph_is_an_error(colors: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    colors.resize((90, 90)).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(path)


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        image_size(tmp_path)
    with pytest.raises(ImageError, match="truncated or damaged"):
        image_size("a\0b.png")


def test_too_many_pixels_are_an_error_before_they_are_decoded(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""))
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="pixels"):
            read(path)


def test_images_of_a_folder_are_listed_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/c.png", "a/.d.png", ".e/f.png", "g.txt", "h.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == ["a/c.png", "b.JPG", "h.gif"]
