"""``depthbox doctor``: examination of the machine and the installation, and a self-test."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import re
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warn", "fail"]
SUMMARY = "Examine this machine and installation, and run a small self-test."
EXAMPLES = """
examples:
  everything:         %(prog)s
  without the test:   %(prog)s --quick
  another disk:       %(prog)s --output /data/runs   (folder of the runs)

Each line is ok, warn (it works, with a limit) or FAIL, with a remedy below it.
The self-test builds a tiny network, trains it for one step and predicts once,
on each available kind of device. Nothing is downloaded.
Exit status: 0 no failure, 1 something does not work.
"""
_DISK, _SHARED, _MEMORY = 10.0, 1.0, 8.0  # gigabytes; less gives a warning
_OLDEST_PYTHON = (3, 10)
_SIDE = 64


@dataclass(frozen=True)
class DoctorLine:
    """One examined item: its name, the finding and the remedy."""

    status: Status
    name: str
    found: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--quick", action="store_true", help="leave out the self-test")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="folder whose disk is examined")


def run(arguments: argparse.Namespace) -> int:
    """Examine all items and print one line each; return the exit status."""
    counts = Counter[str]()
    for line in examine(arguments.output, quick=arguments.quick):
        print("\n".join(format_line(line)), flush=True)
        counts[line.status] += 1
    failed, warned = counts["fail"], counts["warn"]
    if failed:
        print(f"\n{failed} failed, {warned} with a limit: follow the remedies above, from the top.")
        return 1
    print(f"\nDepthBox works here ({warned} with a limit).")
    return 0


def examine(output: Path, *, quick: bool = False) -> Iterator[DoctorLine]:
    """Run all checks, in an order in which an earlier finding may explain a later one.

    Args:
        output: folder whose disk is examined.
        quick: leave out the self-test.
    """
    steps: list[tuple[str, Callable[[], Iterator[DoctorLine]]]] = [
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
        except Exception as error:  # a damaged installation raises nearly any exception
            text = " ".join(f"{type(error).__name__}: {error}".split())
            yield DoctorLine(
                "fail", name, text[:300], f"See the traceback: depthbox --debug doctor; then reinstall {name}."
            )


def format_line(line: DoctorLine) -> list[str]:
    """Format a line in at most 79 columns."""
    status = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}[line.status]
    lines = textwrap.wrap(line.found, 79, initial_indent=f"{status}  {line.name:12} ", subsequent_indent=" " * 19)
    if line.remedy:
        lines += textwrap.wrap(line.remedy, 79, initial_indent=" " * 19 + "> ", subsequent_indent=" " * 21)
    return lines


def check_python() -> Iterator[DoctorLine]:
    """Check the version of Python and name the system."""
    version = platform.python_version()
    old = sys.version_info < _OLDEST_PYTHON
    found = f"{version} on {platform.system()} {platform.machine()}"
    yield DoctorLine("fail" if old else "ok", "python", found, "Install Python 3.10 or newer." if old else "")
    yield DoctorLine("ok", "depthbox", importlib.metadata.version("depthbox"))


def check_torch() -> Iterator[DoctorLine]:
    """Check torch and torchvision, GPUs and their memory."""
    import torch
    import torchvision

    yield DoctorLine("ok", "torch", f"{torch.__version__}, torchvision {torchvision.__version__}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            memory = facts.total_memory / 2**30
            found = f"{index}: {facts.name}, {memory:.0f} GB, CUDA {torch.version.cuda}"
            small = memory < _MEMORY
            yield DoctorLine(
                "warn" if small else "ok", "gpu", found, "Train with --batch-size 1 or 2." if small else ""
            )
        return
    built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built for the CPU"
    remedy = "Small data can be trained with --model efficientnet_lite0. If there is a GPU, update its driver"
    yield DoctorLine("warn", "gpu", f"none is usable ({built})", f"{remedy} (see nvidia-smi).")


def check_detectron2() -> Iterator[DoctorLine]:
    """Check the version of Detectron2 and that the network is in its registry."""
    try:
        import detectron2
    except ImportError:
        yield DoctorLine("fail", "detectron2", "not installed", "Run: python scripts/install_detectron2.py")
        return
    from detectron2.modeling import META_ARCH_REGISTRY

    from .. import modeling  # noqa: F401  registers the network

    known = "DepthBox" in META_ARCH_REGISTRY
    found = f"{detectron2.__version__}, the network DepthBox is {'registered' if known else 'not registered'}"
    yield DoctorLine(
        "ok" if known else "fail", "detectron2", found, "" if known else "Reinstall DepthBox: pip install -e ."
    )


def check_extras() -> Iterator[DoctorLine]:
    """Check the optional dependencies, which are listed in the metadata of DepthBox."""
    installed: list[str] = []
    missing: list[str] = []
    for extra, packages in sorted(list_extras().items()):
        absent = [package for package in packages if not _is_installed(package)]
        (missing if absent else installed).append(extra if not absent else f"{extra} ({', '.join(absent)})")
    yield DoctorLine("ok", "extras", ", ".join(installed) or "none is installed")
    if missing:
        yield DoctorLine("ok", "", f"not installed: {', '.join(missing)}", "If needed: pip install 'depthbox[NAME]'")


def list_extras(requires: list[str] | None = None) -> dict[str, list[str]]:
    """Return the packages of each extra but "dev"; ``requires`` None = the requirements of DepthBox."""
    found: dict[str, list[str]] = {}
    for line in (importlib.metadata.requires("depthbox") or []) if requires is None else requires:
        match = re.match(r"""([\w.-]+)[^;]*;.*extra\s*==\s*['"]([\w-]+)['"]""", line)
        if match and match[2] != "dev":
            found.setdefault(match[2], []).append(match[1])
    return found


