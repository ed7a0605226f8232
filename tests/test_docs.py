"""The documentation: its command lines parse, what they name is there, its YAML fits, and the site builds."""

import ast
import importlib
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

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "datasets/README.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)

# Of the messages that docs/troubleshooting.md quotes, the parts without numbers and names.
MESSAGES = (
    "the masks fill ",
    "they have collapsed to filled boxes, ",
    "hardly any location is assigned to an object (",
    "the loss is not finite at iteration ",
    "The last good checkpoint is ",
    " What helps: a lower SOLVER.BASE_LR (it belongs to the batch size), a longer SOLVER.WARMUP_ITERS, "
    "SOLVER.CLIP_GRADIENTS.ENABLED True, or SOLVER.AMP.ENABLED False.",
    "images do not fit on the GPU; lower --batch-size",
    " must be a multiple of ",
    " processes x SOLVER.ACCUMULATION_STEPS = ",
    "Schedule rescaled from ",
    " objects in ",
    "the json file cannot be parsed",
    "the file ends too early, it was cut off when written or copied",
    "this is XML or HTML, not json",
    "several objects one after the other (json lines?)",
    "UTF-8 with a byte order mark",
    "these are detections (COCO results), not annotations",
    "boxes look like [x0, y0, x1, y1], COCO writes [x, y, width, height]",
    "boxes look like shares of the image (0 to 1), COCO counts pixels",
    "images have another size than the json says",
    "the json ignores the rotation in the EXIF data of the files",
    "a COCO json needs the folder of its images: give --images",
    " sets the unknown key ",
    "MODEL.DEVICE is cuda, but no GPU is usable here; add MODEL.DEVICE cpu to run on the CPU",
    "depth files are missing",
    "health/mask_fill",
)


def by_page(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@by_page(PAGES)
def test_the_commands_of_a_page_are_right(page: Path) -> None:
    wrong = mistakes(page.read_text(encoding="utf-8"))
    assert not wrong, f"{page.relative_to(ROOT)}:\n" + "\n".join(wrong)


def test_commands_are_found_in_the_pages() -> None:
    found = [
        words for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) for words in commands(*block)
    ]
    programs = {" ".join(words[:2]) for words in found}
    assert len(found) > 60
    assert {"depthbox train", "depthbox label", "make demo", "srun torchrun"} <= programs


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```\nmake dmeo\n```", "the Makefile has no dmeo"),
        ("```bash\nmake demo ARGS=--quik\n```", "unrecognized arguments: --quik"),
        ("```bash\ndepthbx train\n```", "'depthbx' is no command"),
        ("```bash\nA=1 depthbox trian --data x\n```", "did you mean train"),
        ("```sh\ndepthbox check --json x | head\n```", "required: --images"),
        ("```console\n$ depthbox train --data x SOLVER.BASE_RL 1\n```", "unknown key SOLVER.BASE_RL"),
        ("```bash\ndepthbox predict x --weights w --set MODEL.DEVICES cpu\n```", "unknown key MODEL.DEVICES"),
        ("```\ntools/train_net.py --config-file configs/coco/none.yaml\n```", "no config file"),
        ("```\ntools/train_net.py \\\n    --config-flie x\n```", "unrecognized arguments: --config-flie"),
        ("```\npython tools/none.py # comment; more\n```", "there is no tools/none.py"),
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
def test_the_yaml_of_a_page_is_a_config_or_settings(page: Path) -> None:
    for language, block in blocks(page.read_text(encoding="utf-8")):
        if language == "yaml" and not (content := yaml.safe_load(block)).keys() & {"data"}:
            cfg = get_cfg()
            add_depthbox_config(cfg)
            cfg.merge_from_other_cfg(CfgNode.load_cfg(block))
            assert set(content) <= set(cfg)
        elif language == "yaml":
            settings = importlib.import_module("depthbox.cli.train")._SETTINGS
            assert set(content) <= set(settings)


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
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    # Not --quiet: it hides warnings from --strict as well.
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    built = {path.stem for path in (tmp_path / "site").rglob("*.html")}
    assert {path.stem for path in (ROOT / "docs").rglob("*.md")} <= built
    for path in (tmp_path / "site").rglob("*.html"):  # lists and tables that lack the empty line before them
        text = re.sub(r"<pre>.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.findall(r"\n *(?:- |\| ).*", text), path.stem


def test_the_functions_of_the_equations_are_there() -> None:
    """`path: Name` in docs/method.md, Name a function or class of that file."""
    named = re.findall(r"`([\w/]+\.py): (\w+)`", (ROOT / "docs/method.md").read_text())
    assert len(named) >= 10
    for path, name in named:
        tree = ast.parse((ROOT / "depthbox" / path).read_text())
        assert name in {getattr(node, "name", "") for node in tree.body}, f"{path} has no {name}"
