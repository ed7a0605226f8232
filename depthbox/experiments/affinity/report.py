"""The measured pairs as rows of a table, as text and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from .count import Affinity, PairCounts, depth_cutoff

_COLUMNS = (("kept", "kept"), ("purity", "purity"), ("recall", "recall"), ("leak", "leak"), ("border_purity", "border"))
LEGEND = """kept: share of all pairs from a pixel in an object's box to a neighbour that the rule keeps
purity: share of the kept pairs whose pixels have the same label (both in the object's mask, or both not)
recall: share of the same-label pairs that are kept
leak: share of the pairs across the object's border that are kept, wrongly
border: purity among the pairs that start at a pixel with a pair across the border"""


@dataclass(frozen=True)
class AffinityRow:
    """One rule and what it makes of the pairs; a threshold that does not apply is None."""

    name: str
    color_threshold: float | None
    depth_scale: float | None
    depth_threshold: float | None
    depth_cutoff: float | None
    values: Affinity


def affinity_rows(pairs: PairCounts) -> list[AffinityRow]:
    """All pairs, every τ, every κ with every τ_d, and both together, in this order."""
    settings = pairs.settings
    rows = [AffinityRow("all pairs", None, None, None, None, pairs.affinity())]
    for threshold in settings.color_thresholds:
        values = pairs.affinity(threshold)
        rows.append(AffinityRow(f"colour >= {threshold:g}", threshold, None, None, None, values))
    if not pairs.has_depth:
        return rows
    for color in (None, *settings.color_thresholds):
        for low in settings.depth_thresholds:
            for scale in settings.depth_scales:
                cutoff = depth_cutoff(scale, low)
                name = f"S_d > {low:g}, κ = {scale:g}"
                name = name if color is None else f"colour >= {color:g}, {name}"
                rows.append(AffinityRow(name, color, scale, low, cutoff, pairs.affinity(color, cutoff)))
    return rows


def best_cutoff(pairs: PairCounts) -> tuple[float, Affinity]:
    """The |Δd| with the largest recall - leak (Youden's index), and what it makes of the pairs."""
    found = [(cutoff, pairs.affinity(None, cutoff)) for cutoff in pairs.settings.depth_cutoffs]
    return max(found, key=lambda item: _or_zero(item[1].recall - item[1].leak))


def terminal_table(pairs: PairCounts) -> str:
    """A table of at most 80 columns; of both together only the rows of the middle τ and τ_d."""
    rows = [row for row in affinity_rows(pairs) if not _is_joint(row) or _is_middle(row, pairs)]
    lines = [f"{'rule':<34}" + "".join(f"{title:>9}" for _, title in _COLUMNS)]
    for row in rows:
        lines.append(f"{row.name:<34}" + "".join(f"{_percent(row.values, field):>9}" for field, _ in _COLUMNS))
    return "\n".join(lines)


def markdown(pairs: PairCounts, data: str) -> str:
    """The whole table with its legend.

    Args:
        pairs: what was counted.
        data: a line on what it was counted on.
    """
    lines = ["# How well alike neighbours share a label", "", f"{data}: {summary(pairs)}.", ""]
    lines += [f"- {line}" for line in LEGEND.splitlines()]
    lines += ["", "All figures in percent; κ and τ_d together mean one cutoff, |Δd| < -ln(τ_d) / κ.", ""]
    lines += ["| rule | cutoff of \\|Δd\\| |" + "".join(f" {title} |" for _, title in _COLUMNS)]
    lines += ["| --- | ---: |" + " ---: |" * len(_COLUMNS)]
    for row in affinity_rows(pairs):
        cutoff = "" if row.depth_cutoff is None else f"{row.depth_cutoff:.4g}"
        figures = "".join(f" {_percent(row.values, field)} |" for field, _ in _COLUMNS)
        lines.append(f"| {row.name} | {cutoff} |{figures}")
    if pairs.has_depth:
        lines += ["", separation(pairs)]
    return "\n".join(lines) + "\n"


def summary(pairs: PairCounts) -> str:
    """How much was counted, in words."""
    total = int(pairs.kept().sum())
    return f"{pairs.images} images, {pairs.objects} objects, {total} pairs, {100 * pairs.affinity().purity:.2f} % pure"


def separation(pairs: PairCounts) -> str:
    """A sentence on the cutoff that separates best."""
    cutoff, values = best_cutoff(pairs)
    scale = -math.log(0.5) / cutoff
    return (
        f"Recall minus leak is largest at |Δd| < {cutoff:.4g} (κ = {scale:.3g} with τ_d = 0.5): "
        f"recall {100 * values.recall:.1f} %, leak {100 * values.leak:.1f} %."
    )


def as_json(pairs: PairCounts, data: dict[str, Any]) -> bytes:
    """Everything, curves included; a share of nothing is null.

    Args:
        pairs: what was counted.
        data: what it was counted on.
    """
    settings = pairs.settings
    content: dict[str, Any] = {
        "data": {**data, "images": pairs.images, "objects": pairs.objects, "pairs": int(pairs.kept().sum())},
        "settings": asdict(settings),
        "rows": [{**asdict(row), "values": _plain(row.values)} for row in affinity_rows(pairs)],
        "color_curve": [{"threshold": t, **_plain(pairs.affinity(t))} for t in settings.color_levels],
    }
    if pairs.has_depth:
        cutoffs = settings.depth_cutoffs
        content["depth_curve"] = [{"cutoff": c, **_plain(pairs.affinity(None, c))} for c in cutoffs]
        content["best_cutoff"] = best_cutoff(pairs)[0]
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def middle(values: tuple[float, ...]) -> float:
    """The middle one of some thresholds, the lower of two."""
    return sorted(values)[(len(values) - 1) // 2]


def _is_joint(row: AffinityRow) -> bool:
    return row.color_threshold is not None and row.depth_scale is not None


def _is_middle(row: AffinityRow, pairs: PairCounts) -> bool:
    color, depth = middle(pairs.settings.color_thresholds), middle(pairs.settings.depth_thresholds)
    return row.color_threshold == color and row.depth_threshold == depth


def _plain(values: Affinity) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 6) for name, value in asdict(values).items()}


def _percent(values: Affinity, field: str) -> str:
    value = getattr(values, field)
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
