"""Write a COCO JSON file with a few images of another one, for a trial run or deliberate overfitting."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from depthbox.io.files import atomic_open


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line (None: that of this process)."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: subset_coco.py instances_train.json --count 16 --output tiny16.json"
    )
    parser.add_argument("json", type=Path, help="COCO JSON file")
    parser.add_argument("--count", type=int, required=True, help="number of images to keep, those with the lowest ids")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Write the subset; returns the exit status."""
    args = parse_arguments(arguments)
    try:
        data = json.loads(args.json.read_text())
        images = sorted(data["images"], key=lambda image: image["id"])[: args.count]
        kept = {image["id"] for image in images}
        annotations = [a for a in data["annotations"] if a["image_id"] in kept]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"error: {args.json} is not a COCO JSON file with images and annotations: {error!r}", file=sys.stderr)
        return 2
    if args.count < 1 or len(images) < args.count:
        print(f"error: {args.json} has {len(data['images'])} images, --count asks for {args.count}", file=sys.stderr)
        return 2
    try:
        with atomic_open(args.output) as file:
            file.write(json.dumps({**data, "images": images, "annotations": annotations}).encode())
    except OSError as error:
        print(f"error: {args.output} cannot be written: {error}", file=sys.stderr)
        return 2
    print(f"{args.output}: {len(images)} images, {len(annotations)} annotations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
