"""Files of the synthetic dataset: COCO data, continued and extended, with equal bytes for any number of workers."""

import functools
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from death import each_death, expect_refusal, fail_with_limit
from PIL import Image
from pycocotools.coco import COCO

from depthbox.data.depth_io import read_depth
from depthbox.data.process_pool import WorkerKilledError
from depthbox.data.synthetic.write import CLASS_NAMES, Scene, render_scene, split_seed, write_dataset
from depthbox.io import temporary_files
from depthbox.io.folder_lock import lock_folder

HEIGHT, WIDTH = 96, 128


def masks(scene: Scene) -> list[np.ndarray]:
    """Return the visible mask of each instance."""
    return [scene.instance_map == number for number in range(1, len(scene.classes) + 1)]


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) of a mask, the end exclusive."""
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_splits_never_share_a_seed() -> None:
    seeds = {split_seed(seed, split) for seed in range(20) for split in ("train", "val", "test")}
    assert len(seeds) == 60


def test_written_data_are_coco_data(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, 4, 5, HEIGHT, WIDTH, "val")
    assert path == tmp_path / "instances_val.json"
    coco = COCO(str(path))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(CLASS_NAMES)
    assert json.loads(path.read_text())["info"]["version"] == "1"
    for index, image in enumerate(coco.loadImgs(sorted(coco.imgs))):
        scene = render_scene(index, split_seed(5, "val"), HEIGHT, WIDTH)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "val" / image["file_name"])), scene.image)
        depth = read_depth(tmp_path / "depth_val" / image["file_name"], (HEIGHT, WIDTH))
        np.testing.assert_allclose(depth, scene.pseudo_depth, atol=1e-5)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert [a["category_id"] - 1 for a in annotations] == scene.classes.tolist()
        for annotation, mask in zip(annotations, masks(scene), strict=True):
            np.testing.assert_array_equal(coco.annToMask(annotation).astype(bool), mask)
            x0, y0, x1, y1 = box(mask)
            assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0] and annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0 and isinstance(annotation["segmentation"]["counts"], str)


def test_scenes_killed_at_any_point_are_completed_and_nothing_is_left(tmp_path: Path) -> None:
    run = functools.partial(write_dataset, tmp_path / "a", 1, 1, 32, 32)
    run()
    expected, deaths = contents(tmp_path / "a"), []
    for death in each_death(run, lambda: shutil.rmtree(tmp_path / "a")):
        deaths.append(death)
        run()
        assert contents(tmp_path / "a") == expected, death
    assert not list((tmp_path / "a").glob(".*")) and len(deaths) >= 10


def test_temporary_files_of_killed_workers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(index: int, *args: object) -> Scene:
        if index == 5:  # in the middle of a file
            path = tmp_path / "depth_train" / f".000005.png.{os.getpid()}-{temporary_files._hash_host()}01234567.tmp"
            path.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return render_scene(index, *args)

    with monkeypatch.context() as patch:
        patch.setattr("depthbox.data.synthetic.write.render_scene", die)
        with pytest.raises(WorkerKilledError, match="fewer --workers"):
            write_dataset(tmp_path, 12, 1, 32, 32, workers=2)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".lock"))]
    write_dataset(tmp_path, 12, 1, 32, 32)
    assert len(list((tmp_path / "train").iterdir())) == 12 and not list(tmp_path.glob(".*"))


def test_a_full_disk_names_the_file_and_keeps_the_finished_scenes(tmp_path: Path) -> None:
    run = functools.partial(write_dataset, tmp_path, 3, 1, 32, 32)
    message = fail_with_limit(run, 100)
    assert "WriteError: " in message and "train/000000.png cannot be written: File too large" in message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    message = fail_with_limit(run, 2700)
    assert "instances_train.json cannot be written" in message and len(list((tmp_path / "train").iterdir())) == 3


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    lock = functools.partial(lock_folder, tmp_path, "generation of scenes", "instances_train.json")
    message = expect_refusal(lock, functools.partial(write_dataset, tmp_path, 1, 1, 32, 32))
    assert "instances_train.json is in use by another generation of scenes" in message


def test_depth_as_npy(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, 0, HEIGHT, WIDTH, depth_format="npy")
    expected = render_scene(0, split_seed(0, "train"), HEIGHT, WIDTH).pseudo_depth
    np.testing.assert_array_equal(np.load(tmp_path / "depth_train" / "000000.npy"), expected)


def test_bytes_do_not_depend_on_workers_or_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write_dataset(whole, 6, 1, HEIGHT, WIDTH, workers=1)
    expected = contents(whole)
    write_dataset(tmp_path / "two", 6, 1, HEIGHT, WIDTH, workers=2)
    assert contents(tmp_path / "two") == expected

    def stop_at_four(index: int, *args: object) -> Scene:
        if index == 4:
            raise KeyboardInterrupt
        return render_scene(index, *args)

    with monkeypatch.context() as patch:
        patch.setattr("depthbox.data.synthetic.write.render_scene", stop_at_four)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(parts, 6, 1, HEIGHT, WIDTH)
    assert not (parts / "instances_train.json").exists()
    rendered = []

    def note(index: int, *args: object) -> Scene:
        rendered.append(index)
        return render_scene(index, *args)

    monkeypatch.setattr("depthbox.data.synthetic.write.render_scene", note)
    (parts / "train" / "000001.png").unlink()
    write_dataset(parts, 6, 1, HEIGHT, WIDTH)
    assert contents(parts) == expected and rendered == [1, 4, 5]
    (parts / "depth_train" / "000003.png").unlink()
    write_dataset(parts, 6, 1, HEIGHT, WIDTH)
    assert contents(parts) == expected and rendered == [1, 4, 5, 3]


def test_more_scenes_extend_a_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", 1, 1, HEIGHT, WIDTH)
    write_dataset(tmp_path / "a", 3, 1, HEIGHT, WIDTH)
    write_dataset(tmp_path / "b", 3, 1, HEIGHT, WIDTH)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_dataset_is_not_overwritten(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, 1, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"instances_train\.json belongs to another dataset"):
        write_dataset(tmp_path, 1, 2, HEIGHT, WIDTH)


def test_a_file_without_points_has_the_bytes_of_earlier_versions(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, 2, 3, 32, 48, "val")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "0faafa6684556daf6a6af634e6de09f9660ec58a6ef16306759003c905ec18b6"


@pytest.mark.parametrize("kind", ["random", "center", "biased"])
def test_points_are_added_and_nothing_else_changes(tmp_path: Path, kind: str) -> None:
    plain, pointed = tmp_path / "plain", tmp_path / "pointed"
    write_dataset(plain, 2, 1, HEIGHT, WIDTH)
    path = write_dataset(pointed, 2, 1, HEIGHT, WIDTH, points=kind)
    expected, found = contents(plain), contents(pointed)
    old, new = json.loads(expected.pop("instances_train.json")), json.loads(found.pop("instances_train.json"))
    assert found == expected, "images and depth have the same bytes"
    assert new["info"].pop("points") == kind
    coco = COCO(str(path))
    for annotation in new["annotations"]:
        mask = coco.annToMask(annotation)
        (x, y), labels = annotation.pop("point_coords")[0], annotation.pop("point_labels")
        assert mask[int(y), int(x)] == 1 and (x % 1, y % 1, labels) == (0.5, 0.5, [1])
    assert new == old


def test_points_do_not_depend_on_workers_or_interruptions(tmp_path: Path) -> None:
    write_dataset(tmp_path / "whole", 6, 1, HEIGHT, WIDTH, points="random")
    write_dataset(tmp_path / "two", 6, 1, HEIGHT, WIDTH, workers=2, points="random")
    write_dataset(tmp_path / "grown", 2, 1, HEIGHT, WIDTH, points="random")
    write_dataset(tmp_path / "grown", 6, 1, HEIGHT, WIDTH, points="random")
    assert contents(tmp_path / "whole") == contents(tmp_path / "two") == contents(tmp_path / "grown")
    with pytest.raises(ValueError, match="belongs to another dataset"):
        write_dataset(tmp_path / "whole", 6, 1, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "bad", [{"count": 0}, {"seed": -1}, {"workers": -1}, {"depth_format": "jpg"}, {"points": "middle"}]
)
def test_bad_arguments(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        write_dataset(tmp_path, **{"count": 1, **bad})
