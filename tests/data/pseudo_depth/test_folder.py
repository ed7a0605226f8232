import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from death import each_death, expect_refusal
from PIL import Image

from depthbox.data.depth_io import write_depth
from depthbox.data.pseudo_depth.folder import (
    SIDECAR,
    describe_depth_shortage,
    describe_folder,
    occupy_folder,
    prepare_folder,
)
from depthbox.data.pseudo_depth.items import DepthItem, is_complete
from depthbox.data.pseudo_depth.model import ModelInfo, PseudoDepthError

MODEL = ModelInfo("Intel/dpt-large", None, "commit abc", "dpt", False)
INFO = describe_folder(MODEL, 320, False)


def item(output, name):
    return DepthItem(Path("images") / f"{name}.jpg", output / f"{name}.png")


@pytest.fixture
def filled(tmp_path):
    """Return a folder with the maps of a and sub/b, and their items."""
    items = [item(tmp_path, "a"), item(tmp_path, "sub/b")]
    prepare_folder(tmp_path, items, INFO)
    for one in items:
        write_depth(one.depth, np.zeros((4, 4), np.float32))
    return tmp_path, items


def maps(output):
    return sorted(str(path.relative_to(output)) for path in output.rglob("*.png"))


def test_the_sidecar_records_model_settings_and_versions(tmp_path):
    prepare_folder(tmp_path / "new", [], INFO)
    note = json.loads((tmp_path / "new" / SIDECAR).read_text())
    assert "1 = near" in note["convention"] and "65535" in note["convention"]
    assert note["model"] == {
        "name": "Intel/dpt-large", "revision": None, "weights": "commit abc", "type": "dpt", "output_inverted": False,
    }  # fmt: skip
    assert note["settings"]["size"] == 320 and note["settings"]["precision"] == "float32"
    assert {"python", "torch", "transformers", "depthbox"} <= set(note["versions"])
    assert describe_folder(MODEL, None, True)["settings"]["size"] == "original"


def test_same_settings_keep_the_sidecar(filled):
    output, items = filled
    before = (output / SIDECAR).read_bytes()
    other = describe_folder(replace(MODEL, name="/downloaded/dpt", revision="main"), 320, False)
    other["versions"] = {"torch": "99"}
    prepare_folder(output, items, other)
    assert maps(output) == ["a.png", "sub/b.png"] and (output / SIDECAR).read_bytes() == before


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        (describe_folder(replace(MODEL, weights="commit def"), 320, False), "weights commit abc there, commit def now"),
        (describe_folder(replace(MODEL, inverted=True), 320, False), "output_inverted False there, True now"),
        (describe_folder(MODEL, None, False), "size 320 there, original now"),
        (describe_folder(MODEL, 320, True), "precision float32 there, float16 now"),
    ],
)
def test_other_settings_are_refused_unless_overwritten(filled, info, problem):
    output, items = filled
    for dry_run in (True, False):
        with pytest.raises(PseudoDepthError, match=f"{problem}.*--overwrite"):
            prepare_folder(output, items, info, dry_run=dry_run)
    prepare_folder(output, items, info, overwrite=True, dry_run=True)
    assert maps(output) == ["a.png", "sub/b.png"] and json.loads((output / SIDECAR).read_text()) == INFO
    prepare_folder(output, items, info, overwrite=True)
    assert maps(output) == [] and json.loads((output / SIDECAR).read_text()) == info


def test_overwriting_never_mixes_settings_nor_removes_maps_of_other_images(filled):
    output, items = filled
    other = describe_folder(MODEL, 240, False)
    with pytest.raises(PseudoDepthError, match=r"remove the maps of other images first \(1, such as .*b\.png"):
        prepare_folder(output, items[:1], other, overwrite=True)
    assert maps(output) == ["a.png", "sub/b.png"]
    prepare_folder(output, items[:1], INFO, overwrite=True)
    assert maps(output) == ["sub/b.png"], "the same settings: only the map of the item is made anew"


