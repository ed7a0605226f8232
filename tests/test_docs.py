"""Documentation: commands parse, named files and functions exist, YAML is valid, links work, the site builds."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from detectron2.config import CfgNode, get_cfg
from docs_commands import ROOT, blocks, commands, mistakes

from depthbox import add_depthbox_config
from depthbox.cli.main import COMMANDS
from depthbox.cli.settings import SETTINGS

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "datasets/README.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)

# Messages that docs/troubleshooting.md quotes, without numbers and names.
MESSAGES = (
    "the masks fill ",
    "they have collapsed to filled boxes, ",
    "hardly any location is assigned to an object (",
    "the loss is not finite at iteration ",
    "The last good checkpoint is ",
    " What helps: a lower SOLVER.BASE_LR (it depends on the batch size), a longer SOLVER.WARMUP_ITERS, "
    "SOLVER.CLIP_GRADIENTS.ENABLED True, or SOLVER.AMP.ENABLED False.",
    "images do not fit on the GPU; lower --batch-size",
    " must be a multiple of ",
    " processes x SOLVER.ACCUMULATION_STEPS = ",
    "Schedule rescaled from ",
    " objects in ",
    "the file ends too early: it was truncated when written or copied",
    "(this is XML or HTML)",
    "(several objects one after the other, such as JSON Lines, are not one JSON file)",
    "a list of COCO results",
    "boxes that look like [x0, y0, x1, y1] instead of [x, y, width, height]",
    "boxes that look like fractions of the image (0 to 1) instead of pixels",
    "images whose height and width differ from those of their files",
    "images whose height and width are exchanged",
    "no object is left to learn from",
    " sets the unknown key ",
    "MODEL.DEVICE is cuda, but no GPU is available; add MODEL.DEVICE cpu to run on the CPU",
    "depth files are missing",
    "health/mask_fill",
)


def by_page(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@by_page(PAGES)
def test_the_commands_of_a_page_parse(page: Path) -> None:
    wrong = mistakes(page.read_text(encoding="utf-8"))
    assert not wrong, f"{page.relative_to(ROOT)}:\n" + "\n".join(wrong)


def test_commands_are_found_in_the_pages() -> None:
    found = [
        words for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) for words in commands(*block)
    ]
    programs = {" ".join(words[:2]) for words in found}
    assert len(found) > 50
    assert {"depthbox train", "depthbox label", "make demo", "srun torchrun"} <= programs


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```\nmake dmeo\n```", "the Makefile has no dmeo"),
        ("```bash\nmake demo ARGS=--quik\n```", "unrecognized arguments: --quik"),
        ("```bash\ndepthbx train\n```", "'depthbx' is not a command"),
        ("```bash\nA=1 depthbox trian --data x\n```", "did you mean train"),
        ("```sh\ndepthbox predict x | head\n```", "required: --weights"),
        ("```console\n$ depthbox train --data x SOLVER.BASE_RL 1\n```", "unknown key SOLVER.BASE_RL"),
        ("```bash\ndepthbox predict x --weights w --set MODEL.DEVICES cpu\n```", "unknown key MODEL.DEVICES"),
        ("```\ntools/train_net.py --config-file configs/coco/none.yaml\n```", r"none\.yaml does not exist"),
        ("```\ntools/train_net.py \\\n    --config-flie x\n```", "unrecognized arguments: --config-flie"),
        ("```\npython tools/none.py # comment; more\n```", "tools/none.py does not exist"),
        ("```\ntorchrun --nproc-per-node 2 tools/train_net.py --evaluate\n```", "unrecognized arguments: --evaluate"),
        ("```bash\nsrun torchrun --nproc-per-nod 2 --m 3 tools/train_net.py\n```", "does not parse"),
        ("- in a list:\n\n    ```bash\n    make dmeo\n    ```", "no dmeo"),
        ("```\npip install 'depthbox[nothing]'\n```", "no extra"),
        ("say `depthbox train --dat x`.", "no option"),
        ("say `make lnit` or", "no lnit"),
        ("say `tools/demo.py --quik`", "no option"),
    ],
)
def test_mistakes_are_found(page: str, message: str) -> None:
    found = mistakes(page)
    assert len(found) == 1 and re.search(message, found[0]), found


@by_page(PAGES)
def test_the_yaml_of_a_page_is_a_config_or_a_settings_file(page: Path) -> None:
    for language, block in blocks(page.read_text(encoding="utf-8")):
        if language == "yaml" and not (content := yaml.safe_load(block)).keys() & {"data"}:
            cfg = get_cfg()
            add_depthbox_config(cfg)
            cfg.merge_from_other_cfg(CfgNode.load_cfg(block))
            assert set(content) <= set(cfg)
        elif language == "yaml":
            assert set(content) <= set(SETTINGS)


def test_every_command_is_documented() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    there = [name for name in COMMANDS if (ROOT / "depthbox" / "cli" / f"{name}.py").is_file()]
    assert len(there) >= 9
    assert [name for name in there if f"depthbox {name}" not in text] == []


def test_the_messages_of_the_troubleshooting_are_those_of_the_code() -> None:
    page = " ".join((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split())
    code = "\n".join(text for path in (ROOT / "depthbox").rglob("*.py") for text in strings(path))
    missing = [(part, part in page, part in code) for part in MESSAGES if part not in page or part not in code]
    assert not missing, f"(message, in the page, in the code): {missing}"


def strings(path: Path) -> list[str]:
    """Return all string literals of a source file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    # Without --quiet, which hides warnings from --strict as well.
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    built = {path.stem for path in (tmp_path / "site").rglob("*.html")}
    assert {path.stem for path in (ROOT / "docs").rglob("*.md")} <= built
    for path in (tmp_path / "site").rglob("*.html"):  # lists and tables without an empty line before them
        text = re.sub(r"<pre>.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.findall(r"\n *(?:- |\| ).*", text), path.stem


def test_the_functions_of_the_equations_exist() -> None:
    """Each `path: Name` in docs/method.md names a function or class of that file."""
    named = re.findall(r"`([\w/]+\.py): (\w+)`", (ROOT / "docs/method.md").read_text())
    assert len(named) >= 15
    for path, name in named:
        tree = ast.parse((ROOT / "depthbox" / path).read_text())
        assert name in {getattr(node, "name", "") for node in tree.body}, f"{path} has no {name}"


@by_page([ROOT / "docs/architecture.md", ROOT / "docs/method.md", ROOT / "CONTRIBUTING.md"])
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    """Names of files to be added contain NAME."""
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)\b", page.read_text(encoding="utf-8")))
    named = {name for name in named if "NAME" not in name}
    missing = [name for name in sorted(named) if not any((root / name).is_file() for root in (ROOT, ROOT / "depthbox"))]
    assert named and not missing, f"{page.relative_to(ROOT)} names files that do not exist: {missing}"


def test_every_package_is_in_the_architecture() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "depthbox").glob("*/__init__.py")]
    assert len(packages) > 15
    assert [name for name in packages if f"| `depthbox/{name}/" not in page] == []


@by_page([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "datasets/README.md"])
def test_the_links_of_a_page_outside_of_the_site_lead_to_files(page: Path) -> None:
    """Links of the pages of the site, with their anchors, are checked when the site is built."""
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing, f"{page.relative_to(ROOT)} links to files that do not exist: {missing}"


def test_the_images_of_the_site_exist() -> None:
    """Images in HTML tags, which the build of the site does not check."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for source in re.findall(r'<img src="([^"]+)"', page.read_text(encoding="utf-8")):
            assert (page.parent / source).is_file(), f"{page.relative_to(ROOT)} shows {source}, which does not exist"


def test_every_tool_is_documented() -> None:
    text = (ROOT / "docs/tools.md").read_text(encoding="utf-8")
    tools = sorted(path.name for path in (ROOT / "tools").glob("*.py"))
    assert len(tools) > 10
    assert [name for name in tools if f"`tools/{name}`" not in text] == []
    assert [name for name in COMMANDS if f"| `depthbox {name}` |" not in text] == []
