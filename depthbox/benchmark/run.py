"""Registry of the benchmarks, and one run of the selected ones."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from .comparison import Comparison, Options, Row, run_comparison
from .measure import copy_bandwidth, matrix_rate
from .rows import affinity, data, detector, evaluation, network, objects, ops, paste
from .summary import Summary, format_row

PARTS = ("ops", "train", "infer", "data", "eval")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the command line.

    Attributes:
        part: part of the command line that it belongs to.
        make: function that yields comparisons or finished rows.
        on_cuda: True if it has a row for CUDA.
        is_curve: True if its rows are points of the plot, not rows of the table.
    """

    part: str
    make: Callable[[Options], Iterable[Comparison | Row]]
    on_cuda: bool = True
    is_curve: bool = False


BENCHMARKS: dict[str, Benchmark] = {
    "mask_losses": Benchmark("ops", ops.mask_losses),
    "dynamic_head": Benchmark("ops", ops.dynamic_head),
    "edges": Benchmark("ops", ops.edges),
    "targets": Benchmark("ops", detector.targets),
    "paste": Benchmark("ops", paste.paste),
    "affinity": Benchmark("ops", affinity.affinity),
    "objects": Benchmark("ops", objects.measure_objects, is_curve=True),
    "train_step": Benchmark("train", network.train_step),
    "infer": Benchmark("infer", network.infer),
    "data": Benchmark("data", data.data, on_cuda=False),
    "evaluation_boxes": Benchmark("eval", evaluation.evaluation_boxes, on_cuda=False),
    "evaluation_masks": Benchmark("eval", evaluation.evaluation_masks, on_cuda=False),
}
CUDA_NAMES = tuple(name for name, b in BENCHMARKS.items() if b.on_cuda and not b.is_curve)


def find_devices(word: str) -> list[torch.device]:
    """Return the devices of "cpu", "cuda" or "auto" (the CPU, and CUDA if available).

    Raises:
        ValueError: CUDA is requested but not available.
    """
    has_cuda = torch.cuda.is_available()
    if word == "cuda" and not has_cuda:
        raise ValueError("--device cuda, but PyTorch finds no CUDA device: use --device cpu")
    names = {"cpu": ["cpu"], "cuda": ["cuda"], "auto": ["cpu", "cuda"] if has_cuda else ["cpu"]}
    return [torch.device(name) for name in names[word]]


def select(parts: Sequence[str], only: Sequence[str]) -> list[str]:
    """Select the names to run; without parts all parts, without names all names of the parts.

    Raises:
        ValueError: a name is unknown or does not belong to the parts.
    """
    names = [name for name, benchmark in BENCHMARKS.items() if not parts or benchmark.part in parts]
    wrong = [name for name in only if name not in names]
    if wrong:
        raise ValueError(
            f"--only {' '.join(wrong)}: the rows of {' '.join(parts) or 'all parts'} are {' '.join(names)}"
        )
    return [name for name in names if name in only] if only else names


def run_benchmarks(names: Sequence[str], options: Sequence[Options], output: Path, show: bool = True) -> Summary:
    """Run the benchmarks on each device; the summary is written after every row, the plots at the end.

    A row that fails is added to the failures of the summary, and the other rows are measured.

    Args:
        names: names of ``BENCHMARKS``.
        options: options of each device.
        output: folder of summary.json, summary.md and the plots; earlier rows of other names or devices are kept.
        show: print a progress bar and one line per row.
    """
    summary = Summary.open(output, quick=options[0].quick, cuda_names=CUDA_NAMES)
    work = [(o, name) for o in options for name in names if o.device.type == "cpu" or BENCHMARKS[name].on_cuda]
    logging.getLogger("depthbox.data.mapper").setLevel(logging.WARNING)
    try:
        with tqdm(work, unit="op", disable=not show) as bar:
            for each, name in bar:
                bar.set_description(f"{name} on {each.device.type}")
                summary.note_machine(each.device, copy_bandwidth, matrix_rate)
                for row in _measure_rows(name, each, summary):
                    if show:
                        tqdm.write(format_row(row))
                    summary.write()
    finally:
        summary.write()
        summary.draw()
    return summary


def _measure_rows(name: str, options: Options, summary: Summary) -> Iterator[Row]:
    """Measure one benchmark; each row is added to the summary before it is yielded."""
    benchmark = BENCHMARKS[name]
    summary.forget(name, options.device.type, benchmark.is_curve)
    try:
        for item in benchmark.make(options):
            row = run_comparison(item, options) if isinstance(item, Comparison) else item
            (summary.add_point if benchmark.is_curve else summary.add)(row)
            gc.collect()
            yield row
    except Exception as error:  # a failing op must not cost the measurements of the other ops
        summary.fail(name, options.device.type, error)
        yield {"op": name, "device": options.device.type, "note": f"FAILED: {error}"}
