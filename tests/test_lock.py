"""The lock file of `make venv`, and the answers of `make audit`."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from script_toy import load_script

ROOT = Path(__file__).resolve().parents[1]
lock = load_script(ROOT / "scripts" / "lock.py")
vulnerabilities = load_script(ROOT / "scripts" / "vulnerabilities.py")
LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})")
LINUX = {**default_environment(), "python_version": "3.11", "python_full_version": "3.11.7", "sys_platform": "linux"}


def locked() -> dict[str, str]:
    """Return the version of each locked package."""
    head, *lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert "Python 3.11." in head and "Linux x86_64" in head
    matches = [LINE.fullmatch(line) for line in lines]
    assert all(matches), "a line of requirements.lock has no hash: run `make lock`"
    return {match[1]: match[2] for match in matches if match}


def constraints() -> dict[str, str]:
    """Return the tested version of each package for Python 3.11 on Linux."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    valid = [item for item in found if item.marker is None or item.marker.evaluate(LINUX)]
    return {canonicalize_name(item.name): str(item.specifier).removeprefix("==") for item in valid}


def test_the_lock_file_has_the_tested_versions() -> None:
    versions, tested = locked(), constraints()
    assert {name: versions[name] for name in tested if name in versions} == {
        name: version for name, version in tested.items() if name in versions
    }
    assert len(set(tested) & set(versions)) > 140


def test_all_dependencies_of_setup_py_are_locked() -> None:
    text = (ROOT / "setup.py").read_text()
    block = text[text.index("install_requires") : text.index("entry_points")]
    names = {canonicalize_name(Requirement(word).name) for word in re.findall(r'"([A-Za-z][\w.\-<>=]+)"[,\]]', block)}
    assert len(names) > 25
    assert names <= set(locked()) | {"demo", "depth", "bench"}, "run `make lock`"
    assert {"pip", "setuptools"} <= set(locked())


def test_the_lock_file_applies_to_its_own_platform_only() -> None:
    patch = sys.version_info.micro
    own = lock.HEAD.format(
        python=f"{sys.version_info.major}.{sys.version_info.minor}.{patch}", system=lock._name_platform()
    )
    assert lock.covers_this_platform(own)
    for wrong in (
        own.replace(f".{patch} on", f".{patch + 1} on"),
        own.replace("Python 3.", "Python 4."),
        own.replace(lock._name_platform(), "Darwin arm64"),
        "",
    ):
        assert not lock.covers_this_platform(wrong)


def test_packages_are_written_with_their_hash_and_without_an_address() -> None:
    def item(name: str, **info: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "version": "1.2"}, "download_info": {"url": "https://mirror/x.whl", **info}}

    hashes = {"archive_info": {"hashes": {"sha256": "0" * 64}}}
    text = lock.format_lock({"install": [item("B_b.c", **hashes), item("a", **hashes), item("depthbox")]})
    assert text.splitlines()[1:] == [f"a==1.2 --hash=sha256:{'0' * 64}", f"b-b-c==1.2 --hash=sha256:{'0' * 64}"]
    with pytest.raises(ValueError, match="no sha256 of b"):
        lock.format_lock({"install": [item("b")]})


def test_an_index_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(lock, "resolve", lambda: (_ for _ in ()).throw(RuntimeError("no answer of the index")))
    before = (ROOT / "requirements.lock").read_bytes()
    assert lock.main([]) == 2
    assert "no answer of the index" in capsys.readouterr().err
    assert (ROOT / "requirements.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("packages", "status", "text"),
    [
        (None, 2, "Not measured"),
        ([], 2, "Not measured"),
        ([{"name": "a", "skip_reason": "not found on PyPI"}], 2, "Not measured"),
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 packages looked up, 0 known vulnerabilities"),
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}], 0, "1 packages not measured"),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            1,
            "1 known vulnerabilities\n  a 1: CVE-1, fixed in 2",
        ),
    ],
)
def test_nothing_is_called_safe_that_was_not_looked_up(packages: Any, status: int, text: str) -> None:
    """pip-audit ends with 0 if its service knows no package at all."""
    found, message = vulnerabilities.summarize(packages)
    assert found == status and text in message


def test_a_pip_audit_that_fails_gives_no_result(tmp_path: Path) -> None:
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho 'Traceback: no network' >&2\nexit 1\n")
    program.chmod(0o755)
    assert vulnerabilities.run_pip_audit(str(program)) is None
    program.write_text('#!/bin/sh\necho \'{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}\'\n')
    assert vulnerabilities.run_pip_audit(str(program)) == [{"name": "a", "version": "1", "vulns": []}]
