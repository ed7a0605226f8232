"""Report of a training run: reads the folder of the run and writes one HTML page."""

from __future__ import annotations

import datetime
import logging
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from ..checkpoint.run_files import SEGMENTOR
from ..evaluation.coco import METRICS, RESULTS_FILE
from ..evaluation.image_quality import load_evaluated_dataset, read_predictions
from ..evaluation.run import find_metric
from ..visualization.curves import PANELS, find_teacher_start, group_by_panel
from .diagnosis import HEALTHY, diagnose_non_finite, diagnose_panel
from .images import BestAndWorst, draw_best_and_worst
from .page import CurvePanel, ReportTable, RunReport, write_report_page
from .run_folder import RecordedRun, read_run

PAGE = "report.html"
_TASKS = {"segm": "masks", "bbox": "boxes", "boxfill": "filled boxes"}
_AP_NAME = re.compile(r"^(?:(.*)/)?(teacher_)?(bbox|segm|boxfill)/(m?AP.*)$")
_AREAS = ("all", "IoU 0.5", "IoU 0.75", "small", "medium", "large")
_VOC_METRICS = {"mAP25": "IoU 0.25", "mAP50": "IoU 0.5", "mAP70": "IoU 0.7", "mAP75": "IoU 0.75"}
_FACTS = {
    "network": "MODEL.META_ARCHITECTURE",
    "trained on": "DATASETS.TRAIN",
    "tested on": "DATASETS.TEST",
    "batch size": "SOLVER.IMS_PER_BATCH",
    "learning rate": "SOLVER.BASE_LR",
    "device": "MODEL.DEVICE",
}

# (dataset or "", task such as "masks") -> name such as "AP50" or "AP-cat" -> value in percent
Accuracy = dict[tuple[str, str], dict[str, float]]


