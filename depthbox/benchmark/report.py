"""Tables of summary.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from .comparison import Row

_CUDA_COMMAND = "python tools/benchmark.py --device cuda"
_NOT_MEASURED = "not measured"
LEGEND = """Times are medians, with first and third quartile in brackets. Speedup and memory ratio are baseline over
ours: higher is better. Memory is that kept for the backward pass (mask_losses, dynamic_head) or the peak above the
start (all other rows). "x floor" is our time over a lower bound: moving each byte of inputs and results once at the
measured copy bandwidth (bytes), or the multiplications at the measured rate of a large matrix product (operations)."""


def format_markdown(content: Mapping[str, Any], cuda_names: Sequence[str] = ()) -> str:
    """Format the content of summary.json as Markdown tables.

    Args:
        content: content of summary.json.
        cuda_names: ops with a row for CUDA; those that were not measured get a row with the command for it.
    """
    parts = ["# Benchmark", "", *_describe_run(content), "", LEGEND, "", _format_rows(content["rows"], cuda_names)]
    for title, table in (
        ("Inference", _format_inference(content["rows"])),
        ("Data", _format_data(content["rows"])),
        ("Cost over the number of objects per image", _format_objects(content["objects"])),
        ("Failures", _format_failures(content["failures"])),
    ):
        parts += ["", f"## {title}", "", table] if table else []
    return "\n".join(parts) + "\n"


def _describe_run(content: Mapping[str, Any]) -> list[str]:
    lines = ["**Quick run: these values are meaningless.**", ""] if content["quick"] else []
    for device, machine in content["machines"].items():
        speed = f"copies {machine['copy_bandwidth'] / 1e9:.3g} GB/s, matrix products {machine['matrix_rate'] / 1e9:.3g}"
        lines.append(f"- {device}: {machine['name']}, {machine['threads']} threads, {speed} GFLOP/s")
    lines.append("- " + ", ".join(f"{name} {version}" for name, version in content["versions"].items()))
    commits = sorted({row["commit"] for row in content["rows"] if "commit" in row} | {content["commit"]})
    return [*lines, "- commit " + ", ".join(commits)]


def _format_rows(rows: Sequence[Row], cuda_names: Sequence[str]) -> str:
    headers = ("op", "device", "input", "objects", "ours", "baseline", "speedup", "MB ours", "MB baseline", "ratio")
    lines = [_format_row(row) for row in rows if row["op"] not in ("infer", "data")]
    done = {row["op"] for row in rows if row["device"] == "cuda"}
    for name in cuda_names:
        if name not in done:
            how = f"`{_CUDA_COMMAND} --only {name}`"
            lines.append([name, "cuda", how, "", *[_NOT_MEASURED] * 6, ""])
    return tabulate(lines, (*headers, "x floor"), tablefmt="pipe", disable_numparse=True)


def _format_row(row: Row) -> list[str]:
    memory = row.get("memory", "peak")
    floors = [f"{row[f'times_floor_{k}']:.3g} ({k})" for k in ("bytes", "operations") if f"times_floor_{k}" in row]
    return [
        row["op"],
        row["device"],
        row.get("input", ""),
        str(row.get("objects", "")),
        _format_time(row, "ours"),
        _format_time(row, "baseline") or row.get("note", ""),
        _format_number(row["speedup"]),
        _format_number(row.get(f"ours_{memory}_mb")),
        _format_number(row.get(f"baseline_{memory}_mb")),
        _format_number(row["memory_ratio"]),
        ", ".join(floors),
    ]


def _format_inference(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["device"],
            row["option"],
            row["batch"],
            row["input"],
            _format_number(row.get("images_per_s")) or row.get("note", ""),
            _format_number(row["speedup"]),
        ]
        for row in rows
        if row["op"] == "infer"
    ]
    headers = ("device", "option", "batch", "input", "images/s", "speedup over plain")
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True) if lines else ""


def _format_data(rows: Sequence[Row]) -> str:
    names = {
        "images_per_s": "images/s, one core",
        "images_per_s_without_depth": "images/s without depth",
        "share_decode_image": "share of decoding the image",
        "share_depth": "share of depth",
        "share_resize": "share of resizing both",
    }
    lines = [[row["input"], *(_format_number(row[key]) for key in names)] for row in rows if row["op"] == "data"]
    headers = ("input", *names.values())
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True) if lines else ""


def _format_objects(points: Sequence[Row]) -> str:
    lines = []
    for point in points:
        both = [
            [str(point[f"{who}_queries"]), _format_time(point, who), _format_number(point.get(f"{who}_peak_mb"))]
            for who in ("ours", "baseline")
        ]
        both[1][1] = both[1][1] or point.get("baseline_note", "")
        lines.append([point["device"], point["input"], str(point["objects"]), *both[0], *both[1]])
    columns = [f"{name}, {who}" for who in ("ours", "baseline") for name in ("queries per image", "time", "peak MB")]
    headers = ("device", "input", "objects", *columns)
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True) if lines else ""


def _format_failures(failures: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(f"- {f['op']} on {f['device']}: {f['error']}" for f in failures)


def _format_time(row: Row, who: str) -> str:
    if not row.get(f"{who}_s"):
        return ""
    first, third = row[f"{who}_quartiles_s"]
    seconds = row[f"{who}_s"]
    factor, unit = (1000, "ms") if seconds < 1 else (1, "s")
    return f"{seconds * factor:.3g} {unit} ({first * factor:.3g} to {third * factor:.3g})"


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
