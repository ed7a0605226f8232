"""scripts/install_detectron2.py: the wheel that it builds, and its error messages."""

import hashlib
import io
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def wheel(monkeypatch):
    """Import the module that builds the wheel."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import detectron2_wheel

    return detectron2_wheel


@pytest.fixture
def installer(wheel):
    """Import the install script as a module."""
    import install_detectron2

    return install_detectron2


def write_sdist(path: Path, files: dict[str, str]) -> Path:
    """Write a source distribution with the given files (path inside its top folder -> text)."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"detectron2_cdo-0.5/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def stub_module(wheel) -> types.ModuleType:
    """Execute the stand-in for detectron2._C as a module."""
    module = types.ModuleType("detectron2._C")
    exec(wheel.STUB, module.__dict__)
    return module


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x.astype(np.bool)", "x.astype(bool)"),
        ("np.zeros(3, dtype=np.int)", "np.zeros(3, dtype=int)"),
        ("np.float, np.object, np.str", "float, object, str"),
    ],
)
def test_numpy_aliases_become_builtins(wheel, before, after):
    sources = {"a.py": before}
    rule = wheel.Rule("a.py", wheel.NUMPY_ALIAS, r"\1", before.count("np.") - before.count("np.zeros"))
    assert wheel.apply_rules(sources, (rule,)) == {"a.py": after}
    assert sources == {"a.py": before}, "the argument must not be modified"


@pytest.mark.parametrize("code", ["np.bool_", "np.int64(3)", "np.float32", "np.integer", "snp.int", "np.strings"])
def test_numpy_rule_leaves_other_names_alone(wheel, code):
    assert wheel.apply_rules({"a.py": code}, (wheel.Rule("a.py", wheel.NUMPY_ALIAS, r"\1", 0),)) == {"a.py": code}


@pytest.mark.parametrize("text", ["", "np.int", "np.int np.int np.int"])
def test_a_rule_with_another_count_fails(wheel, text):
    rule = wheel.Rule("a.py", wheel.NUMPY_ALIAS, r"\1", 2)
    with pytest.raises(wheel.WheelError, match=rf"a\.py: {text.count('np.int')} matches instead of 2"):
        wheel.apply_rules({"a.py": text}, (rule,))


def test_a_rule_for_a_missing_file_fails(wheel):
    with pytest.raises(wheel.WheelError, match=r"b\.py.*no such file"):
        wheel.apply_rules({"a.py": ""}, (wheel.Rule("b.py", "x", "y", 0),))


def test_the_hash_is_checked(wheel, tmp_path):
    file = tmp_path / "some.tar.gz"
    file.write_bytes(b"other bytes")
    wheel.verify_hash(file, hashlib.sha256(b"other bytes").hexdigest())
    with pytest.raises(wheel.WheelError, match=r"some\.tar\.gz has sha256 [0-9a-f]{64} instead of 53c9e79e"):
        wheel.verify_hash(file)


def test_the_wheel_contains_the_patched_files(wheel, monkeypatch, tmp_path):
    sdist = write_sdist(
        tmp_path / "sdist.tar.gz",
        {
            "LICENSE": "the license",
            "setup.py": "raise SystemExit('must never run')",
            "detectron2/__init__.py": "",
            "detectron2/data/build.py": "np.int",
            "detectron2/export/api.py": "import caffe2",
        },
    )
    monkeypatch.setattr(wheel, "RULES", (wheel.Rule("data/build.py", wheel.NUMPY_ALIAS, r"\1", 1),))
    with zipfile.ZipFile(wheel.build_wheel(sdist, tmp_path / "wheels")) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    info = f"detectron2-{wheel.WHEEL_VERSION}.dist-info"
    in_package = {name for name in texts if not name.startswith(info)}
    assert in_package == {"detectron2/__init__.py", "detectron2/_C.py", "detectron2/data/build.py"}
    assert texts["detectron2/data/build.py"] == "int"
    assert texts[f"{info}/LICENSE"] == "the license"
    assert {line.split(",")[0] for line in texts[f"{info}/RECORD"].splitlines()} == set(texts)
    assert [path.suffix for path in (tmp_path / "wheels").iterdir()] == [".whl"]


def test_the_stub_names_the_missing_operation_and_the_remedy(wheel):
    stub = stub_module(wheel)
    with pytest.raises(AttributeError, match=r"_C\.deform_conv_forward is not available.*--no-build-isolation"):
        stub.deform_conv_forward(1)
    assert not stub.has_cuda()
    assert "pure-Python" in stub.get_compiler_version()


def test_check_succeeds_in_this_environment():
    done = subprocess.run(
        [sys.executable, SCRIPTS / "install_detectron2.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("detectron2 ")


@pytest.mark.parametrize("state", ["missing", "broken", "outdated"])
def test_check_fails_without_a_usable_detectron2(installer, monkeypatch, capsys, state):
    monkeypatch.setattr(installer, "installed_state", lambda: (state, "the reason"))
    assert installer.main(["--check"]) == 1
    assert capsys.readouterr().out == f"Detectron2 is {state}: the reason\n"


def test_a_broken_detectron2_is_replaced_with_force_alone(installer, monkeypatch, capsys):
    monkeypatch.setattr(installer, "installed_state", lambda: ("broken", "No module named 'x'"))
    monkeypatch.setattr(installer, "install", lambda *_: pytest.fail("must not install"))
    assert installer.main([]) == 1
    error = capsys.readouterr().err
    assert "No module named 'x'" in error
    assert "--force" in error


def test_a_wrong_sdist_is_refused(installer, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(installer, "installed_state", lambda: ("missing", "Detectron2 is not installed"))
    sdist = write_sdist(tmp_path / "fake.tar.gz", {"detectron2/__init__.py": ""})
    assert installer.main(["--sdist", str(sdist)]) == 1
    assert "sha256" in capsys.readouterr().err
    assert installer.main(["--sdist", str(tmp_path / "absent.tar.gz")]) == 1
    assert "absent.tar.gz: file not found" in capsys.readouterr().err


def test_a_failed_download_names_the_remedies(installer, monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="ERROR: cannot declare direct URL dependencies")
    monkeypatch.setattr(installer, "_run", lambda *_: failed)
    with pytest.raises(installer.InstallError) as caught:
        installer.download_sdist(tmp_path)
    for part in ("direct URL", "--sdist FILE", "pip<26.3", "install Detectron2 yourself"):
        assert part in str(caught.value)
