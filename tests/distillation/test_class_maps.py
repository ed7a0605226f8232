"""Class maps of a teacher: certain pixels, discs, kept maps of images where the teacher collapsed; choice of labelers."""

import copy

import pytest
import torch
from points_toy import points_cfg, points_network, points_sample

from depthbox.distillation import ClassMapLabeler, TeacherLabeler, build_labeler, teacher_start
from depthbox.distillation.class_maps import foreground_share, is_sound

LEARNED = {"MODEL__P2SEG__SEMANTIC__SOURCE": "points"}


def labeler(bias: float, certain: float = 0.6) -> ClassMapLabeler:
    """A labeler whose teacher gives the foreground of each image's classes that much more than the background."""
    network = points_network(**LEARNED)
    head = network.heads.class_head[2]
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.tensor([0.0, bias, bias])
    return ClassMapLabeler(network.eval(), certain=certain, seed_radius=1)


def test_teacher_replaces_the_class_map_of_sound_images_only() -> None:
    batch = [points_sample(), points_sample(0, seed=1)]
    before = copy.deepcopy(batch)
    full = labeler(9.0)(batch)  # foreground everywhere: two equal classes are not certain
    assert (full[0]["class_map"] == before[0]["class_map"]).all() and full[0]["semantic_counts"][0] == 0
    empty = labeler(-9.0)(batch)
    assert (empty[0]["class_map"] == before[0]["class_map"]).all()  # discs alone are too small
    assert (empty[1]["class_map"] == 0).all() and empty[1]["semantic_counts"].tolist() == [1, 1, 48 * 64, 48 * 64]
    assert all(torch.equal(x["class_map"], y["class_map"]) for x, y in zip(batch, before, strict=True))


def test_uncertain_teacher_leaves_pixels_unknown() -> None:
    unsure = labeler(0.0)
    found = unsure([points_sample(0)])[0]
    assert (found["class_map"] == 0).all()  # without points only the background is possible
    sample = points_sample(1)
    sample["class_map"][:] = 0  # nothing to compare with
    found = unsure([sample])[0]
    assert set(found["class_map"].unique().tolist()) == {1, 255} and (found["class_map"] == 1).sum() == 5


def test_statistics_are_shares_of_images_and_pixels() -> None:
    made = labeler(-9.0)
    labeled = made([points_sample(0), points_sample(3)])
    assert made.summarize(made.count(labeled).tolist()) == {"semantic/replaced": 0.5, "semantic/known": 1.0}
    assert made.summarize([0.0, 0.0, 0.0, 0.0]) == {}


def test_foreground_may_shrink_or_grow_by_less_than_five() -> None:
    reference = torch.zeros(10, 10).long()
    reference[:1] = 1
    for rows, sound in ((0, False), (1, True), (5, True), (6, False)):
        other = torch.zeros(10, 10).long()
        other[:rows] = 2
        assert bool(is_sound(other, reference)) == sound, rows
    reference[5:] = 255
    assert foreground_share(reference) == torch.tensor(0.1) and bool(is_sound(reference, torch.zeros(10, 10).long()))


def test_labeler_is_chosen_by_the_meta_architecture() -> None:
    network = points_network(**LEARNED).eval()
    assert isinstance(build_labeler(points_cfg(**LEARNED), network), ClassMapLabeler)
    cfg = points_cfg()
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    with pytest.raises(ValueError, match="RetinaNet, which has no teacher"):
        build_labeler(cfg, network)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DISTILL.BETA = "DepthBox", 0.0
    assert isinstance(build_labeler(cfg, network), TeacherLabeler)


def test_start_of_the_teacher_depends_on_the_network() -> None:
    cfg = points_cfg(MODEL__DISTILL__ENABLED=True, MODEL__DISTILL__START_ITER=7)
    assert teacher_start(cfg) is None  # its class map is given
    learned = points_cfg(**LEARNED, MODEL__P2SEG__SEMANTIC__WARMUP_ITERS=5)
    start = teacher_start(learned)
    assert start is not None and (start.key, start.iteration) == ("MODEL.P2SEG.SEMANTIC.WARMUP_ITERS", 5)
    cfg.MODEL.META_ARCHITECTURE = "DepthBox"
    start = teacher_start(cfg)
    assert start is not None and start.iteration == 7
