import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import (
    GridSampleTransform,
    PadTransform,
    ScaleTransform,
    Transform,
    TransformList,
)
from PIL import Image

from depthbox.data.depth_transforms import register_depth_transform, transform_depth

HEIGHT, WIDTH = 61, 83


def image_and_depth(seed=0):
    """An image whose three channels are the depth map, at 8 bits."""
    rng = np.random.default_rng(seed)
    low = Image.fromarray(rng.integers(0, 256, (9, 12), dtype=np.uint8))
    gray = np.asarray(low.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return np.repeat(gray[:, :, None], 3, axis=2), (gray / 255).astype(np.float32)


def difference(transform, seed=0):
    image, depth = image_and_depth(seed)
    moved, moved_depth = transform.apply_image(image), transform_depth(transform, depth)
    assert moved_depth.shape == moved.shape[:2] and moved_depth.dtype == np.float32
    return np.abs(moved[:, :, 0] / 255 - moved_depth).max()


GRID = np.stack(np.meshgrid(np.linspace(-0.5, 0.9, 30), np.linspace(-0.8, 0.3, 20)), -1)[None]
GEOMETRIC = {
    "noop": T.NoOpTransform(),
    "hflip": T.HFlipTransform(WIDTH),
    "vflip": T.VFlipTransform(HEIGHT),
    "crop": T.CropTransform(5, 7, 40, 30),
    "pad": PadTransform(3, 4, 5, 6),
    "enlarge": T.ResizeTransform(HEIGHT, WIDTH, 130, 171),
    "shrink": T.ResizeTransform(HEIGHT, WIDTH, 20, 31),
    "extent": T.ExtentTransform((4.5, 3.0, 60.0, 40.0), (50, 70), interp=Image.BILINEAR),
    "extent_outside": T.ExtentTransform((-10.0, -5.0, 90.0, 70.0), (50, 70), interp=Image.BILINEAR),
    "rotation": T.RotationTransform(HEIGHT, WIDTH, 30),
    "rotation_cut": T.RotationTransform(HEIGHT, WIDTH, -77, expand=False),
    "scale": ScaleTransform(HEIGHT, WIDTH, 40, 50, "bilinear"),
    "grid": GridSampleTransform(GRID.astype(np.float32), "bilinear"),
}


@pytest.mark.parametrize("name", GEOMETRIC)
def test_depth_moves_as_the_image(name):
    # The image is rounded to 8 bits once (Pillow: twice, after each axis), depth never.
    assert difference(GEOMETRIC[name]) <= 2 / 255


@pytest.mark.parametrize("interp", [Image.NEAREST, Image.BICUBIC])
def test_resize_of_depth_is_bilinear_whatever_the_image_takes(interp):
    _, depth = image_and_depth()
    bilinear = transform_depth(T.ResizeTransform(HEIGHT, WIDTH, 99, 99, Image.BILINEAR), depth)
    assert np.array_equal(transform_depth(T.ResizeTransform(HEIGHT, WIDTH, 99, 99, interp), depth), bilinear)


def test_resize_for_another_size_raises():
    with pytest.raises(ValueError, match="resize of 10 x 10"):
        transform_depth(T.ResizeTransform(10, 10, 20, 20), image_and_depth()[1])


@pytest.mark.parametrize(
    "transform",
    [
        T.BlendTransform(src_image=0, src_weight=0.5, dst_weight=0.5),
        T.ColorTransform(lambda image: image // 2),
        T.PILColorTransform(lambda image: image.point(lambda value: value // 2)),
    ],
)
def test_colors_do_not_touch_depth(transform):
    image, depth = image_and_depth()
    assert not np.array_equal(transform.apply_image(image), image)
    assert np.array_equal(transform_depth(transform, depth), depth)


@pytest.mark.parametrize("seed", range(20))
def test_random_chains_stay_aligned(seed):
    np.random.seed(seed)
    augmentations = [
        T.RandomCrop("relative_range", (0.4, 0.4)),
        T.ResizeShortestEdge((30, 90), 120, "range"),
        T.RandomFlip(horizontal=True),
        T.RandomFlip(horizontal=False, vertical=True),
        T.RandomExtent((0.7, 1.2), (0.1, 0.1)),
    ]
    image, depth = image_and_depth(seed)
    aug_input = T.AugInput(image)
    transforms = T.AugmentationList([augmentations[i] for i in np.random.permutation(5)])(aug_input)
    moved = transform_depth(transforms, depth)
    assert moved.shape == aug_input.image.shape[:2]
    assert np.abs(aug_input.image[:, :, 0] / 255 - moved).max() <= 5 / 255


def test_misalignment_would_be_seen():
    image, depth = image_and_depth()
    flipped = T.HFlipTransform(WIDTH).apply_image(image)[:, :, 0] / 255
    assert np.abs(flipped - depth).max() > 0.2


def test_nested_lists():
    _, depth = image_and_depth()
    nested = TransformList([T.HFlipTransform(WIDTH), T.NoOpTransform()])
    nested.transforms.append(TransformList([T.VFlipTransform(HEIGHT)]))
    assert np.array_equal(transform_depth(nested, depth), depth[::-1, ::-1])


class Shift(Transform):
    def apply_image(self, img):
        return np.roll(img, 3, axis=1)

    def apply_coords(self, coords):
        return coords


def test_unknown_transform_raises_until_registered():
    _, depth = image_and_depth()
    with pytest.raises(TypeError, match=r"Shift.*register_depth_transform"):
        transform_depth(TransformList([Shift()]), depth)

    class Known(Shift):
        pass

    register_depth_transform(Known, lambda transform, depth: np.roll(depth, 3, axis=1))
    assert difference(Known()) <= 1e-6
    with pytest.raises(TypeError, match="Shift"):
        transform_depth(Shift(), depth)


def test_only_transforms_can_be_registered():
    with pytest.raises(TypeError, match="subclass"):
        register_depth_transform(T.RandomFlip, lambda transform, depth: depth)


def test_argument_is_left_alone():
    _, depth = image_and_depth()
    before = depth.copy()
    for transform in GEOMETRIC.values():
        transform_depth(transform, depth)
    assert np.array_equal(depth, before)
