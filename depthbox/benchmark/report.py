"""The tables of summary.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from .comparison import Row

_CUDA_COMMAND = "python tools/benchmark.py --device cuda"
_NOT_MEASURED = "not measured"
LEGEND = """Times are medians, in brackets first and third quartile. Speedup and memory ratio are baseline over ours:
more is better. Memory is what is kept for the backward pass for mask_losses and dynamic_head, else the peak above the
start. "x floor" is our time over that of the least work there is: moving each byte of inputs and results once at the
measured copy bandwidth (bytes), or doing the multiplications at the measured rate of a large matrix product
(operations)."""


def markdown(content: Mapping[str, Any], cuda_names: Sequence[str] = ()) -> str:
    """The content of summary.json as tables.

    Args:
        content: of summary.json.
        cuda_names: ops that have a row for CUDA, to be named even where there is none yet.
    """
    parts = ["# Benchmark", "", *_about(content), "", LEGEND, "", _table(content["rows"], cuda_names)]
    for title, table in (
        ("Inference", _inference(content["rows"])),
        ("Data", _data(content["rows"])),
        ("Cost against the number of objects in an image", _objects(content["objects"])),
        ("Failures", _failures(content["failures"])),
    ):
        parts += ["", f"## {title}", "", table] if table else []
    return "\n".join(parts) + "\n"


def _about(content: Mapping[str, Any]) -> list[str]:
    lines = ["**A quick run: these figures mean nothing.**", ""] if content["quick"] else []
    for device, machine in content["machines"].items():
        speed = f"copies {machine['copy_bandwidth'] / 1e9:.3g} GB/s, matrix products {machine['matrix_rate'] / 1e9:.3g}"
        lines.append(f"- {device}: {machine['name']}, {machine['threads']} threads, {speed} GFLOP/s")
    lines.append("- " + ", ".join(f"{name} {version}" for name, version in content["versions"].items()))
    commits = sorted({row["commit"] for row in content["rows"] if "commit" in row} | {content["commit"]})
    return [*lines, "- commit " + ", ".join(commits)]


def _table(rows: Sequence[Row], cuda_names: Sequence[str]) -> str:
    headers = ("op", "device", "input", "objects", "ours", "baseline", "speedup", "MB ours", "MB baseline", "ratio")
    lines = [_line(row) for row in rows if row["op"] not in ("infer", "data")]
    done = {row["op"] for row in rows if row["device"] == "cuda"}
    for name in cuda_names:
        if name not in done:
            how = f"`{_CUDA_COMMAND} --only {name}`"
            lines.append([name, "cuda", how, "", *[_NOT_MEASURED] * 6, ""])
    return tabulate(lines, (*headers, "x floor"), tablefmt="pipe", disable_numparse=True)


def _line(row: Row) -> list[str]:
    memory = row.get("memory", "peak")
    floors = [f"{row[f'times_floor_{k}']:.3g} ({k})" for k in ("bytes", "operations") if f"times_floor_{k}" in row]
    return [
        row["op"],
        row["device"],
        row.get("input", ""),
        str(row.get("objects", "")),
        _time(row, "ours"),
        _time(row, "baseline") or row.get("note", ""),
        _number(row["speedup"]),
        _number(row.get(f"ours_{memory}_mb")),
        _number(row.get(f"baseline_{memory}_mb")),
        _number(row["memory_ratio"]),
        ", ".join(floors),
    ]


def _inference(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["device"],
            row["option"],
            row["batch"],
            row["input"],
            _number(row.get("images_per_s")) or row.get("note", ""),
            _number(row["speedup"]),
        ]
        for row in rows
        if row["op"] == "infer"
    ]
    headers = ("device", "option", "batch", "input", "images/s", "against plain")
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True) if lines else ""


def _data(rows: Sequence[Row]) -> str:
    names = {
        "images_per_s": "images/s, one core",
        "images_per_s_without_depth": "images/s without depth",
        "share_decode_image": "share of decoding the image",
        "share_depth": "share of depth",
        "share_resize": "share of resizing both",
    }
    lines = [[row["input"], *(_number(row[key]) for key in names)] for row in rows if row["op"] == "data"]
    headers = ("input", *names.values())
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True) if lines else ""


def _objects(points: Sequence[Row]) -> str:
    lines = []
    for point in points:
        both = [
            [str(point[f"{who}_queries"]), _time(point, who), _number(point.get(f"{who}_peak_mb"))]
            for who in ("ours", "baseline")
        ]
        both[1][1] = both[1][1] or point.get("baseline_note", "")
        lines.append([point["device"], point["input"], str(point["objects"]), *both[0], *both[1]])
    columns = [f"{what}, {who}" for who in ("ours", "baseline") for what in ("queries per image", "time", "peak MB")]
    headers = ("device", "input", "objects", *columns)
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True) if lines else ""


def _failures(failures: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(f"- {f['op']} on {f['device']}: {f['error']}" for f in failures)


def _time(row: Row, who: str) -> str:
    if not row.get(f"{who}_s"):
        return ""
    first, third = row[f"{who}_quartiles_s"]
    seconds = row[f"{who}_s"]
    factor, unit = (1000, "ms") if seconds < 1 else (1, "s")
    return f"{seconds * factor:.3g} {unit} ({first * factor:.3g} to {third * factor:.3g})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
