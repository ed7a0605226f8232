"""Published results: the tables of docs/results equal the JSON files beside them."""

import json
import statistics
from pathlib import Path

import pytest

from depthbox.experiments.ablation.results import format_table

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "docs" / "results").glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_has_the_table_of_the_json_file(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    pages = [page.read_text(encoding="utf-8") for page in file.parent.glob("*.md")]
    page = next(page for page in pages if format_table(content, "pipe") in page)
    assert all(commit in page for commit in content["commit"].split(" | "))
    assert all((ROOT / row["config"]).is_file() for row in content["rows"])
    for row in content["rows"]:
        assert len(row["seeds"]) == len(row["mask_AP"]) == len(row["box_AP"]) > 0
    assert not content["uncommitted_changes"]


def test_the_whole_method_gains_two_points_with_every_seed() -> None:
    file = ROOT / "docs" / "results" / "ablation_synthetic.json"
    rows = {row["name"]: row for row in json.loads(file.read_text(encoding="utf-8"))["rows"]}
    assert list(rows) == [
        "boxinst", "cons", "depth", "cons_depth", "distill_same_size", "distill_larger", "full"
    ]  # fmt: skip
    assert all(row["seeds"] == [0, 1, 2] for row in rows.values())
    gains = [full - base for full, base in zip(rows["full"]["mask_AP"], rows["boxinst"]["mask_AP"], strict=True)]
    assert statistics.fmean(gains) >= 2 and min(gains) > 0
