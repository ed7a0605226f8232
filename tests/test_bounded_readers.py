"""Files of users are opened by the bounded readers alone: no other module calls the unbounded functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Function -> modules that may call it, because they check the input before, or read files that DepthBox wrote itself.
ALLOWED: dict[str, set[str]] = {
    "Image.open": {
        "depthbox/app/actions.py",  # the header, for the limit of pixels
        "depthbox/io/images.py",
        "depthbox/io/untrusted/arrays.py",
    },
    "np.load": set(),
    "np.loadtxt": set(),
    "np.genfromtxt": set(),
    "np.memmap": set(),
    "json.load": set(),
    "json.loads": {
        "depthbox/io/untrusted/json_files.py",
        "depthbox/app/boxes.py",  # text of limited length
        "depthbox/app/guard/calls.py",  # requests of limited size and nesting
        "depthbox/engine/processes/reports.py",  # messages of the run's own processes
        "depthbox/engine/writers/json_lines.py",  # metrics.json of the run itself
        "depthbox/experiments/ablation/plan.py",  # the last lines of metrics.json
        "depthbox/io/folder_lock.py",  # the first bytes of a lock file
        "depthbox/labeling/partial_results.py",  # lines that an earlier call wrote
        "tools/coco_test_dev.py",  # results of an own evaluation
    },
    "yaml.load": {"depthbox/io/yaml_files.py"},
    "yaml.unsafe_load": set(),
    "yaml.full_load": set(),
    "pickle.load": set(),
    "pickle.loads": set(),
    "pickle.Unpickler": {"depthbox/checkpoint/formats/safe_pickle.py"},
    "torch.load": set(),
    "ElementTree.parse": set(),
    "ElementTree.fromstring": set(),
    "detection_utils.read_image": set(),
    "cv2.imread": set(),
    "eval": set(),
    "exec": set(),
}
SOURCES = sorted([*ROOT.glob("depthbox/**/*.py"), *ROOT.glob("tools/*.py")])


def find_calls(path: Path) -> set[str]:
    """Return the names of the called functions, such as "json.loads"; of methods the last two parts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            parts = ast.unparse(node.func).split(".")
            found.add(".".join(parts[-2:]))
    return found


@pytest.mark.parametrize("function", sorted(ALLOWED))
def test_unbounded_functions_are_called_by_the_bounded_readers_alone(function):
    callers = {path.relative_to(ROOT).as_posix() for path in SOURCES if function in find_calls(path)}
    callers = {name for name in callers if name.startswith(("depthbox/", "tools/"))}
    assert callers <= ALLOWED[function], f"{function} of a file of a user: use depthbox.io.untrusted instead"


def test_modules_import_no_unbounded_parser_by_its_name():
    names = {"xml.etree.ElementTree": {"Element"}, "pickle": {"Unpickler"}, "json": set(), "yaml": set()}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                assert {alias.name for alias in node.names} <= names[node.module], path


def test_pickles_of_torch_are_loaded_with_weights_only():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert options.get("weights_only") == "True", path
