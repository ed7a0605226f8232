"""Structure of the package: import directions, cycles and folder sizes, read from the sources."""

import ast
import collections
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "depthbox"

# Package -> the packages it may import, besides itself. A new package needs a line here and in docs/architecture.md.
_NUMERICS = {"structures", "ops", "losses"}
_HEADS = {"modeling.fcos", "modeling.mask_head", "modeling.supervision", "modeling.points"}
_NETWORK = _HEADS | {"modeling.distributed", "modeling.backbone"}
_MODEL = _NUMERICS | _NETWORK | {"modeling.training_stats", "modeling.meta_arch", "modeling.build", "modeling"}
_FILES = {"errors", "io", "checkpoint"}
_DATA = _FILES | {"ops", "data"}
_TEACHER = _MODEL | {"distillation"}
_INFERENCE = _TEACHER | _DATA | {"config", "evaluation", "visualization", "inference"}
_TRAINING = _INFERENCE | {"evaluation", "reports", "engine", "labeling", ""}
ALLOWED: dict[str, set[str]] = {
    "structures": set(),
    "errors": set(),
    "io": {"errors"},
    "ops": {"ops.triton"},
    "ops.triton": {"ops"},
    "losses": {"ops", "ops.triton"},
    "modeling.distributed": {"ops"},
    "modeling.backbone": {"structures", "modeling.distributed", "checkpoint"},
    "modeling.fcos": _NUMERICS | {"modeling.distributed"},
    "modeling.mask_head": _NUMERICS | {"ops.triton", "modeling.distributed"},
    "modeling.points": _NUMERICS | {"modeling.distributed"},
    "modeling.supervision": _NUMERICS | {"modeling.distributed", "modeling.points"},
    "modeling.training_stats": _NUMERICS | {"modeling.distributed"},
    "modeling.meta_arch": _MODEL - {"modeling", "modeling.build"},
    "modeling.build": {"config"},
    "modeling": _MODEL,  # its __init__ alone
    "config": {"", "errors", "io"},  # config/loading.py may ask for add_depthbox_config, which registers the networks
    "checkpoint": {"errors", "io"},
    "distillation": _MODEL - {"modeling"},
    "data": {"errors", "io", "ops"},
    "evaluation": _DATA,
    "visualization": _NUMERICS | _DATA,
    "reports": _NUMERICS | _DATA | {"evaluation", "visualization", ""},
    "inference": _INFERENCE - {"inference"},
    "labeling": _INFERENCE,
    "export": _INFERENCE | {""},
    "engine": _TEACHER | _DATA | {"config", "evaluation", "visualization", "reports"},
    "custom_data": _TRAINING,
    "experiments": _TRAINING,
    "benchmark": _TRAINING,
    "app": _TRAINING,
    "cli": _TRAINING | {"custom_data", "experiments", "export", "app"},
    "api": _TRAINING | {"cli"},
    "": _MODEL | {"config", "errors", "api"},  # depthbox/__init__.py alone
}
# The old path of MaskCriterion stays importable, by a lazy attribute.
EXCEPTIONS = {("depthbox/modeling/mask_head/__init__.py", "modeling.supervision")}
# Packages whose __init__ names what lies inside, lazily or for registration: no edge of the graph of packages.
NAMES_ONLY = {"modeling", ""}
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


def package_of(name: str) -> str:
    """Return the package of a dotted name; "" for what ``depthbox/__init__.py`` itself defines."""
    parts = name.split(".")[1:]
    return next((package for package in (".".join(parts[:2]), *parts[:1]) if package in ALLOWED), "")


def broken_rules(path: Path, text: str | None = None) -> list[str]:
    here, file = package_of(module_of(path)), path.relative_to(ROOT).as_posix()
    targets = {n: package_of(n) for n in imports(path, text) if n.split(".")[0] == PACKAGE}
    return [
        f"{file} ({here or 'the package'}) imports {name}"
        for name, there in targets.items()
        if there != here and there not in ALLOWED[here] and (file, there) not in EXCEPTIONS
    ]


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, type-checking and late imports included."""
    modules = {module_of(path): path for path in sources(PACKAGE)}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name if name in modules else name.rpartition(".")[0] for name in imports(path)}
        graph[module] = {name for name in names if name in modules and name != module}
    return graph


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes that are left when nodes without open dependencies are removed repeatedly."""
    open_nodes = dict(graph)
    while ready := [node for node, targets in open_nodes.items() if not targets & set(open_nodes)]:
        for node in ready:
            del open_nodes[node]
    return sorted(open_nodes)


