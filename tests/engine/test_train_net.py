"""The command line of tools/train_net.py."""

from pathlib import Path

import pytest
from script_toy import load_script

SCRIPT = Path(__file__).parents[2] / "tools" / "train_net.py"


@pytest.fixture(scope="module")
def train_net():
    return load_script(SCRIPT)


def test_options_and_overrides_in_any_order(train_net):
    words = ["MODEL.DEVICE", "cpu", "--num-gpus", "2", "--resume", "SEED", "-1", "--config-file", "a.yaml"]
    arguments = train_net.parse_arguments(words)
    assert arguments.overrides == ["MODEL.DEVICE", "cpu", "SEED", "-1"]
    assert (arguments.num_gpus, arguments.resume, arguments.config_file) == (2, True, "a.yaml")
    assert not arguments.eval_only and arguments.dist_url == "auto"


def test_help_shows_examples(train_net, capsys):
    with pytest.raises(SystemExit):
        train_net.parse_arguments(["--help"])
    text = capsys.readouterr().out
    assert "[KEY VALUE ...]" in text and "--num-gpus 2 MODEL.DEVICE cpu" in text and "torchrun" in text
