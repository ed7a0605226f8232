#!/usr/bin/env python3
"""Write requirements.lock: the sha256 of every package that `make venv` installs, for the Python that runs this script.

pip resolves setup.py with the versions of constraints.txt and reports the files that it would install; nothing is
installed. Packages are named alone; their files come from where pip is configured to look.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
# Installed before all others: pip itself, of a version that accepts the sdist of Detectron2, and the builder of sdists.
BUILDERS = ("pip<26.3", "setuptools>=70.1")
EXTRAS = "demo,dev,depth,cityscapes,export,bench,wandb,app,browser,docs"
HEAD = "# Hashes of the packages that `make venv` installs. Written by `make lock` with Python {python} on {system}.\n"
_PYTHON = re.compile(r"with Python (\d+)\.(\d+)\.(\d+) on (.+)\.$")


def covers_this_platform(text: str) -> bool:
    """Return whether a lock file was made for this platform and this Python: the same version or an earlier patch."""
    found = _PYTHON.search(text.partition("\n")[0])
    if found is None or found[4] != _name_platform():
        return False
    major, minor, patch = (int(number) for number in found.groups()[:3])
    return sys.version_info[:2] == (major, minor) and sys.version_info.micro >= patch


def resolve() -> dict[str, Any]:
    """Return pip's report of the files that it would install.

    Raises:
        RuntimeError: pip finds no versions that fit, or cannot reach the index.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--quiet", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", *options, "--report", str(report)]
        command += ["-c", str(ROOT / "constraints.txt"), *BUILDERS, f"{ROOT}[{EXTRAS}]"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"pip resolves no set of packages:\n{done.stderr.strip()[-2000:]}")
        return json.loads(report.read_text())


def format_lock(report: dict[str, Any]) -> str:
    """Return the content of the lock file for a report of pip: one line per package, sorted by name.

    Raises:
        ValueError: a package comes without a sha256.
    """
    lines = {}
    for item in report["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        if name == "depthbox":
            continue
        digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if digest is None:
            raise ValueError(f"the index gives no sha256 of {name}: use another index")
        lines[name] = f"{name}=={item['metadata']['version']} --hash=sha256:{digest}"
    head = HEAD.format(python=platform.python_version(), system=_name_platform())
    return head + "".join(f"{lines[name]}\n" for name in sorted(lines))


def _name_platform() -> str:
    return f"{platform.system()} {platform.machine()}"


def main(words: Sequence[str] | None = None) -> int:
    """Write the lock file; with --covers only tell by the exit status whether it is for this platform."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--covers", action="store_true", help="exit with 0 if the lock file is for this platform")
    options = parser.parse_args(words)
    if options.covers:
        return 0 if LOCK.is_file() and covers_this_platform(LOCK.read_text(encoding="utf-8")) else 1
    try:
        text = format_lock(resolve())
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    LOCK.write_text(text, encoding="utf-8")
    print(f"{LOCK.name}: {text.count('--hash')} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
