"""Labeling of points: the written file, squares in place of masks, kept objects, and kills at any point."""

import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import pytest
from death import each_death
from labeling_toy import SIZE, change, read
from point_labeling_toy import RADIUS, label_points, make_points_job, point, run_points_job, write_points

from depthbox.labeling.box_labeler import BoxMask
from depthbox.labeling.job import find_finished, label_dataset
from depthbox.labeling.prompts import BOXES_ONLY, Prompts, read_planned_prompts


def by_id(folder: Path, name: str = "masks.json") -> dict[int, dict[str, Any]]:
    return {entry["id"]: entry for entry in read(folder, name)["annotations"]}


def decode(entry: dict[str, Any]) -> np.ndarray:
    return mask_util.decode(entry["segmentation"]).astype(bool)


def disc(x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return np.hypot(columns - x, rows - y) <= RADIUS


def extent(mask: np.ndarray) -> list[float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]


def test_a_point_gets_mask_area_box_and_score_and_its_keys_are_kept(points_folder: Path) -> None:
    summary = run_points_job(points_folder)
    given, written = by_id(points_folder, "points.json"), by_id(points_folder)
    assert list(written) == list(given) and (summary.unlabeled, summary.problems) == (0, [])
    entry = written[12]
    assert given[12].items() <= entry.items() and entry["note"] == "kept" and "fallback" not in entry
    mask = decode(entry)
    assert (mask == disc(8.5, 8.5)).all()
    assert entry["bbox"] == extent(mask) and entry["area"] == mask.sum() > 30
    assert entry["score"] == pytest.approx(0.9) and entry["iscrowd"] == 0


def test_an_object_with_a_box_competes_for_pixels_inside_its_box(points_folder: Path) -> None:
    def move(content: dict[str, Any]) -> None:
        content["annotations"][1]["bbox"] = [10.0, 5, 4, 7]  # its point is the center, on the pixel (12, 8)

    change(points_folder, move, "points.json")
    run_points_job(points_folder)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    nearer = np.hypot(columns - 12.5, rows - 8.5) < np.hypot(columns - 8.5, rows - 8.5)
    inside = (columns >= 10) & (columns <= 14) & (rows >= 5) & (rows <= 12)
    expected = disc(8.5, 8.5) & ~(nearer & inside)
    assert (disc(8.5, 8.5) & nearer & inside).sum() > 0 and (decode(by_id(points_folder)[12]) == expected).all()


def test_objects_with_masks_and_boxes_and_crowds_are_unchanged(points_folder: Path) -> None:
    summary = run_points_job(points_folder)
    given, written = by_id(points_folder, "points.json"), by_id(points_folder)
    for number in (8, 9, 10, 11):
        assert written[number] == given[number]
    assert len(summary.plan.kept) == 2 and summary.crowds == 2 and summary.points == 5 and summary.counts == "5 points"


def test_pixels_of_a_given_mask_belong_to_no_point(points_folder: Path) -> None:
    run_points_job(points_folder)
    written = by_id(points_folder)
    beside, mask = decode(written[7]), decode(written[10])
    assert (mask & disc(45.5, 16.5)).any(), "the mask would otherwise be taken in part"
    assert beside.any() and not (beside & mask).any()


def test_the_second_of_two_points_on_one_pixel_gets_the_square_of_the_class(points_folder: Path) -> None:
    summary = run_points_job(points_folder)
    written = by_id(points_folder)
    first, second = written[6], written[5]
    assert (decode(first) == disc(20.5, 20.5)).all() and "fallback" not in first
    areas = [written[12]["area"], written[7]["area"], first["area"], decode(written[10]).sum()]
    side = np.median(np.sqrt(areas))
    assert second["fallback"] is True and second["score"] == 0.5 and summary.fallbacks == 2
    x, y, width, height = second["bbox"]
    assert abs(width - side) <= 1 and abs(height - side) <= 1 and second["area"] == width * height
    assert abs(x + width / 2 - 20.25) <= 0.75 and abs(y + height / 2 - 20.75) <= 0.75
    assert decode(second)[int(y) : int(y + height), int(x) : int(x + width)].all()


def test_a_class_without_masks_gets_32_pixels_to_each_side_cut_at_the_border(points_folder: Path) -> None:
    run_points_job(points_folder)
    entry = by_id(points_folder)[4]
    assert entry["bbox"] == [59 - 32, 0, 33, 32] and entry["area"] == 33 * 32 == decode(entry).sum()


@pytest.mark.parametrize("side", [1, 6])
def test_a_given_side_replaces_the_median(points_folder: Path, side: int) -> None:
    run_points_job(points_folder, fallback_side=side)
    written = by_id(points_folder)
    assert written[5]["bbox"][2:] == [side, side]
    x, y, width, height = written[4]["bbox"]
    half = side // 2
    assert (x, y, width, height) == (59 - half, 0, half + 1, max(half, 1)), "a quarter of the square is inside"


@pytest.mark.parametrize("mask_format", ["rle", "polygons"])
def test_a_finished_job_is_recognized_with_its_labels(points_folder: Path, mask_format: str) -> None:
    summary = run_points_job(points_folder, mask_format=mask_format)
    found = find_finished(make_points_job(points_folder, mask_format=mask_format))
    assert found is not None and found.was_finished and (found.points, found.fallbacks) == (5, 2)
    for index, label in summary.labels.items():
        again = found.labels[index]
        assert (again.score, again.area, again.fallback) == (label.score, label.area, label.fallback)


def test_a_resumed_job_equals_one_call_whatever_was_done_first(points_folder: Path) -> None:
    """The median of a class needs the masks of all images: squares are drawn at the end."""
    run_points_job(points_folder)
    expected = (points_folder / "masks.json").read_bytes()
    job = make_points_job(points_folder, overwrite=True)
    prompts = functools.partial(read_planned_prompts, plan=job.plan, classes=(0, 1))

    def stop_at(number: int) -> Any:
        def label(image: dict[str, Any], pixels: np.ndarray, given: Prompts) -> list[BoxMask]:
            if image["id"] == number:
                raise KeyboardInterrupt
            return label_points(image, pixels, given)

        return label

    job.annotations.content["images"].reverse()
    with pytest.raises(KeyboardInterrupt):
        label_dataset(job, stop_at(1), prompts)
    assert job.partial_file.is_file()
    summary = label_dataset(make_points_job(points_folder, overwrite=True), label_points, prompts)
    assert summary.resumed == 1 and (points_folder / "masks.json").read_bytes() == expected


def test_a_job_of_points_killed_at_any_call_ends_as_if_it_was_not(points_folder: Path) -> None:
    work = points_folder / "work"
    shutil.copytree(points_folder / "images", work / "images")
    shutil.copy2(points_folder / "points.json", work / "points.json")

    def run() -> None:
        if find_finished(make_points_job(work)) is None:
            run_points_job(work)

    def list_files() -> dict[str, bytes]:
        return {str(path.relative_to(work)): path.read_bytes() for path in work.rglob("*") if path.is_file()}

    def prepare() -> None:
        for name in list_files().keys() - {"points.json", "images/1.png", "images/2.png", "images/3.png"}:
            (work / name).unlink()

    run()
    expected = list_files()
    assert sorted(name for name in expected if "/" not in name) == ["masks.json", "points.json"]
    deaths = []
    for death in each_death(run, prepare):
        deaths.append(death)
        run()
        assert list_files() == expected, death
    assert {death.split()[1] for death in deaths} == {"replace", "fsync", "unlink"} and len(deaths) >= 6


def test_500_points_of_an_image_each_get_a_mask_or_a_square(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    places = generator.uniform(0, 1, (500, 2)) * (SIZE[1], SIZE[0])
    write_points(tmp_path, [point(n, 1, *places[n - 1].tolist()) for n in range(1, 501)], images=1)
    summary = run_points_job(tmp_path)
    entries = read(tmp_path)["annotations"]
    assert summary.unlabeled == 0 and len(entries) == 500 and 0 < summary.fallbacks < 250
    owned = np.zeros(SIZE, int)
    for entry in entries:
        mask = decode(entry)
        assert mask.sum() == entry["area"] > 0 and entry["bbox"] == extent(mask)
        if "fallback" not in entry:
            owned += mask
    assert owned.max() == 1, "masks do not overlap"


@pytest.mark.parametrize("crowd", [True, False])
def test_images_without_points_need_no_network(tmp_path: Path, crowd: bool) -> None:
    box = {"id": 1, "image_id": 1, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1}
    write_points(tmp_path, [box] if crowd else [], images=2)
    job = make_points_job(tmp_path)

    def refuse(*arguments: Any) -> list[BoxMask]:
        raise AssertionError("there is nothing to label")

    summary = label_dataset(job, refuse)
    assert (summary.labels, summary.unlabeled, summary.crowds) == ({}, 0, int(crowd))
    assert read(tmp_path)["annotations"] == ([box] if crowd else [])


def test_an_image_that_cannot_be_read_leaves_its_points_without_a_mask(points_folder: Path) -> None:
    (points_folder / "images" / "3.png").write_bytes(b"no image")
    summary = run_points_job(points_folder)
    assert summary.unlabeled == 3 and "3.png is not an image file" in summary.problems[0]
    written = by_id(points_folder)
    for number in (4, 5, 6):
        assert "segmentation" not in written[number] and "bbox" not in written[number] and written[number]["score"] == 0


def test_an_earlier_label_is_replaced_together_with_its_mark(points_folder: Path) -> None:
    change(points_folder, lambda content: content["annotations"][0].update(fallback=True), "points.json")
    run_points_job(points_folder)
    assert "fallback" not in by_id(points_folder)[12]


def test_a_job_of_boxes_refuses_objects_without_a_box(points_folder: Path) -> None:
    job = make_points_job(points_folder, plan=BOXES_ONLY)
    with pytest.raises(ValueError, match=r"points\.json has 5 objects without a box \(such as annotation 12\)"):
        label_dataset(job, label_points)
    assert not job.output.exists() and not job.partial_file.exists()
