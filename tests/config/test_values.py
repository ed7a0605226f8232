"""Values of config keys: types, ranges, and keys that must fit each other."""

import math
from pathlib import Path

import pytest
import yaml
from detectron2.config import CfgNode, get_cfg

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config
from depthbox.config.loading import iterate_keys
from depthbox.config.table import NULLABLE, RULES

CONFIGS = Path(__file__).parents[2] / "configs"
GARBAGE = [None, math.nan, math.inf, 1e308, 10**30, "\0", {"A": 1}, [[[None]]], [{}], "x\x1b[2J"]


def load(tmp_path: Path, key: str, value: object) -> CfgNode:
    """Load a file that sets one key."""
    tree: object = value
    for part in reversed(key.split(".")):
        tree = {part: tree}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    return load_config(add_depthbox_config, str(tmp_path / "run.yaml"))


def find(cfg: CfgNode, key: str) -> object:
    """Return the value of a dotted key."""
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


@pytest.mark.parametrize("value", GARBAGE, ids=repr)
def test_garbage_is_refused_for_every_key_in_one_line_with_file_and_key(tmp_path: Path, value: object) -> None:
    cfg = load_config(add_depthbox_config)
    others = [key for key in iterate_keys(cfg) if key not in RULES]
    for key in [*(key for key in RULES if key != "SOLVER.BASE_LR_END"), *others[::8]]:
        default = find(cfg, key)
        wide = isinstance(default, float) and key not in RULES and value in (1e308, 10**30)
        if wide or (key == "SOLVER.BASE_LR" and value == 10**30) or (value is None and key in NULLABLE):
            continue
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, key, value)
        text = str(caught.value)
        assert f"run.yaml: {key} is " in text and len(text) < 500, text


def test_every_rule_belongs_to_a_key_and_allows_its_default() -> None:
    cfg = load_config(add_depthbox_config)
    known = set(iterate_keys(cfg))
    for key, rule in RULES.items():
        if key == "SOLVER.BASE_LR_END":  # of newer versions of Detectron2
            continue
        assert key in known, key
        assert rule.holds(find(cfg, key)), key


def test_every_key_of_depthbox_that_is_not_a_switch_has_a_rule() -> None:
    plain, cfg = set(iterate_keys(get_cfg())), load_config(add_depthbox_config)
    own = [key for key in iterate_keys(cfg) if key not in plain and not isinstance(find(cfg, key), bool)]
    assert [key for key in own if key not in RULES] == ["MODEL.TIMM.OPTIONS"]


