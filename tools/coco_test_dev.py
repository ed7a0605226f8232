#!/usr/bin/env python3
"""Check predictions on COCO test-dev2017 and pack them into the zip file for COCO's evaluation server."""

from __future__ import annotations

import argparse
import json
import math
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from depthbox.cli.main import add_debug, run_tool
from depthbox.io.files import atomic_open

NAME = "detections_test-dev2017_depthbox_results"
MAX_DETECTIONS = 100
EPILOG = """
example:
  tools/train_net.py --config-file FILE --eval-only MODEL.WEIGHTS model_final.pth \\
      DATASETS.TEST "('coco_2017_test-dev',)" OUTPUT_DIR output/mine
  tools/coco_test_dev.py output/mine/inference/coco_2017_test-dev/coco_instances_results.json --output output/mine

The file detections_test-dev2017_depthbox_results.zip in DIR contains a JSON file of the same name. Boxes are left out,
so the server measures the size of an object on its mask.
"""


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse a command line; None = that of this process."""
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
    add_debug(parser)
    return parser.parse_args(argv)


class PackedResults(NamedTuple):
    """Zip file for the server.

    Attributes:
        path: zip file.
        predictions: number of predictions.
        predicted_images: number of images with predictions.
        images: number of all test images.
    """

    path: Path
    predictions: int
    predicted_images: int
    images: int


def pack(results: Path, info: Path, output: Path) -> PackedResults:
    """Check the predictions and write the zip file.

    Args:
        results: JSON list of predictions with image_id, category_id, score and segmentation (RLE).
        info: JSON file with ``images`` and ``categories``.
        output: folder of the zip file.

    Raises:
        ValueError: a file has other content, or the server would refuse or misread the predictions.
        FileNotFoundError: a file is missing.
    """
    test = _read(info)
    if not (isinstance(test, dict) and test.get("images") and test.get("categories")):
        raise ValueError(f"{info} has no 'images' and 'categories'; it must be image_info_test-dev2017.json")
    sizes = {image["id"]: [image["height"], image["width"]] for image in test["images"]}
    categories = {category["id"] for category in test["categories"]}
    given = _read(results)
    if not isinstance(given, list) or not given:
        raise ValueError(f"{results} holds no predictions")
    predictions = [_check(row, f"{results}, prediction {i}", sizes, categories) for i, row in enumerate(given)]
    counts = Counter(prediction["image_id"] for prediction in predictions)
    image, most = counts.most_common(1)[0]
    if most > MAX_DETECTIONS:
        raise ValueError(f"{results}: image {image} has {most} predictions; set TEST.DETECTIONS_PER_IMAGE 100")
    target = output / f"{NAME}.zip"
    with atomic_open(target, tidy=True) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.json", json.dumps(predictions))
    return PackedResults(target, len(predictions), len(counts), len(sizes))


def _check(row: Any, where: str, sizes: dict[int, list[int]], categories: set[int]) -> dict[str, Any]:
    """Check one prediction and return it without its box."""
    if not isinstance(row, dict) or not {"image_id", "category_id", "score", "segmentation"} <= row.keys():
        raise ValueError(f"{where}: image_id, category_id, score or segmentation is missing")
    if row["image_id"] not in sizes:
        raise ValueError(f"{where}: image {row['image_id']} is not in test-dev; evaluate on coco_2017_test-dev")
    if row["category_id"] not in categories:
        raise ValueError(f"{where}: COCO has no category {row['category_id']}")
    if not isinstance(row["score"], int | float) or not math.isfinite(row["score"]):
        raise ValueError(f"{where}: the score is {row['score']}")
    if not isinstance(row["segmentation"], dict) or not {"size", "counts"} <= row["segmentation"].keys():
        raise ValueError(f"{where}: the segmentation is not an RLE with size and counts")
    if row["segmentation"]["size"] != sizes[row["image_id"]]:
        raise ValueError(
            f"{where}: the mask has {row['segmentation']['size']} pixels, the image {sizes[row['image_id']]}; "
            "predict at the size of the original image"
        )
    return {key: row[key] for key in ("image_id", "category_id", "segmentation", "score")}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def main(argv: list[str] | None = None) -> None:
    """Pack the predictions of the command line."""
    arguments = parse_arguments(argv)
    packed = pack(arguments.results, arguments.info, arguments.output)
    print(f"{packed.path}: {packed.predictions} predictions on {packed.predicted_images} of {packed.images} images")


if __name__ == "__main__":
    sys.exit(run_tool(main))
