"""Every config builds and matches its name, and every key of DepthBox is used."""

import ast
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from depthbox import add_depthbox_config
from depthbox.checkpoint.weights import load_weights
from depthbox.config import load_config
from depthbox.engine.resume import compare_configs

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "configs"
CONFIGS = sorted(path for path in FOLDER.rglob("*.yaml") if not path.name.startswith("Base"))
OF_THE_PAPER = [
    path for path in CONFIGS if path.parent.name in ("coco", "cityscapes", "ablations") and "tiny" not in path.name
]
ROWS = {
    "coco": "boxinst_R_50_1x boxinst_R_50_3x boxinst_R_101_1x boxinst_R_101_3x boxinst_R_101_DCN_3x condinst_R_50_1x "
    "condinst_R_50_3x condinst_R_101_3x depthbox_R_50_1x depthbox_R_50_3x depthbox_R_101_1x depthbox_R_101_3x "
    "depthbox_R_101_DCN_3x depthbox_Swin_B_1x depthbox_Swin_B_3x depthbox_Swin_B_1x_iou depthbox_Swin_B_3x_iou",
    "cityscapes": "boxinst_R_50 condinst_R_50 depthbox_R_50 depthbox_R_50_coco_init depthbox_Swin_T",
    "ablations": "boxinst cons depth cons_depth distill_same_size distill_larger full tau_d_0.3 tau_d_0.5 tau_d_0.7 "
    "gamma_0 gamma_1 gamma_2 gamma_4",
}


def by_path(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(FOLDER)))


def load(name: str | Path, *overrides: str) -> CfgNode:
    path = name if isinstance(name, Path) else FOLDER / f"{name}.yaml"
    return load_config(add_depthbox_config, str(path), overrides)


def differences(first: str, second: str) -> set[str]:
    """Return the keys, except OUTPUT_DIR, that differ between two configs."""
    return {line.split()[0] for line in compare_configs(load(first).dump(), load(second).dump())}


def leaves(node: CfgNode, prefix: str = "") -> set[str]:
    keys = set()
    for key, value in node.items():
        keys |= leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else {f"{prefix}{key}"}
    return keys


@pytest.mark.parametrize("folder", ROWS)
def test_every_line_of_the_tables_has_its_config(folder: str) -> None:
    assert {path.stem for path in OF_THE_PAPER if path.parent.name == folder} == set(ROWS[folder].split())


@by_path(CONFIGS)
def test_every_config_builds(path: Path) -> None:
    cfg = load(path, "MODEL.DEVICE", "meta", "MODEL.TIMM.PRETRAINED", "False", "MODEL.TIMM.WEIGHTS", "")
    with torch.device("meta"):  # shapes only
        model = build_model(cfg)
    if cfg.MODEL.META_ARCHITECTURE == "P2Seg":
        assert model.heads.class_head[2].out_channels == cfg.MODEL.P2SEG.NUM_CLASSES + 1
        return
    if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN":
        assert model.roi_heads.mask_head.predictor.out_channels == cfg.MODEL.ROI_HEADS.NUM_CLASSES
        return
    expected = {"box": 233, "mask": 169}[cfg.MODEL.MASK_SUPERVISION] + (9 if cfg.MODEL.DEPTH.LAYER else 0)
    assert model.mask_head.num_params == model.controller.weight.shape[0] == expected
    assert model.proposal_generator.num_classes == cfg.MODEL.FCOS.NUM_CLASSES


