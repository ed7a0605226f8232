"""scripts/config_reference.py: docs/config.md lists the keys, defaults and comments of the config."""

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest
from detectron2.config import CfgNode, get_cfg
from script_toy import load_script

from depthbox import add_depthbox_config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load_script(ROOT / "scripts" / "config_reference.py")


def test_config_reference_is_up_to_date(reference: ModuleType) -> None:
    page = reference.make_page(reference.SOURCE.read_text(encoding="utf-8"))
    assert reference.PAGE.read_text(encoding="utf-8") == page, "run: python scripts/config_reference.py"
    before, after = get_cfg(), get_cfg()
    add_depthbox_config(after)
    table = dict(re.findall(r"^\| `([A-Z._0-9]+)` \| `(.*?)` \|", page, re.MULTILINE))
    assert set(table) == leaves(after).keys() - (leaves(before).keys() - table.keys()), "keys are missing"
    assert {key: ast.literal_eval(value) for key, value in table.items()} == {key: leaves(after)[key] for key in table}


def leaves(node: CfgNode, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in node.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else {f"{prefix}{key}": value}
    return found


def test_config_reference_reads_comments(reference: ModuleType) -> None:
    source = """
def f(cfg):
    node = cfg.MODEL.NEW = CN()  # a group
    # above,
    # two lines
    node.A = [1,
              2]
    node.B = "x"  # or "y" | z
    if True:
        cfg.TEST.C = 1
"""
    assert [(entry.name, entry.default, entry.note) for entry in reference.read_entries(source)] == [
        ("MODEL.NEW", "", "a group"),
        ("MODEL.NEW.A", "[1, 2]", "above, two lines"),
        ("MODEL.NEW.B", '"x"', 'or "y" | z'),
        ("TEST.C", "1", ""),
    ]
    assert '| `MODEL.NEW.B` | `"x"` | or "y" \\| z |\n' in reference.make_page(source)
    with pytest.raises(ValueError, match="line 2: the default of A is not a literal"):
        list(reference.read_entries("def f(cfg):\n    cfg.A = g\n"))
