"""Default values of the config, and mistakes in keys and values."""

import json
from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config


def leaves(node: CfgNode, prefix: str = "") -> dict[str, object]:
    """Return all values of a config by their dotted keys."""
    found: dict[str, object] = {}
    for key, value in node.items():
        if isinstance(value, CfgNode):
            found.update(leaves(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found


def test_the_default_config_is_boxinst_without_depth_and_teacher() -> None:
    cfg = load_config(add_depthbox_config)
    assert cfg.MODEL.MASK_SUPERVISION == "box"
    assert not (cfg.MODEL.DEPTH.LAYER or cfg.MODEL.DEPTH.CONSISTENCY or cfg.INPUT.DEPTH.ENABLED)
    assert not cfg.MODEL.DISTILL.ENABLED and cfg.TEST.EVALUATE == "student"


def test_values_of_the_paper() -> None:
    distill = load_config(add_depthbox_config).MODEL.DISTILL
    assert (distill.ALPHA, distill.BETA, distill.SCORE_THRESH, distill.LOSS_WEIGHT) == (0.8, 0.2, 0.8, 4.0)
    assert distill.EMA_MOMENTUM == 0.999 and distill.ALPHA + distill.BETA <= 1
    assert not (distill.SOFT_MASKS or distill.CERTAINTY_WEIGHT or distill.STRONG_AUGMENTATION)


def test_defaults_of_the_depth_losses() -> None:
    """tau_d is that of the paper; kappa was chosen by measurement; the warm-up is that of the color loss."""
    model = load_config(add_depthbox_config).MODEL
    assert (model.DEPTH.THRESH, model.DEPTH.SCALE) == (0.5, 100.0)
    assert (model.DEPTH.LOSS_WEIGHT, model.DEPTH.CONSISTENCY_WEIGHT) == (1.0, 1.0)
    assert model.DEPTH.WARMUP_ITERS == model.BOXINST.PAIRWISE.WARMUP_ITERS == 10000
    assert not (model.DEPTH.LAYER or model.DEPTH.CONSISTENCY)


def test_no_key_of_detectron2_is_changed() -> None:
    plain, cfg = get_cfg(), get_cfg()
    add_depthbox_config(cfg)
    ours, theirs = leaves(cfg), leaves(plain)
    assert {key: ours[key] for key in theirs} == theirs
    assert len(ours) > len(theirs) + 60


def test_adding_the_keys_twice_changes_nothing() -> None:
    once, twice = get_cfg(), get_cfg()
    for cfg in (once, twice, twice):
        add_depthbox_config(cfg)
    assert leaves(once) == leaves(twice)


def test_every_default_survives_a_dump(tmp_path: Path) -> None:
    cfg = load_config(add_depthbox_config)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    again = leaves(load_config(add_depthbox_config, str(tmp_path / "config.yaml")))
    assert json.dumps(again) == json.dumps(leaves(cfg))  # a nested tuple becomes a list


def test_a_loaded_config_is_frozen() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        load_config(add_depthbox_config).SEED = 4


@pytest.mark.parametrize(
    ("key", "similar"),
    [
        ("MODEL.DEPTH.WEIGHT", "MODEL.DEPTH.LOSS_WEIGHT"),
        ("MODEL.DISTIL.ENABLED", "MODEL.DISTILL.ENABLED"),
        ("DEPTH.LAYER", "MODEL.DEPTH.LAYER"),
        ("BASE_LR", "SOLVER.BASE_LR"),
        ("model.depth.layer", ""),
    ],
)
def test_an_unknown_key_comes_with_a_similar_one(tmp_path: Path, key: str, similar: str) -> None:
    with pytest.raises(ConfigError, match=f"the command line sets the unknown key {key}") as caught:
        load_config(add_depthbox_config, overrides=[key, "1"])
    assert similar in str(caught.value)
    if "." in key:
        section, _, rest = key.partition(".")
        text = f"{section}:\n  {rest.replace('.', ':{')}: 1{'}' * rest.count('.')}\n".replace(":{", ": {")
        (tmp_path / "own.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"own.yaml sets the unknown key"):
            load_config(add_depthbox_config, str(tmp_path / "own.yaml"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.DEPTH.LAYER", "yes please"),
        ("MODEL.DEPTH.SCALE", "[1, 2]"),
        ("SOLVER.STEPS", "many"),
        ("MODEL.FCOS.NUM_CLASSES", "two"),
        ("MODEL.DISTILL", "True"),
    ],
)
def test_a_value_of_another_type_names_the_key(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load_config(add_depthbox_config, overrides=[key, value])


@pytest.mark.parametrize("value", ["3.0", "1e1", "0.25"])
def test_decimal_numbers_of_any_form_are_read(value: str) -> None:
    cfg = load_config(add_depthbox_config, overrides=["MODEL.DEPTH.SCALE", value])
    assert float(value) == cfg.MODEL.DEPTH.SCALE and isinstance(cfg.MODEL.DEPTH.SCALE, float)


def test_the_last_of_repeated_overrides_wins() -> None:
    words = ["SEED", "1", "MODEL.DEPTH.LAYER", "True", "SEED", "2"]
    cfg = load_config(add_depthbox_config, overrides=words)
    assert cfg.SEED == 2 and cfg.MODEL.DEPTH.LAYER is True


def test_an_odd_number_of_words_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"there are 3 words: SEED 1 MODEL\.DEVICE"):
        load_config(add_depthbox_config, overrides=["SEED", "1", "MODEL.DEVICE"])
