#!/usr/bin/env python3
"""Pack predictions on COCO test-dev2017 into the zip file that COCO's evaluation server takes, after checking them."""

from __future__ import annotations

import argparse
import json
import math
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from depthbox.io.files import atomic_open

NAME = "detections_test-dev2017_depthbox_results"
MAX_DETECTIONS = 100
EPILOG = """
example:
  tools/train_net.py --config-file FILE --eval-only MODEL.WEIGHTS model_final.pth \\
      DATASETS.TEST "('coco_2017_test-dev',)" OUTPUT_DIR output/mine
  tools/coco_test_dev.py output/mine/inference/coco_2017_test-dev/coco_instances_results.json --output output/mine

DIR gets detections_test-dev2017_depthbox_results.zip, with a json of the same name. Boxes are left out, so that the
server takes an object's size from its mask.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` None means that of this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="coco_instances_results.json of an evaluation")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the zip file")
    parser.add_argument(
        "--info",
        type=Path,
        default=Path("datasets/coco/annotations/image_info_test-dev2017.json"),
        metavar="FILE",
        help="COCO's list of the test images (default %(default)s)",
    )
    return parser.parse_args(argv)


def pack(results: Path, info: Path, output: Path) -> tuple[Path, int, int, int]:
    """Check the predictions and write the zip file.

    Args:
        results: rows with image_id, category_id, score and segmentation (RLE).
        info: json with ``images`` and ``categories``.
        output: folder.

    Returns:
        The zip file; the numbers of predictions, of images that have some, and of all images.

    Raises:
        ValueError: a file is no such json, or the server would refuse or misread the predictions.
        FileNotFoundError: a file is missing.
    """
    test = _read(info)
    if not (isinstance(test, dict) and test.get("images") and test.get("categories")):
        raise ValueError(f"{info} has no 'images' and 'categories'; it must be image_info_test-dev2017.json")
    sizes = {image["id"]: [image["height"], image["width"]] for image in test["images"]}
    categories = {category["id"] for category in test["categories"]}
    found = _read(results)
    if not isinstance(found, list) or not found:
        raise ValueError(f"{results} holds no predictions")
    rows = [_checked(row, f"{results}, row {number}", sizes, categories) for number, row in enumerate(found)]
    counts = Counter(row["image_id"] for row in rows)
    image, most = counts.most_common(1)[0]
    if most > MAX_DETECTIONS:
        raise ValueError(f"{results}: image {image} has {most} predictions; set TEST.DETECTIONS_PER_IMAGE 100")
    target = output / f"{NAME}.zip"
    with atomic_open(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.json", json.dumps(rows))
    return target, len(rows), len(counts), len(sizes)


def _checked(row: Any, where: str, sizes: dict[int, list[int]], categories: set[int]) -> dict[str, Any]:
    """The row without its box."""
    if not isinstance(row, dict) or not {"image_id", "category_id", "score", "segmentation"} <= row.keys():
        raise ValueError(f"{where}: image_id, category_id, score or segmentation is missing")
    if row["image_id"] not in sizes:
        raise ValueError(f"{where}: image {row['image_id']} is not of test-dev; evaluate on coco_2017_test-dev")
    if row["category_id"] not in categories:
        raise ValueError(f"{where}: COCO has no category {row['category_id']}")
    if not math.isfinite(row["score"]):
        raise ValueError(f"{where}: the score is {row['score']}")
    if row["segmentation"]["size"] != sizes[row["image_id"]]:
        raise ValueError(
            f"{where}: the mask is of {row['segmentation']['size']} pixels, the image of {sizes[row['image_id']]}"
        )
    return {key: row[key] for key in ("image_id", "category_id", "segmentation", "score")}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no valid JSON: {error}") from error


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says."""
    arguments = parse_arguments(argv)
    target, count, predicted, images = pack(arguments.results, arguments.info, arguments.output)
    print(f"{target}: {count} predictions on {predicted} of {images} images")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
