"""scripts/make_readme_image.py: colors of boxes and masks, layout, file size, messages."""

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from PIL import Image

from depthbox import add_depthbox_config
from depthbox.config import load_config
from depthbox.data.synthetic.write import write_dataset

ROOT = Path(__file__).resolve().parents[1]
GRAY = (90, 90, 90)
FIRST, SECOND = (6, 4, 20, 16), (30, 8, 26, 30)  # x, y, width, height


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Import the script as a module."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_readme_image

    return make_readme_image


@pytest.fixture
def record(tmp_path: Path) -> dict:
    """Write a gray image and return its dataset dict with two boxes."""
    Image.new("RGB", (64, 48), GRAY).save(tmp_path / "a.png")
    annotations = [{"bbox": list(box), "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0} for box in (FIRST, SECOND)]
    return {"file_name": str(tmp_path / "a.png"), "height": 48, "width": 64, "annotations": annotations}


def predict(record: dict) -> Instances:
    """Find the second object, the first one with a low score, and an object without an annotation."""
    found = Instances((48, 64))
    found.pred_boxes = Boxes(torch.tensor([[30.0, 8, 56, 38], [6, 4, 26, 20], [2, 40, 12, 46]]))
    found.scores = torch.tensor([0.9, 0.1, 0.8])
    found.pred_masks = torch.zeros(3, 48, 64, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(found.pred_masks, found.pred_boxes.tensor.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return found


def test_masks_have_the_colors_of_their_boxes(tool: types.ModuleType, record: dict) -> None:
    figure = tool.make_figure([record, record], predict, 0.4, 128)
    gap, caption = tool._GAP, tool._CAPTION
    assert figure.size == (2 * 128 + gap, 2 * (caption + 96) + gap)
    above, below = (np.asarray(figure)[y : y + 96, :128] for y in (caption, 2 * caption + 96 + gap))
    first, second = tool._PALETTE[:2]
    assert tuple(above[2 * 4, 2 * 10]) == first and tuple(above[2 * 8, 2 * 40]) == second, "outlines of the boxes"
    assert tuple(above[2 * 20, 2 * 40]) == GRAY, "boxes are not filled"
    assert np.abs(below[2 * 20, 2 * 40] - (np.array(second) + GRAY) / 2).max() <= 1, "the mask is blended"
    assert np.abs(below[2 * 43, 2 * 7] - (np.array(tool._UNMATCHED) + GRAY) / 2).max() <= 1
    assert tuple(below[2 * 12, 2 * 15]) == GRAY, "masks below the threshold are not drawn"
    assert (np.asarray(figure)[:caption, :128] < 100).any(), "there is a caption"


def test_scenes_without_objects_are_drawn(tool: types.ModuleType, record: dict) -> None:
    figure = tool.make_figure([{**record, "annotations": []}], lambda r: predict(r)[:0], 0.4, 64)
    assert set(np.asarray(figure)[tool._CAPTION : tool._CAPTION + 48].reshape(-1, 3).mean(1)) == {90}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_file_is_small_enough(tool: types.ModuleType, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    figure = Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC)
    large = tool.encode(figure, suffix, 10**7)
    small = tool.encode(figure, suffix, len(large) * 6 // 10)
    assert len(small) <= len(large) * 6 // 10
    assert Image.open(io.BytesIO(small)).size == (640, 480)
    with pytest.raises(ValueError, match="does not fit into 1 KB"):
        tool.encode(figure, suffix, 1000)


def test_unknown_formats_are_refused(tool: types.ModuleType) -> None:
    with pytest.raises(ValueError, match=r"'\.bmp' is not an image format"):
        tool.encode(Image.new("RGB", (4, 4)), ".bmp")


def test_the_figure_of_a_trained_run_is_written(
    tool: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path, 2, height=72, width=96, split="val")
    words = ["MODEL.FPN.OUT_CHANNELS", "32", "INPUT.MIN_SIZE_TEST", "64", "MODEL.FCOS.INFERENCE_TH", "0.0"]
    cfg = load_config(add_depthbox_config, str(ROOT / "tests" / "tiny.yaml"), words)
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text(cfg.dump())
    paths = ["--json", f"{tmp_path}/instances_val.json", "--images", f"{tmp_path}/val"]
    paths += ["--weights", f"{tmp_path}/model.pth", "--output", f"{tmp_path}/new/figure.jpg"]
    tool.main([*paths, "--indices", "1", "0", "--score-threshold", "0", "--tile-width", "192"])
    with Image.open(tmp_path / "new" / "figure.jpg") as figure:
        assert figure.size == (2 * 192 + tool._GAP, 2 * (tool._CAPTION + 144) + tool._GAP)
    assert "figure.jpg: 392 x 364 pixels" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"--indices 2: .*instances_val\.json has 2 images"):
        tool.main([*paths, "--indices", "0", "2"])


def test_a_missing_run_names_the_remedy(
    tool: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_readme_image.py"])
    with pytest.raises(SystemExit, match=r"output/demo/train/model_final\.pth.*`make demo` trains the default network"):
        tool.main()
    assert list(tmp_path.iterdir()) == []
