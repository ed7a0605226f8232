"""Images and depth maps that the mapper reads: sizes, bit depths, channel order and damaged files."""

import numpy as np
import pytest
from detectron2.data import detection_utils
from detectron2.data.detection_utils import SizeMismatchError
from mapper_toy import HEIGHT, WIDTH, mapper, write_scene
from PIL import Image

from depthbox.data import BoxDepthMapper, DepthFileError, write_depth
from depthbox.io.images import ImageError


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path)


def test_channel_order(scene):
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 0] = 200
    Image.fromarray(pixels).save(scene["file_name"])
    for image_format, red in (("BGR", 2), ("RGB", 0)):
        image = BoxDepthMapper(True, augmentations=[], image_format=image_format)(scene)["image"]
        assert image[red].min() == 200 and image.sum() == image[red].sum()


def test_wrong_image_size_is_named(scene):
    scene["width"] += 1
    with pytest.raises(SizeMismatchError, match=r"image\.png"):
        mapper()(scene)


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image_is_named(scene, content, tmp_path):
    scene["file_name"] = str(tmp_path / "other.png")
    if content is not None:
        (tmp_path / "other.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"other\.png"):
        mapper()(scene)


@pytest.mark.parametrize(("mode", "name"), [("RGB", "a.png"), ("L", "a.png"), ("RGBA", "a.png"), ("P", "a.png"),
                                            ("LA", "a.png"), ("1", "a.png"), ("RGB", "a.jpg"), ("CMYK", "a.jpg"),
                                            ("RGB", "a.bmp"), ("RGB", "a.webp"), ("RGB", "a.gif")])  # fmt: skip
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_images_of_8_bits_equal_those_of_detectron2(scene, tmp_path, mode, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / name, exif=exif)
    scene["file_name"] = str(tmp_path / name)
    for image_format in ("BGR", "RGB"):
        expected = detection_utils.read_image(scene["file_name"], image_format)
        scene["height"], scene["width"] = expected.shape[:2]
        image = BoxDepthMapper(True, augmentations=[], image_format=image_format)(scene)["image"]
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_images_of_16_bits_are_scaled_by_their_range(scene):
    values = np.linspace(1000, 3000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(values).save(scene["file_name"])
    image = mapper()(scene)["image"]
    assert image.min() == 0 and image.max() == 255 and 126 <= image.float().mean() <= 129


def test_unknown_channel_order():
    with pytest.raises(ValueError, match=r"INPUT\.FORMAT.*'YUV'"):
        BoxDepthMapper(True, augmentations=[], image_format="YUV")


def test_truncated_image_is_named(scene):
    with open(scene["file_name"], "r+b") as file:
        file.truncate(300)
    with pytest.raises(ImageError, match=r"image\.png"):
        mapper()(scene)


def test_depth_of_another_image_is_named(scene):
    write_depth(scene["depth_file_name"], np.zeros((WIDTH, HEIGHT), dtype=np.float32))
    with pytest.raises(DepthFileError, match=r"depth\.png.*64 x 48.*48 x 64"):
        mapper(depth=True)(scene)


def test_depth_that_is_enabled_but_not_registered_is_named(scene):
    del scene["depth_file_name"]
    with pytest.raises(ValueError, match=r"image\.png has no depth file"):
        mapper(depth=True)(scene)