@by_path(OF_THE_PAPER)
def test_config_matches_its_name(path: Path) -> None:
    cfg, name = load(path), path.stem
    assert f"output/{path.parent.name}/{name}" == cfg.OUTPUT_DIR
    if "R_" in name or path.parent.name == "ablations":
        depth = 101 if "R_101" in name else 50
        assert depth == cfg.MODEL.RESNETS.DEPTH
        assert f"R-{depth}.pkl" in cfg.MODEL.WEIGHTS or "coco_init" in name
    assert [False] + 3 * ["DCN" in name] == cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE
    assert (cfg.MODEL.MASK_SUPERVISION == "mask") == ("condinst" in name)
    assert (cfg.MODEL.FCOS.BOX_QUALITY == "iou") == name.endswith("iou")
    swin = {"Swin_B": "swin_base", "Swin_T": "swin_tiny"}.get(name[9:15], "")
    assert (cfg.SOLVER.OPTIMIZER == "ADAMW") == cfg.MODEL.TIMM.PRETRAINED == bool(swin)
    if swin:
        assert cfg.MODEL.TIMM.NAME.startswith(swin)
        assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY, cfg.INPUT.FORMAT) == (1e-4, 0.05, "RGB")


@by_path(OF_THE_PAPER)
def test_schedules_are_those_of_the_paper(path: Path) -> None:
    cfg = load(path)
    one = (16, (60000, 80000), 90000, 65000)
    expected = {"cityscapes": (8, (18000,), 24000, 19000)}.get(path.parent.name, one)
    if "_3x" in path.stem:
        expected = (16, (210000, 250000), 270000, 215000)
    solver, distill = cfg.SOLVER, cfg.MODEL.DISTILL
    assert (solver.IMS_PER_BATCH, tuple(solver.STEPS), solver.MAX_ITER) == expected[:3]
    assert solver.REFERENCE_BATCH_SIZE == solver.IMS_PER_BATCH
    assert expected[3] == distill.START_ITER or not distill.ENABLED
    if distill.ENABLED and path.stem != "distill_same_size":
        assert distill.TEACHER_MIN_SIZE == max(cfg.INPUT.MIN_SIZE_TRAIN) == cfg.INPUT.MIN_SIZE_TEST


@by_path(CONFIGS)
def test_depth_is_loaded_if_and_only_if_it_is_used(path: Path) -> None:
    cfg = load(path)
    depth, distill = cfg.MODEL.DEPTH, cfg.MODEL.DISTILL
    used = depth.LAYER or depth.CONSISTENCY or (distill.ENABLED and distill.BETA > 0) or cfg.MODEL.P2SEG.SEMANTIC.DEPTH
    assert used == cfg.INPUT.DEPTH.ENABLED
    if path in OF_THE_PAPER:
        assert all(name.endswith("_depth") for name in cfg.DATASETS.TRAIN) == cfg.INPUT.DEPTH.ENABLED


@pytest.mark.parametrize(
    ("row", "other", "keys"),
    [
        ("ablations/boxinst", "coco/boxinst_R_50_1x", ""),
        ("ablations/cons", "ablations/cons_depth", "DEPTH.LAYER"),
        ("ablations/depth", "ablations/cons_depth", "DEPTH.CONSISTENCY"),
        ("ablations/cons_depth", "ablations/full", "DISTILL.ENABLED"),
        ("ablations/tau_d_0.3", "ablations/cons_depth", "DEPTH.THRESH"),
        ("ablations/tau_d_0.5", "ablations/cons_depth", ""),
        ("ablations/tau_d_0.7", "ablations/cons_depth", "DEPTH.THRESH"),
        ("ablations/distill_same_size", "ablations/distill_larger", "DISTILL.TEACHER_MIN_SIZE"),
        ("ablations/distill_larger", "ablations/full", "DISTILL.ALPHA DISTILL.BETA"),
        ("ablations/full", "coco/depthbox_R_50_1x", ""),
        ("ablations/gamma_0", "ablations/cons_depth", "DISTILL.LOSS_WEIGHT"),
        ("ablations/gamma_1", "ablations/full", "DISTILL.LOSS_WEIGHT"),
        ("ablations/gamma_2", "ablations/full", "DISTILL.LOSS_WEIGHT"),
        ("ablations/gamma_4", "ablations/full", ""),
        ("coco/depthbox_Swin_B_3x_iou", "coco/depthbox_Swin_B_3x", "FCOS.BOX_QUALITY"),
        ("cityscapes/depthbox_R_50_coco_init", "cityscapes/depthbox_R_50", "WEIGHTS"),
    ],
)
def test_config_differs_from_its_neighbor_in_one_point(row: str, other: str, keys: str) -> None:
    assert differences(row, other) == {f"MODEL.{key}" for key in keys.split()}


