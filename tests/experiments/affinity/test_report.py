"""Report and plot of the affinity analysis, from counts whose shares are known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from depthbox.experiments.affinity import plot, report
from depthbox.experiments.affinity.count import AffinitySettings, PairCounts, depth_cutoff

SETTINGS = AffinitySettings((0.3,), (10.0, 100.0), (0.5,))
NEAR, FAR = depth_cutoff(100.0, 0.5), depth_cutoff(10.0, 0.5)


@pytest.fixture
def pairs() -> PairCounts:
    """Count 100 pairs of similar color and near depth, 40 of similar color alone, and 60 others."""
    counts = torch.zeros(len(SETTINGS.color_levels) + 1, len(SETTINGS.depth_cutoffs) + 1, 3, dtype=torch.int64)
    near = SETTINGS.depth_cutoffs.index(NEAR) + 1  # |Δd| of these pairs reaches NEAR, but not the next cutoff
    counts[-1, near] = torch.tensor([4, 16, 80])  # crossing, same label at the border, same label elsewhere
    counts[-1, -1] = torch.tensor([20, 10, 10])
    counts[0, -1] = torch.tensor([36, 14, 10])
    return PairCounts(SETTINGS, counts, images=3, objects=5, has_depth=True)


def test_rules_are_evaluated_in_order(pairs: PairCounts) -> None:
    rows = report.evaluate_rules(pairs)
    assert [row.name for row in rows] == [
        "all pairs",
        "color >= 0.3",
        "S_d > 0.5, κ = 10",
        "S_d > 0.5, κ = 100",
        "color >= 0.3, S_d > 0.5, κ = 10",
        "color >= 0.3, S_d > 0.5, κ = 100",
    ]
    everything, color, depth = rows[0].values, rows[1].values, rows[2].values
    assert everything.kept == 1 and everything.purity == 140 / 200 and everything.leak == 1
    assert color.kept == 140 / 200 and color.purity == 116 / 140 and color.leak == 24 / 60
    assert color.recall == 116 / 140 and color.border_purity == 26 / 50
    assert depth.kept == 100 / 200 and depth.purity == 96 / 100 and depth.leak == 4 / 60
    assert rows[3].values.kept == 0 and math.isnan(rows[3].values.purity), "|Δd| is not below its own cutoff"
    assert rows[4].values == depth and rows[2].depth_cutoff == FAR and rows[1].depth_scale is None


def test_the_best_cutoff_has_the_largest_difference_of_recall_and_leak(pairs: PairCounts) -> None:
    cutoff, values = report.best_cutoff(pairs)
    assert cutoff == next(c for c in SETTINGS.depth_cutoffs if c > NEAR)
    assert values.recall - values.leak == pytest.approx(96 / 140 - 4 / 60)
    sentence = report.format_separation(pairs)
    assert f"|Δd| < {cutoff:.4g} " in sentence and "recall 68.6 %, leak 6.7 %." in sentence


def test_the_table_fits_a_terminal(pairs: PairCounts) -> None:
    lines = report.format_table(pairs).splitlines()
    assert lines[0].split() == ["rule", "kept", "purity", "recall", "leak", "border"] and len(lines) == 7
    assert lines[2].split()[3:] == ["70.00", "82.86", "82.86", "40.00", "52.00"]
    assert lines[4].split()[-5:] == ["0.00", "-", "0.00", "0.00", "-"]
    assert max(map(len, lines)) <= 80


def test_combinations_in_the_table_are_those_of_the_middle_thresholds(pairs: PairCounts) -> None:
    settings = AffinitySettings((0.1, 0.3, 0.5), (10.0,), (0.3, 0.5, 0.7))
    counts = torch.ones(len(settings.color_levels) + 1, len(settings.depth_cutoffs) + 1, 3, dtype=torch.int64)
    many = PairCounts(settings, counts, 1, 1, True)
    joint = [line for line in report.format_table(many).splitlines() if line.startswith("color") and "S_d" in line]
    assert len(joint) == 1 and joint[0].startswith("color >= 0.3, S_d > 0.5")
    assert report.find_middle((4.0, 1.0, 3.0, 2.0)) == 2.0 and report.find_middle((7.0,)) == 7.0


def test_markdown_has_the_whole_table(pairs: PairCounts) -> None:
    text = report.format_markdown(pairs, "scenes, short side 64")
    assert text.startswith(
        "# Labels of similar neighbors\n\nscenes, short side 64: 3 images, 5 objects, 200 pairs, 70.00 %"
    )
    assert "| S_d > 0.5, κ = 10 | 0.06931 | 50.00 | 96.00 | 68.57 | 6.67 | 80.00 |" in text
    assert text.count("\n| ") == 2 + 6 and all(f"- {line}" in text for line in report.LEGEND.splitlines())
    assert text.endswith(report.format_separation(pairs) + "\n")


def test_json_has_curves_and_null_for_undefined_shares(pairs: PairCounts) -> None:
    content = json.loads(report.encode_json(pairs, {"json": "a.json"}), parse_constant=pytest.fail)
    assert content["data"] == {"json": "a.json", "images": 3, "objects": 5, "pairs": 200}
    assert content["rows"][3]["values"]["purity"] is None and content["rows"][1]["values"]["leak"] == 0.4
    assert len(content["color_curve"]) == len(SETTINGS.color_levels)
    assert len(content["depth_curve"]) == len(SETTINGS.depth_cutoffs)
    assert content["best_cutoff"] == report.best_cutoff(pairs)[0]


def test_without_depth_only_color_is_reported(pairs: PairCounts, tmp_path: Path) -> None:
    plain = PairCounts(SETTINGS, pairs.counts, 3, 5, has_depth=False)
    assert [row.name for row in report.evaluate_rules(plain)] == ["all pairs", "color >= 0.3"]
    content = json.loads(report.encode_json(plain, {}))
    assert "depth_curve" not in content and "best_cutoff" not in content
    assert "S_d" not in report.format_markdown(plain, "x")
    plot.save_affinity_plot(plain, tmp_path / "plain.png")
    plot.save_affinity_plot(pairs, tmp_path / "depth.png")
    assert count_pixels(tmp_path / "plain.png", plot._DEPTH) == 0 < count_pixels(tmp_path / "depth.png", plot._DEPTH)
    assert count_pixels(tmp_path / "plain.png", plot._COLOR) > 100


def count_pixels(path: Path, color: str) -> int:
    """Count the pixels of a color (#rrggbb)."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return int((pixels == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(2).sum())
