"""Drawing of objects and maps, contact sheets, choice of images."""

import numpy as np
import pytest
from PIL import Image

from depthbox.visualization import (
    MAX_WIDTH,
    DrawnObjects,
    Tile,
    choose_records,
    colorize,
    compute_iou,
    draw_objects,
    instance_color,
    make_sheet,
    resize_objects,
    save_sheet,
)
from depthbox.visualization.sheet import tile_width


def gray(height=40, width=60):
    return np.full((height, width, 3), 128, np.uint8)


def square(height=40, width=60):
    mask = np.zeros((1, height, width), bool)
    mask[0, 10:20, 30:50] = True
    return mask


def test_colors_are_stable_and_distinct():
    colors = [instance_color(i) for i in range(12)]
    assert colors == [instance_color(i) for i in range(12)]
    distances = np.linalg.norm(np.array(colors)[:, None] - np.array(colors)[None], axis=-1)
    assert distances[np.triu_indices(12, 1)].min() > 40


def test_mask_is_filled_and_outlined_and_other_pixels_are_unchanged():
    image, masks = gray(), square()
    objects = DrawnObjects([[30, 10, 50, 20]], [""], masks, [(255, 0, 0)])
    drawn = draw_objects(image, objects, fill=0.5, boxes=False)
    assert (image == 128).all()
    assert (drawn[~masks[0]] == 128).all()
    assert (drawn[10, 30:50] == (255, 0, 0)).all() and (drawn[10:20, 49] == (255, 0, 0)).all()
    assert (drawn[11:19, 31:49] == (192, 64, 64)).all()
    hollow = draw_objects(image, objects, fill=0, boxes=False)
    assert (hollow[11:19, 31:49] == 128).all() and (hollow[10, 30] == (255, 0, 0)).all()


def test_first_object_is_on_top():
    masks = np.repeat(square(), 2, axis=0)
    objects = DrawnObjects(np.zeros((2, 4)), ["", ""], masks, [(255, 0, 0), (0, 0, 255)])
    drawn = draw_objects(gray(), objects, fill=1.0, boxes=False)
    assert (drawn[masks[0]] == (255, 0, 0)).all()


def test_box_covers_its_first_and_last_pixel_and_stays_inside():
    drawn = draw_objects(gray(), DrawnObjects([[30, 10, 50, 20], [-5, 30, 99, 99]], ["", ""]))
    first, second = instance_color(0), instance_color(1)
    assert (drawn[10, 30:50] == first).all() and (drawn[19, 30:50] == first).all()
    assert (drawn[10, 50] == 128).all() and (drawn[20, 35] == 128).all()
    assert (drawn[30, :] == second).all() and (drawn[39, :] == second).all()


def find_label_pixels(boxes: list[list[int]], labels: list[str]) -> np.ndarray:
    """Return the pixels (40, 120) bool that the labels of boxes change."""
    plain, drawn = (draw_objects(gray(40, 120), DrawnObjects(boxes, words)) for words in ([""] * len(boxes), labels))
    return (plain != drawn).any(-1)


def test_label_is_drawn_inside_the_image():
    changed = find_label_pixels([[80, 0, 120, 30]], ["cone 0.9"])
    assert changed.shape == (40, 120) and changed[:12].any(0)[-50:].mean() > 0.5 and not changed[20:].any()


def test_no_label_covers_another_or_more_than_its_object():
    assert not find_label_pixels([[60, 20, 70, 30]], ["cone 0.9"]).any()
    first, both = (
        find_label_pixels([[20, 15, 80, 40], [26, 16, 90, 40]], ["cone 0.9", word]) for word in ("", "cube 0.8")
    )
    assert first.any()
    np.testing.assert_array_equal(first, both)


def test_resized_objects_keep_their_location():
    moved = resize_objects(DrawnObjects([[30, 10, 50, 20]], ["a"], square()), (40, 60), (80, 180))
    assert moved.boxes.tolist() == [[90, 20, 150, 40]]
    rows, columns = np.nonzero(moved.masks[0])
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx((90, 149, 20, 39), abs=1)
    empty = resize_objects(DrawnObjects(np.zeros((0, 4)), [], np.zeros((0, 40, 60), bool)), (40, 60), (80, 180))
    assert empty.masks.shape == (0, 80, 180)


def test_unequal_counts_and_sizes_are_refused():
    with pytest.raises(ValueError, match="labels, colors and masks differ"):
        DrawnObjects([[0, 0, 1, 1]], [])
    with pytest.raises(ValueError, match="masks are"):
        draw_objects(gray(20, 20), DrawnObjects([[0, 0, 1, 1]], [""], square()))


def test_brightness_of_colorize_increases():
    brightness = colorize(np.linspace(0, 1, 50)[None]).astype(float) @ (0.3, 0.59, 0.11)
    assert (np.diff(brightness[0]) > 0).all()
    with pytest.raises(ValueError, match="finite"):
        colorize(np.full((2, 2), np.nan))


def test_iou_of_boxes():
    ious = compute_iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6.0]]))
    np.testing.assert_allclose(ious, [[1 / 3, 1, 0]])


def test_tiles_are_arranged_in_rows(tmp_path):
    tiles = [Tile(np.full((20, 40, 3), 40 * i, np.uint8), f"tile {i}") for i in range(5)]
    sheet = make_sheet(tiles, 2, "title")
    save_sheet(sheet, tmp_path / "new" / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    for i in range(5):
        assert (pixels == 40 * i).all(-1).sum() >= 20 * 40
    assert pixels.shape[1] < 2 * 40 + 30 and pixels.shape[0] > 3 * 20
    with pytest.raises(ValueError, match="at least one tile"):
        make_sheet([], 2)


@pytest.mark.parametrize("columns", [1, 4, 8, 40])
def test_sheets_are_not_too_wide(columns):
    width = tile_width(columns)
    tiles = [Tile(np.zeros((1, width, 3), np.uint8), "")] * columns
    assert make_sheet(tiles, columns).width <= MAX_WIDTH


def test_too_many_columns_are_refused():
    for columns in (0, 500):
        with pytest.raises(ValueError, match="do not fit"):
            tile_width(columns)


def test_choice_of_records():
    records = [{"image_id": i} for i in range(50)]
    chosen = choose_records(records, 5, seed=1)
    assert chosen == choose_records(records, 5, seed=1) != choose_records(records, 5, seed=2)
    assert [r["image_id"] for r in choose_records(records, ids=["7", "3"])] == [7, 3]
    assert len(choose_records(records, 100)) == 50
    with pytest.raises(ValueError, match="id 99"):
        choose_records(records, ids=["99"])
    with pytest.raises(ValueError, match="at least 1"):
        choose_records(records, 0)
