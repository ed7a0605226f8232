"""Report of the affinity analysis: a table as text, Markdown and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from .count import Affinity, PairCounts, depth_cutoff

_COLUMNS = (("kept", "kept"), ("purity", "purity"), ("recall", "recall"), ("leak", "leak"), ("border_purity", "border"))
LEGEND = """kept: share of all pairs, from a pixel in an object's box to a neighbor, that the rule keeps
purity: share of the kept pairs whose pixels have the same label (both inside or both outside the object's mask)
recall: share of the same-label pairs that are kept
leak: share of the pairs across the object's border that are kept (errors)
border: purity among the pairs that start at a pixel with a pair across the border"""


@dataclass(frozen=True)
class AffinityRow:
    """One rule with its statistics; a threshold that the rule does not use is None."""

    name: str
    color_threshold: float | None
    depth_scale: float | None
    depth_threshold: float | None
    depth_cutoff: float | None
    values: Affinity


def evaluate_rules(pairs: PairCounts) -> list[AffinityRow]:
    """Evaluate all rules: all pairs, each τ, each κ with each τ_d, and all combinations, in this order."""
    settings = pairs.settings
    rows = [AffinityRow("all pairs", None, None, None, None, pairs.affinity())]
    for threshold in settings.color_thresholds:
        values = pairs.affinity(threshold)
        rows.append(AffinityRow(f"color >= {threshold:g}", threshold, None, None, None, values))
    if not pairs.has_depth:
        return rows
    for color in (None, *settings.color_thresholds):
        for low in settings.depth_thresholds:
            for scale in settings.depth_scales:
                cutoff = depth_cutoff(scale, low)
                name = f"S_d > {low:g}, κ = {scale:g}"
                name = name if color is None else f"color >= {color:g}, {name}"
                rows.append(AffinityRow(name, color, scale, low, cutoff, pairs.affinity(color, cutoff)))
    return rows


def best_cutoff(pairs: PairCounts) -> tuple[float, Affinity]:
    """Find the |Δd| with the largest recall - leak (Youden's index), and its statistics."""
    found = [(cutoff, pairs.affinity(None, cutoff)) for cutoff in pairs.settings.depth_cutoffs]
    return max(found, key=lambda item: _or_zero(item[1].recall - item[1].leak))


def format_table(pairs: PairCounts) -> str:
    """Format a table of at most 80 characters per line; combinations are limited to the middle τ and τ_d."""
    rows = [row for row in evaluate_rules(pairs) if not _is_joint(row) or _is_middle(row, pairs)]
    lines = [f"{'rule':<34}" + "".join(f"{title:>9}" for _, title in _COLUMNS)]
    for row in rows:
        lines.append(f"{row.name:<34}" + "".join(f"{_percent(row.values, field):>9}" for field, _ in _COLUMNS))
    return "\n".join(lines)


def format_markdown(pairs: PairCounts, data: str) -> str:
    """Format the whole table with its legend as Markdown.

    Args:
        pairs: counted pairs.
        data: description of the dataset, one line.
    """
    lines = ["# Labels of similar neighbors", "", f"{data}: {format_summary(pairs)}.", ""]
    lines += [f"- {line}" for line in LEGEND.splitlines()]
    lines += ["", "All values in percent; κ and τ_d define one cutoff, |Δd| < -ln(τ_d) / κ.", ""]
    lines += ["| rule | cutoff of \\|Δd\\| |" + "".join(f" {title} |" for _, title in _COLUMNS)]
    lines += ["| --- | ---: |" + " ---: |" * len(_COLUMNS)]
    for row in evaluate_rules(pairs):
        cutoff = "" if row.depth_cutoff is None else f"{row.depth_cutoff:.4g}"
        figures = "".join(f" {_percent(row.values, field)} |" for field, _ in _COLUMNS)
        lines.append(f"| {row.name} | {cutoff} |{figures}")
    if pairs.has_depth:
        lines += ["", format_separation(pairs)]
    return "\n".join(lines) + "\n"


def format_summary(pairs: PairCounts) -> str:
    """Format the numbers of images, objects and pairs, and the base rate of purity."""
    total = int(pairs.kept().sum())
    return f"{pairs.images} images, {pairs.objects} objects, {total} pairs, {100 * pairs.affinity().purity:.2f} % pure"


def format_separation(pairs: PairCounts) -> str:
    """Format a sentence on the best cutoff."""
    cutoff, values = best_cutoff(pairs)
    scale = -math.log(0.5) / cutoff
    return (
        f"Recall minus leak is largest at |Δd| < {cutoff:.4g} (κ = {scale:.3g} with τ_d = 0.5): "
        f"recall {100 * values.recall:.1f} %, leak {100 * values.leak:.1f} %."
    )


def encode_json(pairs: PairCounts, data: dict[str, Any]) -> bytes:
    """Encode all statistics, curves included, as JSON; an undefined share is null.

    Args:
        pairs: counted pairs.
        data: description of the dataset.
    """
    settings = pairs.settings
    content: dict[str, Any] = {
        "data": {**data, "images": pairs.images, "objects": pairs.objects, "pairs": int(pairs.kept().sum())},
        "settings": asdict(settings),
        "rows": [{**asdict(row), "values": _plain(row.values)} for row in evaluate_rules(pairs)],
        "color_curve": [{"threshold": t, **_plain(pairs.affinity(t))} for t in settings.color_levels],
    }
    if pairs.has_depth:
        cutoffs = settings.depth_cutoffs
        content["depth_curve"] = [{"cutoff": c, **_plain(pairs.affinity(None, c))} for c in cutoffs]
        content["best_cutoff"] = best_cutoff(pairs)[0]
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def find_middle(values: tuple[float, ...]) -> float:
    """Return the middle value of some thresholds, the lower one of two."""
    return sorted(values)[(len(values) - 1) // 2]


def _is_joint(row: AffinityRow) -> bool:
    return row.color_threshold is not None and row.depth_scale is not None


def _is_middle(row: AffinityRow, pairs: PairCounts) -> bool:
    color, depth = find_middle(pairs.settings.color_thresholds), find_middle(pairs.settings.depth_thresholds)
    return row.color_threshold == color and row.depth_threshold == depth


def _plain(values: Affinity) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 6) for name, value in asdict(values).items()}


def _percent(values: Affinity, field: str) -> str:
    value = getattr(values, field)
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
