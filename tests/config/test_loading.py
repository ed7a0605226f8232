"""Valid and invalid config files and overrides."""

import pytest
from engine_toy import add_toy_config

from depthbox.config import ConfigError, load_config


def test_overrides_win_over_the_file_and_its_base(tmp_path):
    (tmp_path / "base.yaml").write_text("SOLVER: {BASE_LR: 0.1, MAX_ITER: 7}\n")
    (tmp_path / "run.yaml").write_text("_BASE_: base.yaml\nSOLVER: {MAX_ITER: 8, GAMMA: 0.3}\n")
    cfg = load_config(add_toy_config, str(tmp_path / "run.yaml"), ["SOLVER.GAMMA", "0.2"])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.GAMMA) == (0.1, 8, 0.2)
    assert cfg.is_frozen()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.BASE_LRR", "1"], r"unknown key SOLVER\.BASE_LRR; did you mean SOLVER\.BASE_LR"),
        (["MAX_ITER", "1"], r"did you mean .*SOLVER\.MAX_ITER"),
        (["XYZZY", "1"], r"the command line sets the unknown key XYZZY; correct or remove it"),
        (
            ["SOLVER.MAX_ITER", "many"],
            r"the command line: SOLVER\.MAX_ITER is 'many', but it must be a whole number from 0",
        ),
        (["SOLVER.MAX_ITER"], "pairs KEY VALUE"),
        (["SOLVER", "1"], "SOLVER is '1', but it is a section"),
    ],
)
def test_wrong_overrides(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(add_toy_config, overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "SOLVER: {MAXITER: 3}",
            r"run\.yaml sets the unknown key SOLVER\.MAXITER; did you mean SOLVER\.MAX_ITER",
        ),
        ("SOLVER: {MAX_ITER: [3]}", r"run\.yaml: SOLVER\.MAX_ITER is \[3\], but it must be a whole number"),
        ("SOLVER: [", r"run\.yaml is not valid YAML: line 2: "),
    ],
)
def test_wrong_files(tmp_path, text, message):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(add_toy_config, str(tmp_path / "run.yaml"))


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"config file .*none\.yaml"):
        load_config(add_toy_config, str(tmp_path / "none.yaml"))
