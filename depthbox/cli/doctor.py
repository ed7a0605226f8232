"""``depthbox doctor``: is all that DepthBox needs here, and does it work?"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warn", "fail"]
SUMMARY = "Look at this machine and installation, and run a small self-test."
EXAMPLES = """
examples:
  everything:         %(prog)s
  without the test:   %(prog)s --quick
  where runs will go: %(prog)s --output /data/runs   (its free disk)

Each line is ok, warn (it works, with a limit) or FAIL, with a remedy below it.
The self-test builds a tiny network, trains it for one step and lets it
predict once, on each kind of device that there is. Nothing is downloaded.
Exit status: 0 no failure, 1 something does not work.
"""
_DISK, _SHARED, _MEMORY = 10.0, 1.0, 8.0  # gigabytes below which there is a warning
_OLDEST_PYTHON = (3, 10)
_SIDE = 64


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: its name, what was found, and what to do about it."""

    status: Status
    name: str
    found: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--quick", action="store_true", help="leave out the self-test")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="folder whose disk is looked at")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and print a line each; returns the exit status."""
    failed = warned = 0
    for line in examine(arguments.output, quick=arguments.quick):
        print("\n".join(format_line(line)), flush=True)
        failed += line.status == "fail"
        warned += line.status == "warn"
    print()
    if failed:
        print(f"{failed} failed, {warned} with a limit: follow the remedies above, from the top.")
        return 1
    print(f"DepthBox works here ({warned} with a limit).")
    return 0


def examine(output: Path, *, quick: bool = False) -> Iterator[Line]:
    """All checks, in an order in which an earlier one may explain a later one.

    Args:
        output: folder whose disk is looked at.
        quick: leave out the self-test.
    """
    steps: list[tuple[str, Callable[[], Iterator[Line]]]] = [
        ("python", check_python),
        ("torch", check_torch),
        ("detectron2", check_detectron2),
        ("extras", check_extras),
        ("machine", lambda: check_machine(output)),
    ]
    if not quick:
        steps.append(("self-test", check_network))
    for name, step in steps:
        try:
            yield from step()
        except Exception as error:  # a broken installation fails in ways that nobody foresees
            text = " ".join(f"{type(error).__name__}: {error}".split())
            yield Line(
                "fail", name, text[:300], f"See the whole error: depthbox --debug doctor; then reinstall {name}."
            )


def format_line(line: Line) -> list[str]:
    """A check in at most 79 columns."""
    status = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}[line.status]
    lines = textwrap.wrap(line.found, 79, initial_indent=f"{status}  {line.name:12} ", subsequent_indent=" " * 19)
    if line.remedy:
        lines += textwrap.wrap(line.remedy, 79, initial_indent=" " * 19 + "> ", subsequent_indent=" " * 21)
    return lines


def check_python() -> Iterator[Line]:
    """Version of Python and system."""
    version = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        yield Line("fail", "python", version, "Install Python 3.10 or newer.")
    else:
        yield Line("ok", "python", f"{version} on {platform.system()} {platform.machine()}")
    yield Line("ok", "depthbox", importlib.metadata.version("depthbox"))


