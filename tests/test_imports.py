"""Who may import whom: read from the sources, so that also imports inside functions count."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "depthbox"

# Room -> the rooms it may import, besides itself. A new one needs a line here and in docs/architecture.md.
_NUMERICS = {"structures", "ops", "losses"}
_NETWORK = {"modeling.distributed", "modeling.backbone", "modeling.fcos", "modeling.mask_head"}
_AROUND = {"modeling.inputs", "modeling.supervision", "modeling.health", "modeling.warmup"}
_MODEL = _NUMERICS | _NETWORK | _AROUND | {"modeling.depthbox", "modeling"}
_DATA = {"data", "evaluation"}
ALLOWED: dict[str, set[str]] = {
    "structures": set(),
    "config": set(),
    "ops": set(),
    "losses": {"ops"},
    "modeling.distributed": set(),
    "modeling.backbone": {"structures", "modeling.distributed"},
    "modeling.fcos": _NUMERICS | {"modeling.distributed"},
    "modeling.mask_head": _NUMERICS | {"modeling.distributed"},
    "modeling.inputs": {"structures"},
    "modeling.supervision": _NUMERICS | {"modeling.distributed"},
    "modeling.warmup": set(),
    "modeling.health": _NUMERICS | {"modeling.distributed", "modeling.warmup"},
    "modeling.depthbox": _MODEL - {"modeling"},
    "modeling": _MODEL,  # its __init__ alone
    "distillation": _MODEL,
    "data": set(),
    "evaluation": {"data", "ops"},
    "visualization": _NUMERICS | _DATA,
    "engine": _MODEL | _DATA | {"distillation", "visualization", "config", ""},
    "benchmark": _MODEL | _DATA | {"engine", "config", ""},
    "app": _MODEL | _DATA | {"distillation", "visualization", "engine", "config", ""},
    "cli": _MODEL | _DATA | {"distillation", "visualization", "engine", "app", "config", ""},
    "": _MODEL | _DATA | {"distillation", "config"},  # depthbox/__init__.py alone
}
TORCH_ONLY = ("structures", "ops", "losses")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    """Dotted name of a source file; a package for its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, text: str | None = None) -> Iterator[str]:
    """Absolute dotted names that a file imports; ``from a import b`` gives ``a.b``."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8") if text is None else text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str:
    """Room of a dotted name; "" for what ``depthbox/__init__.py`` itself defines."""
    parts = name.split(".")[1:]
    return next((room for room in (".".join(parts[:2]), *parts[:1]) if room in ALLOWED), "")


def broken_rules(path: Path, text: str | None = None) -> list[str]:
    here = room_of(module_of(path))
    targets = {n: room_of(n) for n in imports(path, text) if n.split(".")[0] == PACKAGE}
    return [
        f"{path.relative_to(ROOT)} ({here or 'the package'}) imports {name}"
        for name, there in targets.items()
        if there != here and there not in ALLOWED[here]
    ]


def test_every_file_has_a_room() -> None:
    files = sources(PACKAGE)
    homeless = [
        str(path.relative_to(ROOT))
        for path in files
        if room_of(module_of(path)) in ("", "modeling") and path.name != "__init__.py"
    ]
    assert not homeless, f"no rule for {homeless}: add one to ALLOWED and to docs/architecture.md"
    assert len(files) > 20


def test_imports_point_one_way() -> None:
    broken = [line for path in sources(PACKAGE) for line in broken_rules(path)]
    assert not broken, "\n".join(broken)


def test_rules_hold_no_circle() -> None:
    done: set[str] = set()
    # The network's own __init__ may name all of its rooms; nothing below may name it.
    rules = {room: allowed - {"modeling", ""} for room, allowed in ALLOWED.items()}
    while len(done) < len(rules):
        ready = {room for room, allowed in rules.items() if room not in done and allowed - {room} <= done}
        assert ready, f"a circle among {sorted(set(rules) - done)}"
        done |= ready


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("ops/color.py", "from ..losses import dice_loss"),
        ("ops/color.py", "from .. import config"),
        ("losses/dice.py", "import depthbox.modeling.fcos.head"),
        ("modeling/fcos/head.py", "from ..mask_head import MaskBranch"),
        ("modeling/fcos/head.py", "from .. import supervision"),
        ("modeling/mask_head/branch.py", "def f():\n    from ..supervision import x"),
        ("modeling/depthbox.py", "from ..data import BoxDepthMapper"),
        ("modeling/depthbox.py", "from ..engine.hooks import X"),
        ("modeling/fcos/head.py", "from depthbox import add_depthbox_config"),
        ("data/mapper.py", "from ..modeling import DepthBox"),
        ("data/mapper.py", "from ..engine import run"),
        ("evaluation/coco.py", "from ..engine import run"),
        ("engine/predict.py", "from ..app.page import build_page"),
    ],
)
def test_the_rules_catch(file: str, line: str) -> None:
    assert broken_rules(ROOT / PACKAGE / file, line)


@pytest.mark.parametrize("room", TORCH_ONLY)
def test_numerics_know_torch_only(room: str) -> None:
    found = {
        name.split(".")[0] for path in sources(PACKAGE) if room_of(module_of(path)) == room for name in imports(path)
    }
    assert "torch" in found
    assert found <= {"torch", PACKAGE, *sys.stdlib_module_names} | ({"triton"} if room in ("ops", "losses") else set())


def test_detectron2_stays_on_its_stable_side() -> None:
    for path in sources(PACKAGE, "tools", "scripts"):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "detectron2":
                assert "model_zoo" not in parts, f"{path}: upstream's model_zoo does not import everywhere"
                private = [part for part in parts[1:] if part.startswith("_") and not part.startswith("__")]
                assert not private, f"{path}: {name} is private to Detectron2"


def test_the_package_does_not_import_tools() -> None:
    for path in sources(PACKAGE):
        assert not {name.split(".")[0] for name in imports(path)} & {"tools", "scripts", "tests"}, path


def test_no_file_names_a_place_on_one_machine() -> None:
    absolute = re.compile(r"(?<![\w.~$}>-])/(?:work|home|Users|root|mnt)/")
    folders = (PACKAGE, "tools", "scripts", "examples", "tests", "configs", "docs")
    suffixes = (".py", ".yaml", ".md", ".sh", ".toml", ".txt")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    files += [path for path in ROOT.iterdir() if path.suffix in suffixes or path.name == "Makefile"]
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if absolute.search(line)
    ]
    assert not lines, "\n".join(lines)
