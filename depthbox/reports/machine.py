"""The machine and the versions of a training run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import torch
from detectron2.utils import comm

from .. import __version__

_PACKAGES = ("torch", "torchvision", "detectron2", "numpy", "timm")


def collect_machine_facts() -> dict[str, str]:
    """Return the versions of the main packages, the commit of a checkout, and the machine."""
    facts = {"DepthBox": __version__}
    if commit := find_commit():
        facts["commit"] = commit
    facts["Python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    facts["system"] = platform.platform()
    facts["processor"] = device_name("cpu")
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        facts["GPU"] = ", ".join(f"{device.name}, {device.total_memory / 2**30:.0f} GiB" for device in devices)
    facts["processes"] = str(comm.get_world_size())
    return facts


def device_name(device: str) -> str:
    """Return the name of a device, such as "NVIDIA H200" or "AMD EPYC 7763, 8 cores"."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    name = match[1].strip() if match else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def find_commit() -> str:
    """Return the commit of the checkout that contains the package, "" outside a checkout."""
    try:
        root = Path(__file__).resolve().parents[2]
        words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        if not (root / ".git").exists():
            return ""
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
