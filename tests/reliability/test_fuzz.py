"""Commands and damaged files: one line and an exit status, never a traceback, a lost file or code that runs.

Each case is determined by its seed. The cases of the fixed seed are the same in every run. Those of the other seed
differ; a failed test names it, and the environment variable DEPTHBOX_FUZZ_SEED repeats it.
"""

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from forked_toy import run
from fuzz_toy import ENTRIES, copy_base, make_case, run_case

FIXED_SEED, FIXED_CASES, RANDOM_CASES = "13", 7, 3
SLOW_SECONDS = 600


@pytest.fixture(scope="module")
def random_seed() -> str:
    seed = os.environ.get("DEPTHBOX_FUZZ_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"\nrandom seed of the fuzz test: DEPTHBOX_FUZZ_SEED={seed}")
    return seed


def find_faults(base: Path, folder: Path, entry: str, seeds: list[str]) -> list[str]:
    """Run cases of a command; return one line for each that has a fault."""
    lines = []
    for seed in seeds:
        case = make_case(base, folder / "case", seed, entry)
        faults = run_case(case)
        if faults:
            lines.append(f"{case}: {'; '.join(faults)}")
        for path in (*folder.iterdir(),):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return lines


@pytest.mark.parametrize("entry", ENTRIES)
def test_damaged_files_end_in_one_line(base: Path, tmp_path: Path, random_seed: str, entry: str) -> None:
    seeds = [f"{FIXED_SEED}/{number}" for number in range(FIXED_CASES)]
    seeds += [f"{random_seed}/{number}" for number in range(RANDOM_CASES)]
    faults = find_faults(base, tmp_path, entry, seeds)
    assert not faults, f"DEPTHBOX_FUZZ_SEED={random_seed} repeats this:\n" + "\n".join(faults)


@pytest.mark.parametrize("entry", ENTRIES)
def test_undamaged_files_are_accepted(base: Path, tmp_path: Path, entry: str) -> None:
    """The commands of the fuzz test succeed on sound files: else it would test the parser of options alone."""
    copy_base(base, tmp_path / "case")
    done = run(tmp_path / "case", ENTRIES[entry].words)
    assert done.status in ((0, 1) if entry == "check" else (0,)), done.text
    assert 0 < done.memory < 2**31


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_ten_minutes_of_damaged_files(base: Path, tmp_path: Path, random_seed: str, entry: str) -> None:
    end, faults, number = time.monotonic() + SLOW_SECONDS / len(ENTRIES), [], 0
    while time.monotonic() < end:
        faults += find_faults(base, tmp_path, entry, [f"{random_seed}/{number}"])
        number += 1
    print(f"{entry}: {number} cases of DEPTHBOX_FUZZ_SEED={random_seed}, {len(faults)} with a fault")
    assert number > 10
    assert not faults, f"DEPTHBOX_FUZZ_SEED={random_seed} repeats this:\n" + "\n".join(faults)
