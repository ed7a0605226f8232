"""Check of a dataset with splits, one split at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ...io.annotations.detect import splits_of
from ...io.annotations.records import AnnotationError
from .check import CheckReport, CheckSettings, check_dataset
from .findings import Example, Findings


def find_splits(settings: CheckSettings, split: str | None) -> tuple[str, ...]:
    """Return the splits to check; ("",) if the dataset has no splits.

    Images that are named with the settings are those of one split, the training split unless ``split`` is given.
    """
    if split is not None:
        return (split,)
    try:
        found = splits_of(settings.data)
    except AnnotationError:  # the check itself reports it
        return ("",)
    return (("train",) if settings.images is not None else found) if found else ("",)


def check_splits(
    settings: CheckSettings, splits: Sequence[str], show: Callable[[CheckReport], None] | None = None
) -> dict[str, CheckReport]:
    """Check splits one after the other, and find images that are in several of them.

    Args:
        settings: the data; of several splits, only the training split has depth maps.
        splits: as ``find_splits`` returns them.
        show: called with each result as soon as it is there.

    Returns:
        Split -> result.

    Raises:
        CheckError: as ``check_dataset``.
    """
    reports: dict[str, CheckReport] = {}
    for split in splits:
        depth = settings.depth if len(splits) == 1 or split == "train" else None
        own = replace(settings, split=split or "train", depth=depth)
        report = _with_overlap(check_dataset(own), reports)
        reports[split] = report
        if show is not None:
            show(report)
    return reports


def _with_overlap(report: CheckReport, others: dict[str, CheckReport]) -> CheckReport:
    """Add the images of a split that are also in another split, by their pixels."""
    findings = Findings()
    for digest, name in report.decoded.digests.items():
        for split, other in others.items():
            if digest in other.decoded.digests:
                findings.add("split_overlap", Example(f"the same as {other.decoded.digests[digest]} of {split}", name))
                break
    added = findings.list()
    place = report.errors
    return replace(report, findings=(*report.findings[:place], *added, *report.findings[place:])) if added else report