def test_the_ablation_of_points_crosses_source_s2i_i2s_and_depth() -> None:
    rows = {}
    for path in CONFIGS:
        if path.parent.name == "ablation" and path.parent.parent.name == "p2seg":
            cfg = load(path)
            node = cfg.MODEL.P2SEG
            rows[node.SEMANTIC.SOURCE, node.SEMANTIC.DEPTH, node.S2I, node.I2S] = path.stem
            words = [node.SEMANTIC.SOURCE, *(["depth"] if node.SEMANTIC.DEPTH else [])]
            left_out = {(True, True): "", (False, True): "no_s2i", (True, False): "no_i2s", (False, False): "neither"}
            assert path.stem == "_".join([*words, left_out[node.S2I, node.I2S]]).rstrip("_")
            assert f"output/p2seg/ablation/{path.stem}" == cfg.OUTPUT_DIR
            assert bool(cfg.DATASETS.COCO_STYLE[0][4:]) == (node.SEMANTIC.SOURCE == "files")
    sources = [("files", False)] + [(source, depth) for source in ("auto", "points") for depth in (False, True)]
    flags = [(s2i, i2s) for s2i in (False, True) for i2s in (False, True)]
    assert set(rows) == {(*source, *flag) for source in sources for flag in flags}
    for (source, depth, s2i, i2s), name in rows.items():
        keys = ({"MODEL.P2SEG.S2I"} if not s2i else set()) | ({"MODEL.P2SEG.I2S"} if not i2s else set())
        whole = rows[source, depth, True, True]
        assert differences(f"p2seg/ablation/{name}", f"p2seg/ablation/{whole}") == keys


@pytest.mark.parametrize(("name", "images"), [("stage_b_voc_R_101", 10582), ("stage_b_coco_R_50", 117266)])
def test_stage_b_has_the_schedule_of_12_epochs(name: str, images: int) -> None:
    ours, paper = load(f"p2seg/{name}"), load(f"p2seg/stage_b_mask_rcnn_{name[8:].removeprefix('coco_')}")
    for cfg in (ours, paper):
        assert cfg.SOLVER.IMS_PER_BATCH == cfg.SOLVER.REFERENCE_BATCH_SIZE == 16
        epochs = [16 * step / images for step in (*cfg.SOLVER.STEPS, cfg.SOLVER.MAX_ITER)]
        assert epochs == pytest.approx([8, 11, 12], abs=2e-3)
        assert cfg.MODEL.MASK_SUPERVISION == "mask" and len(cfg.DATASETS.COCO_STYLE[0]) == 4
    assert (paper.SOLVER.BASE_LR, paper.SOLVER.WEIGHT_DECAY, paper.SOLVER.MOMENTUM) == (0.02, 1e-4, 0.9)
    assert not paper.SOLVER.CLIP_GRADIENTS.ENABLED
    assert ours.DATASETS == paper.DATASETS and ours.TEST.EVALUATOR == paper.TEST.EVALUATOR
    classes = 20 if "voc" in name else 80
    assert ours.MODEL.FCOS.NUM_CLASSES == paper.MODEL.ROI_HEADS.NUM_CLASSES == classes


