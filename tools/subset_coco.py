#!/usr/bin/env python
"""Write a COCO JSON file with a few images of a dataset: to try a config, or to overfit on purpose."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depthbox.cli.main import add_debug, run_tool
from depthbox.io.annotations.canonical import canonicalize, repaired_coco, write_coco
from depthbox.io.annotations.detect import read_annotation_file
from depthbox.io.annotations.records import CocoContent


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: subset_coco.py instances_train.json --count 16 --output tiny16.json"
    )
    parser.add_argument("data", type=Path, metavar="JSON", help="annotations of the dataset, COCO or another format")
    parser.add_argument("--count", type=int, required=True, help="number of images to keep: those with the lowest ids")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    add_debug(parser)
    return parser.parse_args(arguments)


def read_subset(data: Path, count: int) -> CocoContent:
    """Return the COCO content of the first images in the order of their ids, with the annotations of these images.

    Raises:
        ValueError: the annotations cannot be read, or have fewer images.
    """
    content = repaired_coco(canonicalize(read_annotation_file(str(data)), check_files=False))
    if not 1 <= count <= len(content["images"]):
        raise ValueError(f"{data} has {len(content['images'])} images: --count {count} is out of range")
    images = content["images"][:count]
    kept = {image["id"] for image in images}
    annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in kept]
    return {**content, "images": images, "annotations": annotations}


def main(arguments: list[str] | None = None) -> int:
    """Write the subset; return the exit status.

    Raises:
        ValueError, OSError: see ``read_subset``, or the file cannot be written.
    """
    args = parse_arguments(arguments)
    content = read_subset(args.data, args.count)
    write_coco(content, args.output)
    print(f"{args.output}: {len(content['images'])} images, {len(content['annotations'])} annotations")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