def test_maps_without_sidecar_are_refused(filled):
    output, items = filled
    (output / SIDECAR).unlink()
    with pytest.raises(PseudoDepthError, match=f"{SIDECAR} is missing"):
        prepare_folder(output, items, INFO)
    assert not (output / SIDECAR).exists()


def test_a_sidecar_without_maps_is_replaced(tmp_path):
    prepare_folder(tmp_path, [], INFO)
    other = describe_folder(MODEL, 240, False)
    prepare_folder(tmp_path, [], other)
    assert json.loads((tmp_path / SIDECAR).read_text()) == other


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model": {}, "settings": {}, "convention": ""}'])
def test_a_damaged_sidecar_is_an_error(filled, text):
    output, items = filled
    (output / SIDECAR).write_text(text)
    with pytest.raises(PseudoDepthError, match=f"{SIDECAR} is damaged"):
        prepare_folder(output, items, INFO)


def test_the_spelling_of_earlier_versions_is_accepted(filled):
    output, items = filled
    earlier = json.loads((output / SIDECAR).read_text())
    assert "16-bit gray PNG" in earlier["convention"]
    earlier["convention"] = earlier["convention"].replace("gray", "gray".replace("a", "e"))
    (output / SIDECAR).write_text(json.dumps(earlier))
    prepare_folder(output, items, INFO)
    assert maps(output) == ["a.png", "sub/b.png"]


def test_dry_run_makes_no_folder(tmp_path):
    prepare_folder(tmp_path / "new", [], INFO, dry_run=True)
    assert not (tmp_path / "new").exists()


def test_a_shard_is_generated_by_one_process_and_others_beside_it(tmp_path):
    def occupy(*shard):
        with occupy_folder(tmp_path / "depth", *shard):
            assert os.listdir(tmp_path / "depth")

    lock = functools.partial(occupy_folder, tmp_path / "depth")
    assert "shard_0_of_1 is in use by another generation of depth maps" in expect_refusal(lock, occupy)
    assert expect_refusal(lock, functools.partial(occupy, 1, 4)) == ""
    assert not (tmp_path / "depth").exists()


def test_maps_killed_at_any_point_are_completed_and_nothing_is_left(tmp_path):
    items = [DepthItem(tmp_path / f"{n}.png", tmp_path / "depth" / "sub" / f"{n}.png", (4, 6)) for n in range(3)]

    def run():
        with occupy_folder(tmp_path / "depth"):
            prepare_folder(tmp_path / "depth", items, INFO)
            for item in items:
                if not is_complete(item, None):
                    write_depth(item.depth, np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6))

    def list_files():
        return {str(p): p.read_bytes() for p in (tmp_path / "depth").rglob("*") if p.is_file()}

    run()
    expected, deaths = list_files(), []
    for death in each_death(run, lambda: shutil.rmtree(tmp_path / "depth")):
        deaths.append(death)
        run()
        assert list_files() == expected, death
    assert len(expected) == 4 and len(deaths) >= 12


def test_the_space_for_the_maps_is_estimated_from_their_sizes(tmp_path, monkeypatch):
    items = [DepthItem(tmp_path / f"{n}.png", tmp_path / f"{n}.png", (1000, 1000)) for n in range(250)]
    monkeypatch.setattr("depthbox.io.write_errors._find_free", lambda _: 200_000_000)
    assert "about 300.0 MB will be written" in describe_depth_shortage(items, None, tmp_path)
    assert describe_depth_shortage(items, 100, tmp_path) == describe_depth_shortage([], None, tmp_path) == ""
    Image.fromarray(np.zeros((500, 400), dtype=np.uint8)).save(tmp_path / "0.png")
    unknown = [DepthItem(tmp_path / f"{n}.png", tmp_path / "d.png") for n in range(2)]  # the second one is missing
    monkeypatch.setattr("depthbox.io.write_errors._find_free", lambda _: 100)
    assert "about 480.0 kB" in describe_depth_shortage(unknown, None, tmp_path)
