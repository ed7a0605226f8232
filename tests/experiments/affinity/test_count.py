"""Affinity analysis: counts against loops over pixels and against the ops of the losses, degenerate input, reports."""

import json
import math

import pytest
import torch
from PIL import Image

from depthbox.experiments.affinity.count import (
    CROSSING,
    SAME_AT_BORDER,
    SAME_ELSEWHERE,
    AffinitySettings,
    PairCounts,
    average_depth,
    count_dataset,
    count_pairs,
    depth_cutoff,
)
from depthbox.experiments.affinity.plot import save_affinity_plot
from depthbox.experiments.affinity.report import best_cutoff, encode_json, evaluate_rules, format_markdown, format_table
from depthbox.modeling.supervision.boxes import BoxSupervision
from depthbox.ops import box_masks, depth_on_grid, depth_similarity, neighbor_offsets, unpack_edges

HEIGHT, WIDTH = 46, 57  # not multiples of the stride
SETTINGS = AffinitySettings((0.1, 0.3), (1.0, 10.0, 100.0), (0.5, 0.7))


@pytest.fixture
def scene():
    """Make an image and a depth map, both smooth with steps, and two boxes with masks."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    disc = ((y - 22) ** 2 + (x - 20) ** 2) < 200
    bar = (x > 35) & (x < 50) & (y > 5)
    image = torch.stack((100 + x, 90 + y, 80 + 0 * x)).float() + 30 * disc - 50 * bar + 4 * torch.randn(3, 46, 57)
    depth = (0.2 + 0.003 * y + 0.15 * disc + 0.3 * bar + 0.004 * torch.randn(46, 57)).clamp(0, 1)
    boxes = torch.tensor([[5.6, 7.2, 35.1, 37.0], [36.0, 6.0, 50.0, 46.0]])
    return image.clamp(0, 255).round(), boxes, torch.stack((disc, bar)), depth[None]


def slow_counts(image, boxes, masks, depth, removed, color_threshold, cutoff):
    """Count the kept pairs of each kind by loops over pixels, with the color edges of the losses."""
    stride = 4
    height, width = math.ceil(HEIGHT / stride), math.ceil(WIDTH / stride)
    padded = torch.zeros(1, 3, height * stride, width * stride)
    padded[0, :, :HEIGHT, :WIDTH] = image
    supervision = BoxSupervision(
        stride=stride,
        rgb=True,
        color_threshold=color_threshold,
        size=3,
        dilation=2,
        bottom_pixels_removed=removed,
    )
    valid = supervision.valid_cells(padded, [(HEIGHT, WIDTH)], [HEIGHT])
    alike = unpack_edges(supervision.color_edges(padded, valid))[0]
    kept = [0, 0, 0]
    for box, mask in zip(boxes.tolist(), masks, strict=True):
        for row in range(height):
            for column in range(width):
                y, x = row * stride + 2, column * stride + 2
                if not (int(box[0]) <= x <= int(box[2] + 1) - 1 and int(box[1]) <= y <= int(box[3] + 1) - 1):
                    continue
                pairs = []
                for k, (dy, dx) in enumerate(neighbor_offsets()):
                    y2, x2 = y + stride * dy, x + stride * dx
                    if not (0 <= y2 < HEIGHT - removed and 0 <= x2 < WIDTH):
                        continue
                    label = bool(mask[y, x]) if y < HEIGHT and x < WIDTH else False
                    step = abs(block_mean(depth, row, column) - block_mean(depth, row + dy, column + dx))
                    ok = (color_threshold == 0 or bool(alike[k, row, column])) and (cutoff is None or step < cutoff)
                    pairs.append((label == bool(mask[y2, x2]), ok))
                border = not all(same for same, _ in pairs)
                for same, ok in pairs:
                    kind = CROSSING if not same else SAME_AT_BORDER if border else SAME_ELSEWHERE
                    kept[kind] += ok
    return kept


def block_mean(depth, row, column):
    pixels = [(min(row * 4 + i, HEIGHT - 1), min(column * 4 + j, WIDTH - 1)) for i in range(4) for j in range(4)]
    return sum(float(depth[0, y, x]) for y, x in pixels) / 16


def as_pairs(counts, objects=2, settings=SETTINGS):
    return PairCounts(settings, counts, 1, objects, True)


@pytest.mark.parametrize("removed", [0, 9])
def test_counts_equal_loops_over_pixels(scene, removed):
    pairs = as_pairs(count_pairs(*scene, SETTINGS, removed))
    cutoff = depth_cutoff(10.0, 0.5)
    for color, low in ((None, None), (0.3, None), (None, cutoff), (0.1, cutoff), (None, depth_cutoff(100.0, 0.7))):
        slow = slow_counts(*scene, removed, color or 0, low)
        assert pairs.kept(color, low).tolist() == slow, (color, low)
        assert min(slow[0], slow[1], slow[2]) > 0 or low is not None or color is not None


def test_depth_counts_equal_the_similarity_of_the_losses(scene):
    _, boxes, _, depth = scene
    pairs = as_pairs(count_pairs(*scene, SETTINGS))
    small = average_depth(depth[None], 4)
    torch.testing.assert_close(small[0], depth_on_grid(depth, (64, 64), 4)[:, :12, :15], atol=1e-6, rtol=0)
    y, x = torch.arange(12)[:, None] * 4 + 2, torch.arange(15)[None] * 4 + 2
    valid = ((y < HEIGHT) & (x < WIDTH))[None]
    inside = box_masks(boxes, 12, 15, 4)
    for scale in SETTINGS.depth_scales:
        for low in SETTINGS.depth_thresholds:
            alike = depth_similarity(small, valid, scale=scale) > low
            assert (alike & inside[:, None]).sum() == pairs.kept(None, depth_cutoff(scale, low)).sum()


def test_affinity_has_the_stated_shares(scene):
    pairs = as_pairs(count_pairs(*scene, SETTINGS))
    crossing, border, elsewhere = pairs.kept(0.3).tolist()
    total = pairs.kept().tolist()
    values = pairs.affinity(0.3)
    assert values.kept == (crossing + border + elsewhere) / sum(total)
    assert values.purity == (border + elsewhere) / (crossing + border + elsewhere)
    assert values.recall == (border + elsewhere) / (total[1] + total[2])
    assert values.leak == crossing / total[0]
    assert values.border_purity == border / (border + crossing)
    everything = pairs.affinity()
    assert everything.kept == everything.recall == everything.leak == 1 and values.purity > everything.purity


def test_depth_equal_to_the_mask_separates_perfectly(scene):
    image, boxes, masks, _ = scene
    blocks = masks[:1, 2::4, 2::4].float()  # constant in each cell
    depth = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :HEIGHT, :WIDTH]
    depth = torch.nn.functional.pad(depth, (0, WIDTH - depth.shape[2], 0, HEIGHT - depth.shape[1]))
    pairs = as_pairs(count_pairs(image, boxes[:1], masks[:1], depth, SETTINGS), 1)
    values = pairs.affinity(None, depth_cutoff(10.0, 0.5))
    assert (values.purity, values.recall, values.leak) == (1, 1, 0)
    assert best_cutoff(pairs)[1].leak == 0 and pairs.affinity(None, depth_cutoff(1.0, 0.5)).leak == 0
    constant = count_pairs(image, boxes[:1], masks[:1], torch.full_like(depth, 0.4), SETTINGS)
    assert as_pairs(constant, 1).affinity(None, depth_cutoff(100.0, 0.7)).kept == 1


def test_counts_are_symmetric_under_a_flip():
    # Sizes are multiples of the stride, and the flipped boxes cover the flipped cells.
    image, depth = torch.rand(3, 48, 64) * 255, torch.rand(1, 48, 64)
    mask = torch.zeros(1, 48, 64, dtype=torch.bool)
    mask[0, 8:30, 12:40] = True
    mask = mask[:, 2::4, 2::4].repeat_interleave(4, 1).repeat_interleave(4, 2)
    plain = count_pairs(image, torch.tensor([[8.0, 4.0, 43.0, 31.0]]), mask, depth, SETTINGS)
    flipped = (image.flip(2), torch.tensor([[20.0, 4.0, 55.0, 31.0]]), mask.flip(2), depth.flip(2))
    torch.testing.assert_close(count_pairs(*flipped, SETTINGS), plain)


def test_empty_boxes_have_no_pairs(scene):
    image, boxes, masks, depth = scene
    assert count_pairs(image, boxes[:0], masks[:0], depth, SETTINGS).sum() == 0
    assert count_pairs(image, torch.tensor([[3.0, 3.0, 3.5, 3.5]]), masks[:1], depth, SETTINGS).sum() == 0
    empty = as_pairs(count_pairs(image, boxes[:0], masks[:0], depth, SETTINGS), 0)
    assert math.isnan(empty.affinity().purity) and "-" in format_table(empty)
    json.loads(encode_json(empty, {}))
    one_pixel = as_pairs(count_pairs(image, torch.tensor([[22.0, 22.0, 22.0, 22.0]]), masks[:1], depth, SETTINGS))
    assert one_pixel.kept().sum() == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"color_thresholds": (0.0,)},
        {"depth_thresholds": (1.0,)},
        {"depth_scales": (0.0,)},
        {"color_thresholds": ()},
        {"bottom_pixels_removed": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        AffinitySettings(**wrong)


def record(folder, annotations):
    Image.new("RGB", (40, 32), (90, 120, 30)).save(folder / "a.png")
    return {"file_name": str(folder / "a.png"), "height": 32, "width": 40, "image_id": 1, "annotations": annotations}


def annotation(**more):
    box = {"bbox": [4.0, 4.0, 24.0, 20.0], "bbox_mode": 1, "category_id": 0, "iscrowd": 0}
    return {**box, "segmentation": [[4.0, 4.0, 28.0, 4.0, 28.0, 24.0, 4.0, 24.0]], **more}


def test_datasets_are_resized_and_crowds_skipped(tmp_path):
    records = [record(tmp_path, [annotation(), annotation(iscrowd=1), annotation(segmentation=[])])]
    pairs = count_dataset(records, SETTINGS, min_size=64)
    assert (pairs.images, pairs.objects, pairs.has_depth) == (1, 1, False)
    assert pairs.kept().sum() > 4 * count_dataset(records, SETTINGS).kept().sum() / 2
    assert pairs.affinity(0.3).kept == 1  # one color
    assert [row.name for row in evaluate_rules(pairs)] == ["all pairs", "color >= 0.1", "color >= 0.3"]
    with pytest.raises(ValueError, match="no object has a mask"):
        count_dataset([record(tmp_path, [annotation(segmentation=[])])], SETTINGS)


def test_tables_and_plot(scene, tmp_path):
    pairs = as_pairs(count_pairs(*scene, SETTINGS))
    lines = format_table(pairs).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 1 + 1 + 2 + 6 + 3
    text = format_markdown(pairs, "a scene")
    assert text.count("| S_d >") == 6 and text.count("| color >= 0.1, S_d") == 6 and "κ = 10 |" in text
    content = json.loads(encode_json(pairs, {"json": "x"}))
    row = next(row for row in content["rows"] if row["name"] == "S_d > 0.5, κ = 10")
    assert row["values"]["leak"] == pytest.approx(pairs.affinity(None, math.log(2) / 10).leak, abs=1e-6)
    assert row["depth_cutoff"] == pytest.approx(0.0693147) and len(content["depth_curve"]) > 90
    save_affinity_plot(pairs, tmp_path / "new" / "plot.png", "title")
    colors = Image.open(tmp_path / "new" / "plot.png").convert("RGB").getcolors(1 << 20)
    assert {(0xD1, 0x49, 0x5B), (0x00, 0x79, 0x8C), (0x8D, 0x6A, 0x9F)} <= {color for _, color in colors}
