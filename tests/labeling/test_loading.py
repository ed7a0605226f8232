"""Inputs of labeling jobs: the fingerprint, views of an image and the rule of depth."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from labeling_toy import change

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.labeling.loading import build_depth_rule, default_sizes, job_fingerprint, load_annotations, make_views


def config(*words: str) -> CfgNode:
    return load_config(add_depthbox_config, "tests/tiny.yaml", list(words))


def edit_note(content: dict[str, Any]) -> None:
    content["annotations"][0]["note"] = "another note"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: change(folder, edit_note),
        lambda folder: change(folder, lambda content: content["annotations"].reverse()),
        lambda folder: (folder / "w.pth").write_bytes(b"other weights"),
    ],
    ids=["annotation", "order", "weights"],
)
def test_the_fingerprint_depends_on_files(folder: Path, spoil: Callable[[Path], Any]) -> None:
    (folder / "w.pth").write_bytes(b"weights")

    def compute() -> str:
        annotations = load_annotations(folder / "boxes.json", folder / "images")
        return job_fingerprint(config(), str(folder / "w.pth"), annotations, {"mirror": True})

    first = compute()
    assert compute() == first
    spoil(folder)
    assert compute() != first


def test_the_fingerprint_depends_on_config_options_and_image_folder(folder: Path) -> None:
    annotations = load_annotations(folder / "boxes.json", folder / "images")
    (folder / "images").rename(folder / "moved")
    moved = load_annotations(folder / "boxes.json", folder / "moved")
    found = {
        job_fingerprint(config(), "https://host/a.pth", annotations, {"mirror": True}),
        job_fingerprint(config(), "https://host/b.pth", annotations, {"mirror": True}),
        job_fingerprint(config(), "https://host/a.pth", annotations, {"mirror": False}),
        job_fingerprint(
            config("MODEL.DISTILL.CANDIDATES_PER_BOX", "4"), "https://host/a.pth", annotations, {"mirror": True}
        ),
        job_fingerprint(config(), "https://host/a.pth", moved, {"mirror": True}),
    }
    assert len(found) == 5
    assert json.loads((folder / "boxes.json").read_text()) == annotations.original


def test_views_are_the_image_and_its_mirror_image() -> None:
    image = torch.randint(0, 255, (3, 8, 12), dtype=torch.uint8)
    depth = np.linspace(0, 1, 12, dtype=np.float32)[None].repeat(8, 0)
    plain, mirrored = make_views(image, depth, mirror=True)
    assert not plain.mirrored and mirrored.mirrored
    torch.testing.assert_close(mirrored.image, plain.image.flip(2))
    assert plain.depth is not None and mirrored.depth is not None
    torch.testing.assert_close(mirrored.depth, plain.depth.flip(2))
    (alone,) = make_views(image, None, mirror=False)
    assert alone.depth is None


def test_default_sizes_are_the_test_size_and_one_and_a_half_times_that() -> None:
    assert default_sizes(config("INPUT.MIN_SIZE_TEST", "160")) == (160, 240)


def test_depth_needs_a_weight() -> None:
    assert build_depth_rule(config("MODEL.DISTILL.BETA", "0.3")).beta == 0.3
    with pytest.raises(ValueError, match=r"--set MODEL\.DISTILL\.BETA 0\.2"):
        build_depth_rule(config("MODEL.DISTILL.BETA", "0.0"))
