#!/usr/bin/env python
"""Write the synthetic dataset as COCO data with pseudo depth; run the tool again to finish or extend it."""

from __future__ import annotations

import argparse

from depthbox.data.synthetic.write import write_dataset


def main() -> None:
    """Parse the command line and write each split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output", default="datasets/synthetic", help="folder to write to")
    parser.add_argument("--split", nargs="+", default=["train", "val"], help="names of the splits")
    parser.add_argument(
        "--count",
        nargs="+",
        type=int,
        default=[2000, 200],
        help="number of images of each split, or one number for all",
    )
    parser.add_argument("--seed", type=int, default=0, help="any integer >= 0; splits never share scenes")
    parser.add_argument("--height", type=int, default=240, help="image height in pixels")
    parser.add_argument("--width", type=int, default=320, help="image width in pixels")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--depth-format", choices=["png", "npy"], default="png", help="file format of the depth")
    args = parser.parse_args()
    counts = args.count * len(args.split) if len(args.count) == 1 else args.count
    if len(counts) != len(args.split):
        parser.error(f"--count: give one number for all splits or one for each of {args.split}, not {args.count}")
    for split, count in zip(args.split, counts, strict=True):
        try:
            path = write_dataset(
                args.output,
                count,
                args.seed,
                args.height,
                args.width,
                split,
                args.workers,
                args.depth_format,
                progress=True,
            )
        except ValueError as error:
            parser.error(str(error))
        print(path)


if __name__ == "__main__":
    main()
