"""PointMapper: points, class maps and masks of known owners move with the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from fvcore.transforms.transform import PadTransform
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from depthbox.data.point_mapper import PointMapper, build_mapper, lost_pixels, move_points, transform_owners
from depthbox.data.points import ImagePoints, read_points

SIZE = (40, 60)
OBJECTS = [((5.5, 10.5), 0), ((20.5, 10.5), 0), ((50.0, 30.0), 1)]


def class_map_of(record: Any, image: NDArray[np.uint8], points: ImagePoints, depth: Any) -> NDArray[np.uint8]:
    """Two touching halves of class 0 on the left, a square of class 1, one unknown column."""
    result = np.zeros(SIZE, dtype=np.uint8)
    result[4:18, 0:30] = 1
    result[24:36, 44:56] = 2
    result[:, 40] = 255
    return result


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    annotations = [
        {"id": n, "iscrowd": 0, "category_id": c, "point_coords": [list(xy)], "point_labels": [1]}
        for n, (xy, c) in enumerate(OBJECTS)
    ]
    crowd = {"id": 9, "iscrowd": 1, "category_id": 0, "bbox": [0, 0, 9, 9], "bbox_mode": 1}
    return {
        "file_name": str(tmp_path / "a.png"),
        "height": SIZE[0],
        "width": SIZE[1],
        "image_id": 1,
        "annotations": [*annotations, crowd],
        "background_points": [[35.5, 20.5]],
    }


def mapped(
    record: dict[str, Any], augmentations: Sequence[Any] = (), train: bool = True, **more: Any
) -> dict[str, Any]:
    source = class_map_of if train else None
    return PointMapper(train, augmentations=augmentations, image_format="RGB", class_maps=source, **more)(record)


def test_sample_without_augmentation(record: dict[str, Any]) -> None:
    sample = mapped(record)
    instances = sample["instances"]
    assert (
        instances.gt_points.tolist() == [list(xy) for xy, _ in OBJECTS] and instances.gt_points.dtype == torch.float32
    )
    assert instances.gt_classes.tolist() == [0, 0, 1] and instances.gt_kinds.tolist() == [0, 0, 0]
    assert instances.gt_regions.tolist() == 3 * [[0, 0, 60, 40]]
    expected = torch.from_numpy(class_map_of(None, None, None, None))  # type: ignore[arg-type]
    assert torch.equal(sample["class_map"], expected) and sample["class_map"].dtype == torch.uint8
    assert "annotations" not in sample and "mask_owner" not in sample and "seed_map" not in sample
    assert len(record["annotations"]) == 4  # not changed


def test_disc_around_a_background_point_is_background(record: dict[str, Any]) -> None:
    record["background_points"] = [[10.2, 10.9]]
    class_map = mapped(record)["class_map"]
    assert class_map[10, 10] == class_map[8, 10] == class_map[10, 12] == 0 and class_map[10, 13] == class_map[8, 9] == 1


def test_flip_maps_x_to_width_minus_x(record: dict[str, Any]) -> None:
    plain, flipped = mapped(record), mapped(record, [T.RandomFlip(1.0)])
    assert torch.equal(flipped["class_map"], plain["class_map"].flip(1))
    points, moved = plain["instances"].gt_points, flipped["instances"].gt_points
    assert torch.equal(moved[:, 0], 60 - points[:, 0]) and torch.equal(moved[:, 1], points[:, 1])
    for (x, y), c in zip(moved[:2].tolist(), flipped["instances"].gt_classes[:2].tolist(), strict=True):
        assert flipped["class_map"][int(y), int(x)] == c + 1


def test_point_on_the_border_stays_inside_after_a_flip() -> None:
    moved = move_points(np.array([[0.0, 3.0], [60.0, 3.0], [61.0, 3.0]]), T.HFlipTransform(60), SIZE)
    assert moved[0, 0] < 60 and np.float32(moved[0, 0]) < 60 and int(moved[0, 0]) == 59
    assert moved[1, 0] == 0 and moved[2, 0] == -1


def test_resize_keeps_points_on_their_class(record: dict[str, Any]) -> None:
    sample = mapped(record, [T.Resize((80, 120))])
    assert sample["class_map"].shape == (80, 120)
    assert torch.equal(sample["instances"].gt_points, torch.tensor([[11.0, 21.0], [41.0, 21.0], [100.0, 60.0]]))
    assert torch.equal(sample["class_map"][::2, ::2], mapped(record)["class_map"])


def test_point_that_leaves_the_crop_makes_its_pixels_unknown(record: dict[str, Any]) -> None:
    sample = mapped(record, [T.CropTransform(10, 0, 50, 40)])
    assert sample["instances"].gt_points.tolist() == [[10.5, 10.5], [40.0, 30.0]]
    class_map = sample["class_map"]
    assert (class_map[4:18, 0:3] == 255).all()  # x 10..12 are nearer to the first point, which is outside
    assert (class_map[4:18, 4:20] == 1).all() and (class_map[24:36, 34:46] == 2).all()
    assert class_map[10, 25] == 0


def test_padding_is_unknown(record: dict[str, Any]) -> None:
    for value in (0, 1, 255):
        sample = mapped(record, [PadTransform(2, 3, 4, 5, SIZE[1], SIZE[0], pad_value=0, seg_pad_value=value)])
        class_map = sample["class_map"]
        assert class_map.shape == (48, 66)
        assert (class_map[:3] == 255).all() and (class_map[-5:] == 255).all() and (class_map[:, -4:] == 255).all()
        assert torch.equal(class_map[3:43, 2:62], mapped(record)["class_map"])


def test_masks_fix_their_owner_and_survive_renumbering(record: dict[str, Any]) -> None:
    mask = np.zeros(SIZE, dtype=np.uint8, order="F")
    mask[25:35, 45:55] = 1
    record["annotations"][2] |= {"segmentation": coco_mask.encode(mask), "bbox": [45, 25, 10, 10], "bbox_mode": 1}
    sample = mapped(record, [T.CropTransform(10, 0, 50, 40)])
    assert sample["instances"].gt_kinds.tolist() == [0, 2]
    assert sample["instances"].gt_regions.tolist() == [[0, 0, 50, 40], [35, 25, 45, 35]]
    expected = torch.zeros(SIZE[0], 50, dtype=torch.int32)
    expected[25:35, 35:45] = 2  # the third object is the second one that is left
    assert torch.equal(sample["mask_owner"], expected) and sample["mask_owner"].dtype == torch.int32
    lost = mapped(record, [T.CropTransform(0, 0, 48, 40)])
    assert lost["mask_owner"].max() == 0 and (lost["class_map"][25:35, 45:48] == 255).all()


def test_more_owners_than_a_byte_holds() -> None:
    owner = np.arange(600, dtype=np.int32).reshape(20, 30)
    kept = np.ones(599, dtype=bool)
    moved = transform_owners(owner, kept, T.ResizeTransform(20, 30, 40, 60))
    assert torch.equal(moved[::2, ::2], torch.from_numpy(owner)) and moved.max() == 599


def test_samples_of_inference_keep_all_points(record: dict[str, Any]) -> None:
    record["annotations"][0]["point_coords"] = [[-3.0, 10.5]]
    sample = mapped(record, [T.Resize((80, 120))], train=False)
    assert "class_map" not in sample and sample["height"] == 40
    assert sample["original_points"].tolist() == [[-3.0, 10.5], [20.5, 10.5], [50.0, 30.0]]
    assert sample["instances"].gt_points.tolist() == [[-6.0, 21.0], [41.0, 21.0], [100.0, 60.0]]


def test_seeds_are_discs_and_the_space_between_points(record: dict[str, Any]) -> None:
    seeds = mapped(record, seeds=True)["seed_map"]
    assert seeds[10, 5] == seeds[8, 5] == seeds[10, 20] == 1 and seeds[30, 50] == 2
    assert seeds[20, 35] == 0 and seeds[22, 35] == 0 and seeds[39, 0] == 0  # background point and border
    assert seeds[10, 12] == 0 or seeds[10, 13] == 0  # ridge between the first two
    assert seeds[10, 8] == 255 and (seeds == 255).float().mean() > 0.5


def test_lost_pixels_without_a_lost_point_are_none() -> None:
    points = read_points({"height": 40, "width": 60, "annotations": []})
    assert not lost_pixels(np.ones(SIZE, dtype=np.uint8), points, np.ones(0, dtype=bool), None).any()


def test_equal_seed_repeats_a_sample(record: dict[str, Any]) -> None:
    crop = [T.RandomCrop("relative_range", (0.5, 0.5)), T.RandomFlip(0.5)]
    samples = []
    for _ in range(2):
        np.random.seed(3)
        samples.append(mapped(record, crop))
    assert torch.equal(samples[0]["class_map"], samples[1]["class_map"])
    assert torch.equal(samples[0]["instances"].gt_points, samples[1]["instances"].gt_points)


def test_training_needs_class_maps() -> None:
    with pytest.raises(ValueError, match="P2Seg trains with a class map"):
        PointMapper(True, augmentations=[], image_format="RGB")


def test_mapper_is_chosen_by_the_meta_architecture() -> None:
    from points_toy import points_cfg

    cfg = points_cfg()
    assert type(build_mapper(cfg, is_train=False)).__name__ == "PointMapper"
    cfg.MODEL.META_ARCHITECTURE = "DepthBox"
    assert type(build_mapper(cfg, is_train=True)).__name__ == "BoxDepthMapper"
