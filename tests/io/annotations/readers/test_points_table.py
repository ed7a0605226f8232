"""CSV tables of points: image, x, y, class."""

import pytest
from reader_toy import files_of, rules_of, save_image, write_text

from depthbox.io.annotations.detect import find_format, read_raw, splits_of
from depthbox.io.annotations.readers.points_table import is_points_table, read_points_table
from depthbox.io.annotations.records import AnnotationError

ROWS = "image,x,y,class\n000.png,10.5,20,b\n001.png,3,4,a\n000.png,30,40.25,a\n"


def write(folder, text=ROWS, name="points.csv", files=("000.png", "001.png")):
    for file in files:
        save_image(folder / "images" / file)
    return write_text(folder / name, text)


def points_of(raw):
    """Return (file, class, points) of each object."""
    names = {category["id"]: category["name"] for category in raw.content["categories"]}
    files = {image["id"]: image["file_name"] for image in raw.content["images"]}
    return [
        (files[entry["image_id"]], names[entry["category_id"]], entry["point_coords"])
        for entry in raw.content["annotations"]
    ]


def test_each_line_is_an_object(tmp_path):
    file = write(tmp_path)
    for source, images in ((file, None), (tmp_path, None), (file, tmp_path / "images")):
        assert find_format(source) == "points"
        raw = read_raw(source, images)
        assert points_of(raw) == [
            ("000.png", "b", [[10.5, 20]]),
            ("000.png", "a", [[30, 40.25]]),
            ("001.png", "a", [[3, 4]]),
        ]
        assert raw.kind == "points" and raw.image_root == tmp_path / "images" and not raw.notes
    assert raw.content["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    entry = raw.content["annotations"][0]
    assert "bbox" not in entry and entry["point_labels"] == [1] and entry["area"] == 0
    assert splits_of(file) == splits_of(tmp_path) == ()


@pytest.mark.parametrize(
    "text",
    [
        "filename,x,y,label\n000.png,10.5,20,b\n",
        "File;X_coord;Y_coord;Category\n000.png;10,5;20;b\n",
        '"id"\t"img"\t"col"\t"row"\t"class"\n1\t"000.png"\t10.5\t20\tb\n',
        "\ufeffimage, x, y, class \n 000.png , 10.5 , 20 , b \n\n",
        "class,y,x,image\nb,20,10.5,000\n",
    ],
    ids=["other names", "semicolons and decimal commas", "tabs and more columns", "blanks", "another order"],
)
def test_columns_are_found_by_their_names(tmp_path, text):
    raw = read_points_table(write(tmp_path, text))
    assert points_of(raw) == [("000.png", "b", [[10.5, 20]])]
    assert rules_of(raw) == ({"decimal_comma": 1} if "10,5" in text else {})


def test_without_a_column_of_classes_there_is_one_class(tmp_path):
    raw = read_points_table(write(tmp_path, "image,x,y\n000.png,1,2\n"))
    assert points_of(raw) == [("000.png", "object", [[1, 2]])]


def test_a_line_without_coordinates_lists_an_image_without_objects(tmp_path):
    raw = read_points_table(write(tmp_path, "image,x,y,class\n000.png,1,2,a\n001.png,,,\n"))
    assert files_of(raw) == ["000.png", "001.png"] and len(points_of(raw)) == 1 and not raw.notes


def test_images_that_do_not_exist_and_objects_without_class_are_noted(tmp_path):
    raw = read_points_table(write(tmp_path, ROWS + "gone.png,1,2,a\n001.png,5,6,\n"))
    assert len(points_of(raw)) == 3
    assert rules_of(raw) == {"object_without_class": 1, "annotation_without_image": 1}


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("000.png,abc,2,a", "x is 'abc', not a number"),
        ("000.png,1,,a", "y is '', not a number"),
        ("000.png,nan,2,a", "x is 'nan', not a number"),
        ("000.png,1,1e300,a", "y is '1e300', not a number"),
        ("000.png,1", "y is '', not a number"),
        (",1,2,a", "the name of the image is empty"),
    ],
)
def test_a_bad_line_is_an_error_with_file_and_line(tmp_path, row, cause):
    with pytest.raises(AnnotationError, match=rf"points\.csv, line 5: {cause}.*; correct this line"):
        read_points_table(write(tmp_path, ROWS + row + "\n"))


@pytest.mark.parametrize(
    "header",
    ["image,x,class", "x,y,class", "image,x,y,w,h,class", "image,x,y,width,height", "path,x1,y1,x2,y2,class", ""],
)
def test_other_tables_are_not_points(tmp_path, header):
    file = write(tmp_path, header + "\n000.png,1,2,3,4,a\n")
    assert not is_points_table(file)
    with pytest.raises(AnnotationError, match=r"nor of points \(image, x, y, class\)"):
        find_format(file)
    with pytest.raises(AnnotationError, match="correct its first line"):
        read_points_table(file)


def test_tables_of_boxes_keep_their_format(tmp_path):
    table = "filename,width,height,class,xmin,ymin,xmax,ymax,x,y\n000.png,96,64,a,1,2,30,40,1,2\n"
    assert find_format(write(tmp_path, table)) == "voc"
    shares = "ImageID,LabelName,XMin,XMax,YMin,YMax,image,x,y\n000,a,0,0.5,0,0.5,000,1,2\n"
    assert find_format(write(tmp_path, shares)) == "openimages"


def test_splits_are_files_or_folders(tmp_path):
    write(tmp_path / "files", ROWS, "train.csv")
    write(tmp_path / "files", "image,x,y,class\n001.png,3,4,z\n", "val.csv")
    for split in ("train", "valid"):
        save_image(tmp_path / "folders" / split / "images" / f"{split}.png")
        write_text(tmp_path / "folders" / split / "p.tsv", f"image\tx\ty\n{split}.png\t1\t2\n")
    for source, count in ((tmp_path / "files", 3), (tmp_path / "folders", 1)):
        assert find_format(source) == "points" and splits_of(source) == ("train", "val")
        train, val = (read_raw(source, split=split) for split in ("train", "val"))
        assert (len(points_of(train)), len(points_of(val))) == (count, 1)
        assert train.content["categories"] == val.content["categories"]
        assert read_raw(source, split="test") is None
    assert [entry["name"] for entry in read_raw(tmp_path / "files").content["categories"]] == ["a", "b", "z"]


def test_several_tables_without_splits_are_refused(tmp_path):
    for name in ("first.csv", "second.csv"):
        write(tmp_path, ROWS, name)
    with pytest.raises(AnnotationError, match=r"2 tables of points \(first.csv, second.csv\); give one \.csv file"):
        find_format(tmp_path)
    with pytest.raises(AnnotationError, match="no table of points"):
        read_points_table(tmp_path / "images")
