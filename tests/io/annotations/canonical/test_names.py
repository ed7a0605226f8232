"""Files of all images together."""

from pathlib import Path

from coco_toy import write_images

from depthbox.io.annotations.canonical.names import ResolvedName, resolve_names


def resolve(root: Path, *names: str) -> dict[str, tuple[str, str]]:
    return {name: (found.file, found.state) for name, found in resolve_names(names, root, True).items()}


def test_names_are_exact_respelled_moved_missing_or_outside(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png", "b.PNG", "day/c.png"])
    assert resolve(tmp_path, "a.png", "b.png", "c.png", ".\\d.png", "../e.png", "/f.png") == {
        "a.png": ("a.png", "exact"),
        "b.png": ("b.PNG", "respelled"),
        "c.png": ("day/c.png", "moved"),
        ".\\d.png": ("d.png", "missing"),
        "../e.png": ("", "outside"),
        "/f.png": ("", "outside"),
    }


def test_a_missing_image_does_not_take_the_file_of_another_one(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    assert resolve(tmp_path, "b/a.png", "a.png") == {"b/a.png": ("b/a.png", "missing"), "a.png": ("a.png", "exact")}
    assert resolve(tmp_path, "A.png", "a.png")["A.png"] == ("A.png", "missing")


def test_images_of_several_folders_do_not_share_a_file(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    assert resolve(tmp_path, "a/1.png", "b/1.png") == {
        "a/1.png": ("a/1.png", "missing"),
        "b/1.png": ("b/1.png", "missing"),
    }


def test_two_spellings_of_one_file_share_it(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png"])
    assert resolve(tmp_path, "x/a.png", "x\\a.png") == {"x/a.png": ("a.png", "moved"), "x\\a.png": ("a.png", "moved")}


def test_without_a_look_at_files_names_are_normalized_only() -> None:
    found = resolve_names(["a.png", "b\\a.png", "../a.png"], Path("none"), False)
    assert found == {
        "a.png": ResolvedName("a.png", "exact"),
        "b\\a.png": ResolvedName("b/a.png", "respelled"),
        "../a.png": ResolvedName("", "outside"),
    }