def test_every_file_belongs_to_a_package_with_a_rule() -> None:
    files = sources(PACKAGE)
    homeless = [
        str(path.relative_to(ROOT))
        for path in files
        if package_of(module_of(path)) in NAMES_ONLY and path.name != "__init__.py"
    ]
    assert not homeless, f"no rule for {homeless}: add one to ALLOWED and to docs/architecture.md"
    assert len(files) > 150


def test_imports_point_one_way() -> None:
    broken = [line for path in sources(PACKAGE) for line in broken_rules(path)]
    assert not broken, "\n".join(broken)


def test_rules_contain_no_cycle() -> None:
    late = {"config": NAMES_ONLY, "ops": {"ops.triton"}}
    rules = {name: allowed - NAMES_ONLY - late.get(name, set()) - {name} for name, allowed in ALLOWED.items()}
    assert not find_cycle(rules)


def test_modules_contain_no_import_cycle() -> None:
    graph = import_graph()
    lazy = [name for name in ("depthbox", "depthbox.modeling.mask_head") if name in graph]
    for module in lazy:  # their late imports name modules that import them
        graph[module] = set()
    cycle = find_cycle(graph)
    # Removing nodes without dependencies leaves modules behind a cycle as well: keep those that are in one.
    assert not cycle, f"modules in or behind an import cycle: {cycle}"


def test_no_folder_is_crowded() -> None:
    for folder in sorted({path.parent for path in sources(PACKAGE)}):
        names = [path.stem for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(names) <= 13, f"{folder.relative_to(ROOT)} has {len(names)} files: split it"
        prefixes = collections.Counter(name.split("_")[0] for name in names)
        crowded = [prefix for prefix, count in prefixes.items() if count >= 4]
        assert not crowded, f"{folder.relative_to(ROOT)}: four files with the prefix {crowded}: make a folder"


def test_tests_mirror_the_package() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in sources("tests") if path.name.startswith("test_")}
    others = {Path(name) for name in (".", "parity", "reliability", "system", "tools")}
    foreign = [str(folder) for folder in folders - others if not (ROOT / PACKAGE / folder).is_dir()]
    assert not foreign, f"tests without a package of that name: {foreign}"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("ops/color.py", "from ..losses import dice_loss"),
        ("ops/color.py", "from .. import config"),
        ("ops/triton/box.py", "from ...structures import Queries"),
        ("losses/dice.py", "import depthbox.modeling.fcos.head"),
        ("modeling/fcos/head.py", "from ..mask_head import MaskBranch"),
        ("modeling/fcos/head.py", "from .. import supervision"),
        ("modeling/points/masks.py", "from ..supervision import MaskCriterion"),
        ("modeling/mask_head/branch.py", "def f():\n    from ..supervision import x"),
        ("modeling/meta_arch/depthbox.py", "from ...data import BoxDepthMapper"),
        ("modeling/meta_arch/depthbox.py", "from ...engine.hooks import X"),
        ("modeling/fcos/head.py", "from depthbox import add_depthbox_config"),
        ("data/mapper.py", "from ..modeling import DepthBox"),
        ("data/mapper.py", "from ..engine import run"),
        ("evaluation/coco.py", "from ..engine import run"),
        ("inference/pipeline.py", "from ..engine import run"),
        ("labeling/job.py", "from ..engine.trainer import Trainer"),
        ("export/write.py", "from ..engine import Trainer"),
        ("io/files.py", "from ..data import read_depth"),
        ("inference/predictor.py", "from ..app.page import build_page"),
    ],
)
def test_rules_catch(file: str, line: str) -> None:
    assert broken_rules(ROOT / PACKAGE / file, line)


@pytest.mark.parametrize("package", TORCH_ONLY)
def test_numerics_import_torch_only(package: str) -> None:
    paths = [p for p in sources(PACKAGE) if package_of(module_of(p)) in (package, f"{package}.triton")]
    found = {name.split(".")[0] for path in paths for name in imports(path)}
    assert "torch" in found
    assert found <= {"torch", PACKAGE, *sys.stdlib_module_names} | (
        {"triton"} if package in ("ops", "losses") else set()
    )


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