def write_report(run: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a run, finished or not.

    Args:
        run: folder of the run. Only metrics.json is required; other missing files are left out of the report.
        output: HTML file; None = report.html in the folder of the run.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError, ValueError: not the folder of a training run, or broken files.
    """
    recorded = read_run(run)
    return write_report_page(make_report(recorded), Path(output) if output is not None else recorded.folder / PAGE)


def report_at_end(folder: str | os.PathLike[str]) -> None:
    """Write the report after training; a failure is logged as a warning, since the training run is complete."""
    log = logging.getLogger(__name__)
    try:
        log.info("Report: %s", write_report(folder))
    except Exception as error:
        log.warning("The report cannot be written (%s: %s); the training run is complete", type(error).__name__, error)


def make_report(run: RecordedRun) -> RunReport:
    """Collect the content of the page of a run."""
    accuracy = collect_accuracy(run)
    panels = [
        CurvePanel(panel, PANELS[panel].title, curves, HEALTHY[panel], diagnose_panel(panel, curves, run.series))
        for panel, curves in group_by_panel(run.series).items()
    ]
    images = _draw_images(run)
    warnings = diagnose_non_finite(run.not_finite)
    state = _describe_state(run)
    if not _is_finished(run):
        warnings.append(f"the run is not finished: {state}")
    return RunReport(
        title=f"Training run {run.folder.resolve().name}",
        state=state,
        figures=_collect_figures(run, accuracy),
        facts=_collect_facts(run),
        warnings=warnings,
        panels=panels,
        tables=_make_tables(accuracy),
        marks=find_teacher_start(run.series),
        best=images.best,
        worst=images.worst,
        images_note=images.note,
        command=_make_command(run),
        config=run.config_text,
        messages=run.messages,
    )


def collect_accuracy(run: RecordedRun) -> Accuracy:
    """Return the AP values of the last evaluation, by dataset and task."""
    found: Accuracy = {}
    for name, points in run.series.items():
        if match := _AP_NAME.match(name):
            task = _TASKS[match[3]] + (" of the teacher" if match[2] else "")
            found.setdefault((match[1] or "", task), {})[match[4]] = points[-1][1]
    order = list(_TASKS.values())
    return dict(sorted(found.items(), key=lambda item: (item[0][0], order.index(item[0][1].split(" of ")[0]))))


def format_duration(seconds: float) -> str:
    """Format a duration such as "2 h 05 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _count_iterations(run: RecordedRun) -> int:
    steps = run.series.get("total_loss") or max(run.series.values(), key=lambda points: points[-1][0])
    return steps[-1][0] + 1


def _is_finished(run: RecordedRun) -> bool:
    requested = run.setting("SOLVER.MAX_ITER", 0)
    return not requested or _count_iterations(run) >= requested


def _describe_state(run: RecordedRun) -> str:
    """Return the progress of the run, such as "400 of 1000 iterations on my_data"."""
    requested = run.setting("SOLVER.MAX_ITER", 0)
    data = ", ".join(run.names("DATASETS.TRAIN"))
    total = f" of {requested}" if requested else ""
    return f"{_count_iterations(run)}{total} iterations" + (f" on {data}" if data else "")


def _collect_figures(run: RecordedRun, accuracy: Accuracy) -> list[tuple[str, str]]:
    figures = []
    for (data, task), values in accuracy.items():
        headline = next((name for name in ("AP", "mAP50") if name in values), None)
        if headline:
            figures.append((f"{headline} of {task}" + (f", {data}" if data else ""), f"{values[headline]:.1f}"))
    wanted = str(run.setting("TEST.BEST_METRIC", "segm/AP"))
    name = find_metric({key: points[-1][1] for key, points in run.series.items()}, wanted)
    if name is not None and len(run.series[name]) > 1:
        iteration, value = max(run.series[name], key=lambda point: point[1])
        figures.append((f"best {name}, iteration {iteration}", f"{value:.1f}"))
    if seconds := _measure_seconds(run):
        figures.append(("time in training steps", format_duration(seconds)))
        step = statistics.median(value for _, value in run.series["time"])
        figures.append(("median time per step", f"{step:.2f} s"))
    return figures


def _measure_seconds(run: RecordedRun) -> float:
    """Return the seconds spent in steps: the median of each window times its number of iterations.

    Pauses and evaluations are not included. If the start of the run is not in metrics.json, only the rest counts.
    """
    points = run.series.get("time", ())
    total, before = 0.0, -1
    if len(points) > 1 and points[0][0] > 2 * (points[1][0] - points[0][0]):
        before = 2 * points[0][0] - points[1][0]
    for iteration, value in points:
        total += value * (iteration - before)
        before = iteration
    return total


def _collect_facts(run: RecordedRun) -> list[tuple[str, str]]:
    facts = []
    for label, key in _FACTS.items():
        value = run.setting(key)
        if value not in (None, "", [], ()):
            facts.append((label, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    if run.setting("MODEL.META_ARCHITECTURE") == "P2Seg":
        facts.append(("weights", f"for masks of points; on images alone use those of stage B (../{SEGMENTOR})"))
    if run.begin:
        facts.append(("first and last log message", f"{run.begin}, {run.end}"))
    if run.seed is not None and run.seed >= 0:
        facts.append(("seed", str(run.seed)))
    facts += run.facts.items()
    facts.append(("report written", datetime.datetime.now().isoformat(sep=" ", timespec="minutes")))
    return facts


def _make_tables(accuracy: Accuracy) -> list[ReportTable]:
    """Return the AP by size (of VOC: by IoU), and by class, of each dataset."""
    tables = []
    for data in dict.fromkeys(data for data, _ in accuracy):
        tasks = {task: values for (where, task), values in accuracy.items() if where == data}
        suffix = f", {data}" if data else ""
        voc = any("mAP50" in values for values in tasks.values())
        metrics = list(_VOC_METRICS) if voc else list(METRICS)
        rows = [[task, *(_format_percent(values.get(metric)) for metric in metrics)] for task, values in tasks.items()]
        if voc:
            tables.append(ReportTable(f"AP of VOC by IoU{suffix}", ["", *_VOC_METRICS.values()], rows, "In percent."))
        else:
            note = "In percent. Small: below 32 x 32 pixels; large: above 96 x 96. A dash: no such object."
            tables.append(ReportTable(f"AP by size{suffix}", ["", *_AREAS], rows, note))
        if rows := _list_classes(list(tasks.values())):
            tables.append(ReportTable(f"AP by class{suffix}", ["", *tasks], rows))
    return tables


def _list_classes(tasks: Sequence[dict[str, float]]) -> list[list[str]]:
    """Return a row for each class, in descending order of the first task's AP (of VOC: AP at IoU 0.5)."""
    prefix = "AP50-" if any("mAP50" in values for values in tasks) else "AP-"
    classes = dict.fromkeys(name for values in tasks for name in values if name.startswith(prefix))
    ranked = sorted(classes, key=lambda name: -tasks[0].get(name, -1.0))
    return [[name.removeprefix(prefix), *(_format_percent(v.get(name)) for v in tasks)] for name in ranked]


def _format_percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _draw_images(run: RecordedRun) -> BestAndWorst:
    """Draw the best and worst images of the first dataset whose predictions and ground truth can be read."""
    problems = []
    for name in run.names("DATASETS.TEST"):
        file = run.folder / "inference" / name / RESULTS_FILE
        if not file.is_file():
            continue
        try:
            dataset = load_evaluated_dataset(name, run.setting("DATASETS.COCO_STYLE", ()) or (), run.folder)
            images = draw_best_and_worst(read_predictions(file), dataset)
        except Exception as error:  # moved or foreign data must not prevent the rest of the report
            problems.append(f"{name}: no images, because its data cannot be read ({type(error).__name__}: {error})")
            continue
        if images.worst:
            return BestAndWorst(images.best, images.worst, f"{name}. {images.note}", images.threshold)
    return BestAndWorst(note="; ".join(problems))


def _make_command(run: RecordedRun) -> str:
    """Return the command that repeats the run, with the seed if it was drawn at random."""
    if not run.command or run.command == "from Python":
        return ""
    drawn = run.setting("SEED", 0) < 0 and run.seed is not None and run.seed >= 0
    return f"{run.command} SEED {run.seed}" if drawn else run.command
