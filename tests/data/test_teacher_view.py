"""The teacher's view: the same crop and flip at another size, in clean colors."""

from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from fvcore.transforms.transform import TransformList

from depthbox import add_depthbox_config
from depthbox.data.teacher_view import TeacherView, repeat_transforms, shortest_edge_size


def view_of(student: list[Any], image: np.ndarray, iteration: int = 10, **options: Any) -> dict[str, Any]:
    transforms = TransformList(student)
    depth = (image[..., 0] / 255).astype(np.float32)
    moved = torch.from_numpy(np.ascontiguousarray(transforms.apply_image(image).transpose(2, 0, 1)))
    sample = {"image": moved, "iteration": iteration}
    return TeacherView(10, **{"min_size": 40, "max_size": 100, **options})(sample, image, depth, transforms)


def picture(height: int = 20, width: int = 30) -> np.ndarray:
    """Brightness rises from left to right; the second channel from top to bottom."""
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 8, y * 10, 0 * x), axis=2).astype(np.uint8)


def test_size_flip_and_depth_follow() -> None:
    student = [T.ResizeTransform(20, 30, 32, 48), T.HFlipTransform(48)]
    result = view_of(student, picture())
    assert result["teacher_image"].shape == (3, 40, 60) and result["teacher_depth"].shape == (1, 40, 60)
    red = result["teacher_image"][0].float()
    assert red[:, 0].mean() > red[:, -1].mean() + 150  # mirrored
    torch.testing.assert_close(result["teacher_depth"][0] * 255, red, atol=4, rtol=0)
    plain = view_of(student[:1], picture())
    assert torch.equal(plain["teacher_image"].flip(2), result["teacher_image"])


def test_a_crop_before_the_resize_is_the_same_crop() -> None:
    crop = T.CropTransform(10, 5, 15, 10)
    result = view_of([crop, T.ResizeTransform(10, 15, 20, 30)], picture())
    assert result["teacher_image"].shape == (3, 40, 60)
    alone = view_of([T.ResizeTransform(10, 15, 20, 30)], picture()[5:15, 10:25])
    assert torch.equal(result["teacher_image"], alone["teacher_image"])


def test_colors_are_clean() -> None:
    dark = T.BlendTransform(src_image=0, src_weight=0.7, dst_weight=0.3)
    resize = T.ResizeTransform(20, 30, 20, 30)
    assert torch.equal(
        view_of([resize, dark], picture())["teacher_image"], view_of([resize], picture())["teacher_image"]
    )


def test_without_a_resize_one_is_added() -> None:
    assert view_of([T.HFlipTransform(30)], picture())["teacher_image"].shape == (3, 40, 60)


def test_costs_nothing_before_it_begins_or_at_the_students_size() -> None:
    assert set(view_of([], picture(), iteration=9)) == {"image", "iteration"}
    assert set(view_of([], picture(), min_size=0)) == {"image", "iteration"}


def test_strong_colors_are_the_students_alone() -> None:
    np.random.seed(3)
    result = view_of([], picture(), min_size=0, strong=True)
    assert torch.equal(result["teacher_image"], torch.from_numpy(picture().transpose(2, 0, 1)))
    assert not torch.equal(result["image"], result["teacher_image"])
    assert result["image"].dtype == torch.uint8


def test_what_cannot_be_repeated_is_named() -> None:
    with pytest.raises(TypeError, match=r"RotationTransform cannot be repeated.*TEACHER_MIN_SIZE 0"):
        repeat_transforms(TransformList([T.RotationTransform(20, 30, 10)]), (20, 30), 40, 100)
    late = TransformList([T.ResizeTransform(20, 30, 40, 60), T.CropTransform(0, 0, 10, 10)])
    with pytest.raises(TypeError, match="CropTransform after the resize"):
        repeat_transforms(late, (20, 30), 40, 100)


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((400, 1000), (533, 1333))]
)
def test_sizes_of_the_paper(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shortest_edge_size(size, 800, 1333) == expected


def test_config() -> None:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    assert TeacherView.from_config(cfg) is None
    cfg.MODEL.DISTILL.ENABLED = True
    view = TeacherView.from_config(cfg)
    assert view is not None
    assert (view.start_iter, view.min_size, view.max_size, view.strong) == (65000, 800, 1333, None)
    cfg.MODEL.DISTILL.TEACHER_MAX_SIZE = 100
    with pytest.raises(ValueError, match="at most TEACHER_MAX_SIZE, got 800 and 100"):
        TeacherView.from_config(cfg)
