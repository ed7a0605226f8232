#!/usr/bin/env python3
"""Install a Detectron2 for DepthBox without a compiler.

Detectron2 is not available on the package index under its own name. An installed Detectron2 (0.5 or newer, compiled or
not) that works in this interpreter is kept. Otherwise the source distribution `detectron2-cdo` 0.5 (the unchanged
Python files of Detectron2's release 0.5, without its C++ sources) is downloaded with a pinned hash, converted to a
pure-Python wheel by a short list of changes, and installed. DepthBox does not use the compiled operations.
"""

import argparse
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from detectron2_wheel import (
    LEFT_OUT,
    RULES,
    SDIST_SHA256,
    WHEEL_VERSION,
    WheelError,
    build_wheel,
    verify_hash,
)

SDIST_NAME, SDIST_VERSION = "detectron2-cdo", "0.5"

OWN_DETECTRON2 = (
    "install Detectron2 yourself, for example\n"
    "  pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"
)

# The part of Detectron2 that DepthBox uses, tested in a fresh interpreter.
SELF_CHECK = """
import numpy as np, torch
import detectron2
from detectron2 import checkpoint, config, data, engine, evaluation, layers, modeling, solver, structures
from detectron2.data import transforms as T
from detectron2.utils import comm, events, logger, registry
version = tuple(int(part) for part in detectron2.__version__.split("+")[0].split(".")[:2])
assert version >= (0, 5), f"version {detectron2.__version__} is older than 0.5"
config.get_cfg().clone()
image = np.zeros((8, 6, 3), dtype=np.uint8)
T.AugmentationList([T.ResizeShortestEdge(4, 8), T.RandomFlip()])(T.AugInput(image))
square = structures.PolygonMasks([[np.array([0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0])]])
assert structures.BitMasks.from_polygon_masks(square, 6, 6).get_bounding_boxes().tensor.shape == (1, 4)
print("detectron2", detectron2.__version__, detectron2.__file__)
"""


class InstallError(Exception):
    """Failed installation; the message has the cause and the remedy."""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run this Python in an empty folder, so that a `detectron2` folder of the working folder is not imported."""
    with tempfile.TemporaryDirectory() as empty:
        return subprocess.run([sys.executable, *command], cwd=empty, capture_output=True, text=True)


def download_sdist(folder: Path) -> Path:
    """Download the pinned sdist with pip, which checks the hash before it runs code of the sdist."""
    for needed in ("torch", "setuptools"):
        if find_spec(needed) is None:
            raise InstallError(f"pip needs {needed} to read the sdist, but it is not installed: pip install {needed}")
    pins = folder / "pins.txt"
    pins.write_text(f"{SDIST_NAME}=={SDIST_VERSION} --hash=sha256:{SDIST_SHA256}\n")
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--disable-pip-version-check"]
    done = _run("-m", "pip", "download", *options, "--dest", str(folder), "-r", str(pins))
    found = list(folder.glob("*.tar.gz"))
    if done.returncode or len(found) != 1:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise InstallError(
            f"pip {metadata.version('pip')} could not download {SDIST_NAME}=={SDIST_VERSION}:\n{tail}\n"
            "- no network: download the .tar.gz elsewhere and pass it with --sdist FILE\n"
            "- pip 26.3 and newer reject its metadata: pip install 'pip<26.3' and run this script again\n"
            f"- or {OWN_DETECTRON2}"
        )
    return found[0]


def installed_state() -> tuple[str, str]:
    """Return ("usable" | "outdated" | "broken" | "missing", one line about it) for this interpreter."""
    done = _run("-c", SELF_CHECK)
    if done.returncode == 0:
        line = done.stdout.strip().splitlines()[-1]
        try:
            version = metadata.version("detectron2")
        except metadata.PackageNotFoundError:
            version = ""
        from_older_script = "+depthbox." in version and version != WHEEL_VERSION
        return ("outdated" if from_older_script else "usable"), line
    error = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if error.startswith("ModuleNotFoundError: No module named 'detectron2'"):
        return "missing", "Detectron2 is not installed"
    return "broken", error


def install(sdist: Path | None, wheel_dir: Path | None) -> None:
    """Build the wheel (in `wheel_dir` if given, else in a temporary folder), install it and check it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = sdist or download_sdist(folder)
        verify_hash(source)
        wheel = build_wheel(source, (wheel_dir or folder).absolute())
        print(f"built {wheel.name}: {len(RULES)} small changes, without {', '.join(LEFT_OUT)}")
        options = ["--no-deps", "--no-index", "--force-reinstall", "--quiet", "--disable-pip-version-check"]
        done = _run("-m", "pip", "install", *options, str(wheel))
        if done.returncode:
            raise InstallError(f"pip could not install {wheel.name}:\n{done.stdout}{done.stderr}")
    state, line = installed_state()
    if state != "usable":
        raise InstallError(
            f"the new Detectron2 does not work here: {line}\nCheck that DepthBox itself is installed "
            f"(pip install -e . installs the dependencies of Detectron2), or {OWN_DETECTRON2}"
        )
    print(f"installed {line}")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--check", action="store_true", help="report whether Detectron2 is usable; exit status 1 if not")
    add("--force", action="store_true", help="build and install even if Detectron2 is installed already")
    add("--sdist", type=Path, metavar="FILE", help="use this detectron2-cdo 0.5 .tar.gz without download")
    add("--wheel-dir", type=Path, metavar="DIR", help="keep the built wheel in DIR")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the script and return its exit status: 0 usable, 1 not."""
    options = parse_arguments(arguments)
    try:
        if options.sdist and not options.sdist.is_file():
            raise InstallError(f"--sdist {options.sdist}: file not found")
        state, line = installed_state()
        if options.check:
            print(line if state == "usable" else f"Detectron2 is {state}: {line}")
            return 0 if state == "usable" else 1
        if state == "usable" and not options.force:
            print(f"using the installed Detectron2: {line}")
            return 0
        if state == "broken" and not options.force:
            raise InstallError(
                f"the installed Detectron2 does not work: {line}\nIf it lacks a package, install that package. "
                "To replace it by the pure-Python build, run this script again with --force"
            )
        install(options.sdist, options.wheel_dir)
    except (InstallError, WheelError, OSError) as error:
        print(f"install_detectron2: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