def check_torch() -> Iterator[Line]:
    """Versions of torch and torchvision, GPUs and their memory."""
    import torch
    import torchvision

    yield Line("ok", "torch", f"{torch.__version__}, torchvision {torchvision.__version__}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            memory = facts.total_memory / 2**30
            found = f"{index}: {facts.name}, {memory:.0f} GB, CUDA {torch.version.cuda}"
            small = memory < _MEMORY
            yield Line("warn" if small else "ok", "gpu", found, "Train with --batch-size 1 or 2." if small else "")
        return
    built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built for the CPU"
    remedy = "Fine for small data with --model efficientnet_lite0. If there is a GPU: is its driver new enough?"
    yield Line("warn", "gpu", f"none is usable ({built})", f"{remedy} (nvidia-smi tells)")


def check_detectron2() -> Iterator[Line]:
    """Version of Detectron2, and that its registry knows our network."""
    try:
        import detectron2
    except ImportError:
        yield Line("fail", "detectron2", "not installed", "Run: python scripts/install_detectron2.py")
        return
    from detectron2.modeling import META_ARCH_REGISTRY

    from .. import modeling  # noqa: F401  registers the network

    known = "DepthBox" in META_ARCH_REGISTRY
    found = f"{detectron2.__version__}, {'knows' if known else 'does not know'} the network DepthBox"
    yield Line("ok" if known else "fail", "detectron2", found, "" if known else "Reinstall DepthBox: pip install -e .")


def check_extras() -> Iterator[Line]:
    """Which of the optional dependencies are there, from DepthBox's own metadata."""
    there: list[str] = []
    missing: list[str] = []
    for extra, packages in sorted(extras().items()):
        absent = [package for package in packages if not _is_installed(package)]
        (missing if absent else there).append(extra if not absent else f"{extra} ({', '.join(absent)})")
    yield Line("ok", "extras", ", ".join(there) or "none is installed")
    if missing:
        yield Line("ok", "", f"not installed: {', '.join(missing)}", "If needed: pip install 'depthbox[NAME]'")


def extras(requires: list[str] | None = None) -> dict[str, list[str]]:
    """Packages of each extra but "dev"; ``requires`` None means DepthBox's own requirements."""
    found: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("depthbox") or [] if requires is None else requires:
        match = re.match(r"""([\w.-]+)[^;]*;.*extra\s*==\s*['"]([\w-]+)['"]""", line)
        if match and match[2] != "dev":
            found.setdefault(match[2], []).append(match[1])
    return found


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def check_machine(output: Path) -> Iterator[Line]:
    """Threads, memory, shared memory and free disk."""
    import torch

    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    few = threads < cores / 2
    remedy = "Unset OMP_NUM_THREADS to use all of them on the CPU." if few else ""
    yield Line("warn" if few else "ok", "threads", f"{threads} of {cores} cores", remedy)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    low = memory < _MEMORY
    yield Line("warn" if low else "ok", "memory", f"{memory:.0f} GB", "Use small batches." if low else "")
    if Path("/dev/shm").is_dir():
        shared = shutil.disk_usage("/dev/shm").free / 2**30
        low = shared < _SHARED
        remedy = "In Docker: --shm-size 8g or --ipc host; or train with DATALOADER.NUM_WORKERS 0." if low else ""
        yield Line("warn" if low else "ok", "shared", f"{shared:.1f} GB for the loader's processes", remedy)
    folder = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    low = free < _DISK
    remedy = "A checkpoint of R_50 takes 0.4 GB; lower SOLVER.KEEP_CHECKPOINTS or write elsewhere." if low else ""
    yield Line("warn" if low else "ok", "disk", f"{free:.0f} GB free in {folder}", remedy)
    if not os.access(folder, os.W_OK):
        yield Line("fail", "disk", f"{folder} is not writable", "Choose another folder: --output DIR.")


def check_network() -> Iterator[Line]:
    """Train a tiny network for one step and predict once, on the CPU and on a GPU where there is one."""
    import torch

    for device in ["cpu", "cuda"][: 1 + torch.cuda.is_available()]:
        start = time.monotonic()
        loss = self_test(device)
        finite = loss == loss and abs(loss) != float("inf")
        found = f"a step and a prediction on the {device}: {time.monotonic() - start:.1f} s, loss {loss:.2f}"
        remedy = "" if finite else "The loss is not finite: reinstall torch for this machine."
        yield Line("ok" if finite else "fail", "self-test", found, remedy)


def self_test(device: str) -> float:
    """Build the tiny network, train it on one made-up image and predict; returns the loss.

    Raises:
        RuntimeError: a weight got no gradient, or the prediction is not one.
    """
    import torch
    from detectron2.structures import Boxes, Instances
    from detectron2.utils.events import EventStorage

    from .. import add_depthbox_config
    from ..config import load_config
    from ..custom_data.models import choose_model
    from ..custom_data.recipe import format_overrides
    from ..modeling.build import build_network

    keys = {**choose_model("tiny", device).keys, "MODEL.DEVICE": device, "MODEL.FCOS.NUM_CLASSES": 2}
    model = build_network(load_config(add_depthbox_config, overrides=format_overrides(keys))).train()
    instances = Instances((_SIDE, _SIDE))
    instances.gt_boxes = Boxes(torch.tensor([[8.0, 8.0, 40.0, 48.0]]))
    instances.gt_classes = torch.tensor([1])
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, _SIDE, _SIDE), dtype=torch.uint8, generator=generator)
    sample = {"image": image, "instances": instances, "height": _SIDE, "width": _SIDE, "file_name": "self-test"}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with EventStorage():
        loss = torch.stack(list(model([sample]).values())).sum()
        loss.backward()
    if any(parameter.grad is None for parameter in model.parameters() if parameter.requires_grad):
        raise RuntimeError("a weight of the network got no gradient")
    optimizer.step()
    with torch.no_grad():
        found = model.eval()([sample])[0]["instances"]
    if not found.has("pred_masks"):
        raise RuntimeError("the network predicts no masks")
    return loss.item()