def test_published_settings_of_p2seg() -> None:
    voc, coco, resnet = (load(f"p2seg/{name}") for name in ("voc_hrnet48", "coco_hrnet48", "voc_R_101"))
    for cfg in (voc, coco, resnet):
        solver, node = cfg.SOLVER, cfg.MODEL.P2SEG
        assert (solver.OPTIMIZER, solver.BASE_LR, solver.IMS_PER_BATCH, solver.WEIGHT_DECAY) == ("ADAM", 5e-5, 8, 0.0)
        assert (solver.WARMUP_ITERS, solver.WARMUP_FACTOR, solver.POLY_POWER) == (2000, 0.001, 0.9)
        assert solver.LR_SCHEDULER_NAME == "WarmupPolyLR" and node.SEMANTIC.SOURCE == "files"
        weights = (node.SEG_WEIGHT, node.OFFSET_WEIGHT, node.AFFINITY_WEIGHT, node.DIRECT_WEIGHT)
        assert weights == (1.0, 0.01, 1.0, 0.0) and node.AFFINITY_POWER == 1.0
    assert (voc.SOLVER.MAX_ITER, coco.SOLVER.MAX_ITER) == (50000, 200000)
    assert (voc.MODEL.P2SEG.NUM_CLASSES, coco.MODEL.P2SEG.NUM_CLASSES) == (20, 80)


def test_method_is_the_same_on_both_datasets() -> None:
    coco, cityscapes = load("coco/depthbox_R_50_1x"), load("cityscapes/depthbox_R_50")
    assert cityscapes.MODEL.DEPTH == coco.MODEL.DEPTH
    own = {key for key in coco.MODEL.DISTILL if coco.MODEL.DISTILL[key] != cityscapes.MODEL.DISTILL[key]}
    assert own == {"START_ITER", "TEACHER_MIN_SIZE", "TEACHER_MAX_SIZE"}


def test_weights_of_coco_initialize_cityscapes(tmp_path: Path) -> None:
    small = ("MODEL.DEVICE", "cpu", "MODEL.FPN.OUT_CHANNELS", "32", "MODEL.CONDINST.MASK_BRANCH.CHANNELS", "32")
    coco = build_model(load("coco/depthbox_R_50_3x", *small))
    cfg = load("cityscapes/depthbox_R_50_coco_init", *small)
    assert str(Path(cfg.MODEL.WEIGHTS).parent) == load("coco/depthbox_R_50_3x").OUTPUT_DIR
    model = build_model(cfg)
    torch.save({"model": coco.state_dict()}, tmp_path / "model_final.pth")
    load_weights(model, str(tmp_path / "model_final.pth"))
    before, after = coco.state_dict(), model.state_dict()
    other = {name for name in after if not torch.equal(before[name], after[name])}
    assert {after[name].shape[0] for name in other} == {8} and {before[name].shape[0] for name in other} == {80}


def test_document_names_exactly_the_configs() -> None:
    text = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:coco|cityscapes|ablations)/[\w.]+)`", text))
    assert named == {str(path.relative_to(FOLDER).with_suffix("")) for path in OF_THE_PAPER}


def words_of(path: Path) -> set[str]:
    """Return attributes and strings of a source file without docstrings; "A.B" counts as A and B."""
    words: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[A-Z_.]+", node.value):
            words |= set(node.value.split("."))
    return words


def test_every_key_is_used() -> None:
    before, after = get_cfg(), get_cfg()
    add_depthbox_config(after)
    added = leaves(after) - leaves(before)
    assert len(added) > 60
    files = [
        words_of(path) for path in (ROOT / "depthbox").rglob("*.py") if path != ROOT / "depthbox" / "config/defaults.py"
    ]
    # A key is used if one file names it together with its node.
    dead = {key for key in added if not any(set(key.split(".")[-2:]) <= words for words in files)}
    assert dead == set()


def test_defaults_of_detectron2_are_not_changed() -> None:
    before, after = get_cfg(), get_cfg()
    add_depthbox_config(after)
    for key in leaves(before):
        node_before, node_after = before, after
        for part in key.split("."):
            node_before, node_after = node_before[part], node_after[part]
        assert node_before == node_after, key
