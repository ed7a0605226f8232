"""The mutation check (scripts/mutate.py): its table fits the source, and mutations that no test notices are listed."""

import collections
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from script_toy import load_script

ROOT = Path(__file__).resolve().parents[1]
mutate = load_script(ROOT / "scripts" / "mutate.py")
SOURCE = "def twice(x):\n    return x * 2\n\n\ndef unused(x):\n    return x - 1\n"
TEST = "from depthbox.numbers import twice\n\n\ndef test_twice():\n    assert twice(3) == 6\n"
TABLE = "# comment\n= depthbox/numbers.py tests/numbers\n- x * 2\n+ x * 3\n- x - 1\n+ x + 1\n"


def test_every_entry_of_the_table_applies_to_the_source() -> None:
    mutations = mutate.read_table()
    for mutation in mutations:
        text = (ROOT / mutation.file).read_text(encoding="utf-8")
        changed = mutation.apply(text)
        assert changed != text
        compile(changed, mutation.file, "exec")
        assert (ROOT / mutation.tests).exists(), f"scripts/mutations.txt:{mutation.line}: no {mutation.tests}"
    assert len({(m.file, m.old, m.new) for m in mutations}) == len(mutations) > 120


def test_the_table_covers_the_depth_wiring_and_what_a_run_keeps() -> None:
    counts = collections.Counter(mutation.file.split("/")[1] for mutation in mutate.read_table())
    assert {name for name, count in counts.items() if count >= 8} >= {"modeling", "distillation", "losses", "engine"}
    assert {"checkpoint", "labeling", "data", "io"} <= set(counts)


@pytest.mark.parametrize("line", ["- old", "= one.py", "+ new", "old -> new"])
def test_a_wrong_line_of_a_table_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "table.txt").write_text(f"# comment\n{line}\n+ new\n")
    with pytest.raises(ValueError, match=r"table.txt:[23]: expected"):
        mutate.read_table(tmp_path / "table.txt")


@pytest.mark.parametrize(("text", "times"), [("b", 0), ("a a", 2)])
def test_an_entry_must_fit_one_place(text: str, times: int) -> None:
    with pytest.raises(ValueError, match=f"occurs {times} times in file.py"):
        mutate.Mutation("file.py", "tests", "a", "c", 5).apply(text)
    assert mutate.Mutation("file.py", "tests", "a", "c", 5).apply("x a") == "x c"


def make_repository(folder: Path) -> Path:
    """Write a repository with one function that is tested and one that is not; return its mutation script."""
    files = {
        "depthbox/__init__.py": "",
        "depthbox/numbers.py": SOURCE,
        "tests/numbers/test_numbers.py": TEST,
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow: slow']\naddopts = '--import-mode=importlib'\n",
        "scripts/mutations.txt": TABLE,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Path(shutil.copy(ROOT / "scripts" / "mutate.py", folder / "scripts"))


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True)


def test_a_mutation_that_no_test_notices_is_listed(tmp_path: Path) -> None:
    script = make_repository(tmp_path)
    done = run(script)
    assert done.returncode == 1, done.stdout + done.stderr
    first, _, second, *_, summary, survivor = done.stdout.splitlines()
    assert first == "  1/2 failed   depthbox/numbers.py: x * 2 -> x * 3"
    assert second == "  2/2 SURVIVED depthbox/numbers.py: x - 1 -> x + 1"
    assert "1 not noticed" in summary and "x - 1 -> x + 1 (tests: tests/numbers)" in survivor
    assert (tmp_path / "depthbox" / "numbers.py").read_text() == SOURCE  # the original is not changed


def test_tests_that_fail_anyway_prove_nothing(tmp_path: Path) -> None:
    script = make_repository(tmp_path)
    (tmp_path / "tests" / "numbers" / "test_numbers.py").write_text(TEST.replace("== 6", "== 7"))
    done = run(script)
    assert done.returncode == 2 and "do not pass without a mutation (failed)" in done.stderr
