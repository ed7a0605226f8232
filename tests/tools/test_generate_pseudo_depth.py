"""tools/generate_pseudo_depth.py as it is called, with tiny networks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from script_toy import load_script

from depthbox.data.depth_io import read_depth, write_depth
from depthbox.visualization.depth_sheet import make_depth_sheet

pytest.importorskip("transformers")
from pseudo_depth_toy import break_weights, photo, reference, save_model, write_images, write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return load_script(ROOT / "tools" / "generate_pseudo_depth.py")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: save_model(folder / name, name) for name in ("dpt", "metric")}


@pytest.fixture
def data(tmp_path):
    sizes = write_images(tmp_path / "images")
    return tmp_path / "images", tmp_path / "depth", sizes


def words(data, model, *more):
    images, output, _ = data
    common = ["--images", images, "--output", output, "--model", model, "--device", "cpu", "--batch-size", 2]
    return [str(word) for word in (*common, *more)]


def times(output):
    return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in output.rglob("*.png")}


def test_folder_resume_and_sheet(tool, models, data, tmp_path, capsys):
    images, output, sizes = data
    assert tool.main(words(data, models["dpt"])) == 0
    assert "5 made, 0 were complete, 0 failed" in capsys.readouterr().out
    for name, size in sizes.items():
        depth = read_depth((output / name).with_suffix(".png"), size)
        assert np.abs(depth - reference(models["dpt"], images / name, size)).max() < 2e-4
    note = json.loads((output / "depth_info.json").read_text())
    assert note["model"]["name"] == models["dpt"] and note["model"]["weights"].startswith("sha256")
    before = times(output)
    (output / "gray.png").unlink()
    write_depth(output / "turned.png", np.zeros((32, 48), np.float32))  # the size before EXIF turned it
    sheet = tmp_path / "look" / "sheet.png"
    assert tool.main(words(data, models["dpt"], "--sheet", sheet)) == 0
    assert "2 made, 3 were complete, 0 failed" in capsys.readouterr().out
    after = times(output)
    assert {name for name in before if before[name] != after[name]} == {"gray.png", "turned.png"}
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    assert 1000 < pixels.shape[1] <= 2400 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def test_json_size_and_inversion(tool, models, data, tmp_path):
    images, output, sizes = data
    chosen = {name: sizes[name] for name in ("a.jpg", "sub/a.png")}
    file = write_json(tmp_path / "x.json", chosen)
    assert tool.main(words(data, models["metric"], "--json", file, "--size", 24)) == 0
    assert sorted(times(output)) == ["a.png", "sub/a.png"]
    depth = read_depth(output / "a.png", sizes["a.jpg"])
    assert depth.shape == (24, 36)
    assert np.abs(depth - reference(models["metric"], images / "a.jpg", (24, 36), inverted=True)).max() < 2e-4
    note = json.loads((output / "depth_info.json").read_text())
    assert note["model"]["output_inverted"] is True and note["settings"]["size"] == 24


def test_invert_by_hand_turns_near_and_far(tool, models, data):
    images, output, sizes = data
    near = reference(models["dpt"], images / "a.jpg", sizes["a.jpg"])
    assert tool.main(words(data, models["dpt"], "--invert", "yes")) == 0
    depth = read_depth(output / "a.png", sizes["a.jpg"])
    assert depth.flat[near.argmax()] == 0 and depth.flat[near.argmin()] == 1


def test_shards_do_not_overlap(tool, models, data, capsys):
    made = []
    for shard in range(2):
        before = set(data[1].rglob("*.png"))
        assert tool.main(words(data, models["dpt"], "--num-shards", 2, "--shard", shard)) == 0
        made.append(set(data[1].rglob("*.png")) - before)
    assert [len(names) for names in made] == [3, 2] and not made[0] & made[1]
    capsys.readouterr()
    assert tool.main(words(data, models["dpt"])) == 0
    assert "0 made, 5 were complete" in capsys.readouterr().out
    assert tool.main(words(data, models["dpt"], "--num-shards", 2, "--shard", 2)) == 2
    assert "numbered 0 to 1" in capsys.readouterr().err


def test_dry_run_writes_nothing(tool, models, data, tmp_path, capsys):
    images, output, sizes = data
    file = write_json(tmp_path / "x.json", {**sizes, "gone.jpg": (9, 9)})
    assert tool.main(words(data, models["dpt"], "--json", file, "--dry-run", "--sheet", tmp_path / "s.png")) == 0
    shown = capsys.readouterr().out
    assert "to do    6, complete 0" in shown and f"missing  1 images, such as {images / 'gone.jpg'}" in shown
    assert not output.exists() and not (tmp_path / "s.png").exists()


def test_other_settings_are_refused_then_overwritten(tool, models, data, capsys):
    assert tool.main(words(data, models["dpt"])) == 0
    before = times(data[1])
    for more, problem in ((["--size", "20"], "size original there, 20 now"), (["--invert", "yes"], "output_inverted")):
        assert tool.main(words(data, models["dpt"], *more)) == 2
        assert problem in capsys.readouterr().err
    assert tool.main(words(data, models["metric"])) == 2
    assert "weights sha256" in capsys.readouterr().err and times(data[1]) == before
    assert tool.main(words(data, models["dpt"], "--size", 20, "--overwrite")) == 0
    assert read_depth(data[1] / "a.png", (40, 60)).shape == (20, 30)


def test_failures_give_status_1_and_no_half_file(tool, models, data, tmp_path, capsys):
    images, output, sizes = data
    (images / "a.jpg").write_bytes((images / "a.jpg").read_bytes()[:700])
    file = write_json(tmp_path / "x.json", {**sizes, "gray.png": (47, 33), "gone.jpg": (9, 9)})
    assert tool.main(words(data, models["dpt"], "--json", file, "--sheet", tmp_path / "s.png")) == 1
    shown = capsys.readouterr()
    failed = [line for line in shown.err.splitlines() if line.startswith("failed: ")]
    assert [line.split(": ")[1] for line in failed] == [str(images / n) for n in ("a.jpg", "gone.jpg", "gray.png")]
    assert "33 x 47" in failed[2] and "in the annotations it is 47 x 33" in failed[2]
    assert "3 made, 0 were complete, 3 failed" in shown.out and (tmp_path / "s.png").exists()
    left = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    assert left == ["depth_info.json", "sub/a.png", "sub/frame.v1.png", "turned.png"]


def test_animated_images_are_noted_and_unreadable_files_of_a_format_without_sizes_give_status_1(
    tool, models, tmp_path, capsys
):
    images, labels = tmp_path / "yolo" / "images", tmp_path / "yolo" / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    frames = [Image.fromarray(photo(20, 30, n)) for n in range(3)]
    frames[0].save(images / "moving.webp", save_all=True, append_images=frames[1:])
    frames[1].save(images / "still.png")
    for name in ("empty", "damaged"):
        (images / f"{name}.jpg").write_bytes(b"")
    for name in ("moving", "still", "empty", "damaged"):
        (labels / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "yolo" / "classes.txt").write_text("thing\n")
    output = tmp_path / "depth"
    words = ["--data", tmp_path / "yolo", "--output", output, "--model", models["dpt"], "--device", "cpu"]
    assert tool.main([str(word) for word in words]) == 1
    shown = capsys.readouterr()
    assert "1 files have several pages or frames, the first one was used, such as" in shown.out
    assert "moving.webp" in shown.out and "2 made, 0 were complete, 2 failed" in shown.out
    assert "left out: 2 images" in shown.err and "empty.jpg" in shown.err
    assert sorted(times(output)) == ["moving.png", "still.png"]


def test_images_or_annotations_are_needed(tool, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        tool.main(["--output", str(tmp_path / "depth")])
    assert "--images or --data is needed" in capsys.readouterr().err


def test_nan_gives_status_1(tool, data, tmp_path, capsys):
    model = save_model(tmp_path / "nan", "dpt", break_weights)
    assert tool.main(words(data, model)) == 1
    shown = capsys.readouterr().err
    assert str(data[0] / "turned.jpg") in shown and "NaN" in shown and not times(data[1])


def test_mistakes_end_with_one_line(tool, models, data, tmp_path, capsys):
    Image.fromarray(photo(9, 9)).save(data[0] / "a.png")
    assert tool.main(words(data, models["dpt"])) == 2
    assert "share the depth map" in capsys.readouterr().err
    (data[0] / "a.png").unlink()
    for model, problem in ((tmp_path / "nowhere", "cannot be loaded"), (data[0], "cannot be loaded")):
        assert tool.main(words(data, model)) == 2
        assert problem in capsys.readouterr().err
    for more in (
        ["--size", "0"], ["--size", "big"], ["--batch-size", "0"], ["--sheet", data[1] / "s.png"],
        ["--overwrite", "--num-shards", "2"],
    ):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            tool.main(words(data, models["dpt"], *more))
    assert not data[1].exists()


def test_help_shows_examples(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_arguments(["--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown and "depth-anything-small = " in shown and "--dry-run" in shown


def test_sheet_shows_each_image_beside_its_map(tmp_path):
    pairs = []
    for i in range(3):
        Image.fromarray(photo(30, 40, i)).save(tmp_path / f"{i}.jpg")
        write_depth(tmp_path / f"{i}.png", np.tile(np.linspace(0, 1, 40), (30, 1)))
        pairs.append((tmp_path / f"{i}.jpg", tmp_path / f"{i}.png"))
    sheet = np.asarray(make_depth_sheet(pairs, count=2, columns=1))
    gap, width = 6, (sheet.shape[1] - 18) // 2
    assert sheet.shape[0] == 2 * (18 + width * 3 // 4) + 3 * gap, "two rows"
    row = sheet[gap + 18 + 100, gap + width + gap :].astype(int).sum(1)
    assert row[width - 5] > row[width // 2] > row[5], "bright where near, that is at the right"
    for wrong in ({"count": 0}, {"columns": 0}):
        with pytest.raises(ValueError, match="a sheet needs"):
            make_depth_sheet(pairs, **wrong)
    with pytest.raises(ValueError, match="a sheet needs"):
        make_depth_sheet([])
