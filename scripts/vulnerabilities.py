#!/usr/bin/env python3
"""Look the packages of requirements.lock up in a list of known vulnerabilities, with pip-audit.

Exit status: 0 = no known vulnerability, 1 = some, 2 = not measured, because the service does not answer. pip-audit
itself calls a package that the service does not know "skipped" and ends with 0; behind a mirror of the package index
these are all packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
OPTIONS = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]


def run_pip_audit(program: str, lock: Path = LOCK) -> list[dict[str, Any]] | None:
    """Return one entry per package with its vulnerabilities; None if pip-audit gives no result."""
    done = subprocess.run([program, *OPTIONS, "--requirement", str(lock)], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None


def summarize(packages: Sequence[dict[str, Any]] | None) -> tuple[int, str]:
    """Return the exit status and the text for a result of ``run_pip_audit``."""
    answered = [package for package in packages or () if "vulns" in package and "skip_reason" not in package]
    if packages is None or not answered:
        return 2, "Not measured: the vulnerability service cannot be reached or knows none of the packages."
    found = [
        f"  {package['name']} {package['version']}: {entry['id']}, fixed in {', '.join(entry['fix_versions']) or '-'}"
        for package in answered
        for entry in package["vulns"]
    ]
    missing = len(packages) - len(answered)
    line = f"{len(answered)} packages looked up, {len(found)} known vulnerabilities"
    if missing:
        line += f"; {missing} packages not measured, because the service does not know them"
    return (1 if found else 0), "\n".join([line, *found])


def main(words: Sequence[str] | None = None) -> int:
    """Print the result and return the exit status; the argument is the path of pip-audit."""
    program = (list(sys.argv[1:] if words is None else words) or ["pip-audit"])[0]
    status, text = summarize(run_pip_audit(program))
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