def _is_installed(package: str) -> bool:
    return bool(list(importlib.metadata.distributions(name=package)))


def check_machine(output: Path) -> Iterator[DoctorLine]:
    """Check threads, memory, shared memory and free disk."""
    import torch

    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    few = threads < cores / 2
    yield _limit(few, "threads", f"{threads} of {cores} cores", "Unset OMP_NUM_THREADS to use all cores.")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield _limit(memory < _MEMORY, "memory", f"{memory:.0f} GB", "Use small batches.")
    if Path("/dev/shm").is_dir():
        shared = shutil.disk_usage("/dev/shm").free / 2**30
        remedy = "In Docker: --shm-size 8g or --ipc host; or train with DATALOADER.NUM_WORKERS 0."
        yield _limit(shared < _SHARED, "shared", f"{shared:.1f} GB for the processes of the loader", remedy)
    folder = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    remedy = "A checkpoint of R_50 takes 0.4 GB; lower SOLVER.KEEP_CHECKPOINTS or write elsewhere."
    yield _limit(free < _DISK, "disk", f"{free:.0f} GB free in {folder}", remedy)
    if not os.access(folder, os.W_OK):
        yield DoctorLine("fail", "disk", f"{folder} is not writable", "Choose another folder: --output DIR.")


def _limit(reached: bool, name: str, found: str, remedy: str) -> DoctorLine:
    return DoctorLine("warn", name, found, remedy) if reached else DoctorLine("ok", name, found)


def check_network() -> Iterator[DoctorLine]:
    """Train a tiny network for one step and predict once, on the CPU and on a GPU if available."""
    import torch

    for device in ["cpu", "cuda"][: 1 + torch.cuda.is_available()]:
        start = time.monotonic()
        loss = run_self_test(device)
        finite = math.isfinite(loss)
        found = f"a step and a prediction on the {device}: {time.monotonic() - start:.1f} s, loss {loss:.2f}"
        remedy = "" if finite else "The loss is not finite: reinstall torch for this machine."
        yield DoctorLine("ok" if finite else "fail", "self-test", found, remedy)


def run_self_test(device: str) -> float:
    """Build the tiny network, train it on one random image and predict; return the loss.

    Raises:
        RuntimeError: a weight got no gradient, or the prediction has no masks.
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
    boxes, classes = Boxes(torch.tensor([[8.0, 8.0, 40.0, 48.0]])), torch.tensor([1])
    instances = Instances((_SIDE, _SIDE), gt_boxes=boxes, gt_classes=classes)
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
        raise RuntimeError("the prediction of the network has no masks")
    return loss.item()