def test_every_shipped_config_is_valid() -> None:
    files = sorted(CONFIGS.rglob("*.yaml"))
    assert len(files) > 30
    for file in files:
        assert load_config(add_depthbox_config, str(file)).is_frozen()


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("MODEL.DEPTH.SCALE", 3, 3.0),
        ("SOLVER.BASE_LR", "1e-3", 0.001),
        ("SOLVER.STEPS", "(3, 4)", (3, 4)),
        ("SOLVER.STEPS", [3, 4], (3, 4)),
        ("MODEL.PIXEL_MEAN", [1, 2, 3], [1, 2, 3]),
        ("OUTPUT_DIR", "2024", "2024"),
        ("OUTPUT_DIR", "'a b'", "a b"),
        ("WANDB.NAME", "True", "True"),
        ("MODEL.DEPTH.LAYER", "true", True),
        ("SOLVER.WEIGHT_DECAY_BIAS", None, None),
    ],
)
def test_values_are_read_as_the_type_of_the_key(tmp_path: Path, key: str, value: object, read: object) -> None:
    found = find(load(tmp_path, key, value), key)
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("SOLVER.BASE_LR", "nan", "a number above 0"),
        ("SOLVER.BASE_LR", "-1", "a number above 0"),
        ("SOLVER.BASE_LR", "1e999", "a number above 0"),
        ("SOLVER.MAX_ITER", "3.7", "a whole number from 0"),
        ("SOLVER.MAX_ITER", "True", "a whole number from 0"),
        ("MODEL.FCOS.NUM_CLASSES", "0", "a whole number from 1"),
        ("MODEL.FCOS.NUM_CLASSES", str(10**30), "a whole number from 1"),
        ("MODEL.FCOS.NUM_CLASSES", "9" * 5000, "a whole number from 1"),
        ("MODEL.FCOS.SIZES_OF_INTEREST", "[64, 32, 128, 256]", "increasing"),
        ("MODEL.FCOS.PRIOR_PROB", "1", "a number above 0 and below 1"),
        ("MODEL.DEPTH.LAYER", "1", "True or False"),
        ("MODEL.DEVICE", "abc", "cpu, cuda or cuda:N"),
        ("MODEL.FPN.NORM", "XN", "'' .none., BN"),
        ("MODEL.MASK_SUPERVISION", "boxes", "box, mask or mixed"),
        ("MODEL.RESNETS.DEPTH", "51", "18, 34, 50, 101 or 152"),
        ("SOLVER.LR_SCHEDULER_NAME", "Cosine", "WarmupMultiStepLR, WarmupCosineLR or WarmupPolyLR"),
        ("INPUT.MIN_SIZE_TRAIN", "()", "at least 1 values"),
        ("DATASETS.TRAIN", "coco", "a list of names of datasets"),
        ("DATASETS.COCO_STYLE", "[['a', 'b']]", "one per dataset"),
        ("TEST.EXPECTED_RESULTS", "[1]", "task, metric, value, tolerance"),
        ("OUTPUT_DIR", " ", "the path of a folder"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", str(10**12), "a whole number of usual size"),
        ("MODEL.RPN.IOU_LABELS", "5", "a list such as"),
        ("MODEL.FCOS.NUM_CLASSES", "(" * 3000, "a whole number from 1"),
    ],
)
def test_a_value_out_of_range_names_the_possible_ones(key: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"^the command line: {key} is .*, but it must be .*{words}"):
        load_config(add_depthbox_config, overrides=[key, value])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["INPUT.MIN_SIZE_TRAIN_SAMPLING", "range"], "INPUT.MIN_SIZE_TRAIN is .*needs two values"),
        (["INPUT.CROP.ENABLED", "True", "INPUT.CROP.SIZE", "[3, 3]"], "shares of at most 1"),
        (["INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "absolute"], "whole pixels"),
        (["SOLVER.NESTEROV", "True", "SOLVER.MOMENTUM", "0"], "needs SOLVER.MOMENTUM above 0"),
        (["MODEL.FCOS.IN_FEATURES", "['p3', 'p4']"], "FPN_STRIDES is .* names 2 levels: give one stride per level"),
        (["MODEL.FCOS.SIZES_OF_INTEREST", "[64]"], "give one bound fewer, 4"),
        (["MODEL.PIXEL_STD", "[1.0]"], "three values"),
        (["MODEL.FPN.OUT_CHANNELS", "48", "MODEL.FPN.NORM", "GN"], "a multiple of 32"),
        (["MODEL.DISTILL.ENABLED", "True", "MODEL.DISTILL.ALPHA", "0.9"], "at most 1"),
        (["MODEL.FPN.IN_FEATURES", "['res2', 'res5']"], "MODEL.RESNETS.OUT_FEATURES .* lacks res2"),
        (["MODEL.RESNETS.DEPTH", "18"], "MODEL.RESNETS.RES2_OUT_CHANNELS is 256, but MODEL.RESNETS.DEPTH 18 needs 64"),
    ],
)
def test_keys_that_do_not_fit_each_other_are_named(overrides: list[str], message: str) -> None:
    base = str(CONFIGS / "Base-DepthBox.yaml")
    with pytest.raises(ConfigError, match=message):
        load_config(add_depthbox_config, base, overrides)


@pytest.mark.parametrize("backbone", ["timm", "resnet"])
@pytest.mark.parametrize("network", ["DepthBox", ""])
def test_suggested_keys_are_those_that_the_network_reads(network: str, backbone: str) -> None:
    words = ["MODEL.BACKBONE.NAME", f"build_{backbone}", *(["MODEL.META_ARCHITECTURE", network] if network else [])]

    def suggest(key: str) -> str:
        with pytest.raises(ConfigError, match="unknown key") as caught:
            load_config(add_depthbox_config, overrides=[*words, key, "1"])
        return str(caught.value).partition("unknown key")[2]

    classes = suggest("MODEL.NUM_CLASSES")
    assert "MODEL.FCOS.NUM_CLASSES" in classes
    assert not any(head in classes for head in ("RETINANET", "ROI_HEADS", "SEM_SEG"))
    assert "MODEL.RPN" not in suggest("MODEL.RPN.HEAD_NAMES").partition(";")[2]
    assert ("MODEL.RESNETS.DEPTH" in suggest("MODEL.RESNET.DEPTH")) == (backbone == "resnet")
    assert ("MODEL.TIMM.FREEZE_STAGES" in suggest("MODEL.TIM.FREEZE_STAGES")) == (backbone == "timm")


def test_a_network_of_detectron2_gets_its_own_keys_suggested() -> None:
    words = ["MODEL.META_ARCHITECTURE", "RetinaNet", "MODEL.RETINANET.NUM_CLASES", "1"]
    with pytest.raises(ConfigError, match=r"did you mean MODEL\.RETINANET\.NUM_CLASSES"):
        load_config(add_depthbox_config, overrides=words)
