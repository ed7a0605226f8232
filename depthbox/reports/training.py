"""The report of a training: reads what the run left in its folder and writes it as one HTML page."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import statistics
from pathlib import Path

from ..engine.hooks import find_metric
from ..evaluation.coco import METRICS, RESULTS_FILE
from ..evaluation.image_quality import load_truth
from ..visualization.curves import panels_of
from .diagnosis import HEALTHY, judge, judge_numbers
from .images import best_and_worst
from .page import CurvePanel, Report, Shown, Table, write_report_page
from .run_folder import FinishedRun, read_run

PAGE = "report.html"
_TASKS = {"segm": "masks", "bbox": "boxes", "boxfill": "filled boxes"}
_AP_NAME = re.compile(r"^(?:(.*)/)?(teacher_)?(bbox|segm|boxfill)/(AP.*)$")
_AREAS = ("all", "IoU 0.5", "IoU 0.75", "small", "medium", "large")

# (data set or "", "masks" and so on) -> name such as "AP50" or "AP-cat" -> value in percent
Accuracy = dict[tuple[str, str], dict[str, float]]


def write_report(run: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a run, finished or not.

    Args:
        run: folder of the run; only metrics.json must be there, what else is missing is left out.
        output: the HTML file; None = report.html in the run's folder.

    Returns:
        The file.

    Raises:
        FileNotFoundError, ValueError: the folder is none of a training, or its files are broken.
    """
    finished = read_run(run)
    return write_report_page(make_report(finished), Path(output) if output is not None else finished.folder / PAGE)


def report_at_end(folder: str | os.PathLike[str]) -> None:
    """Write the report after a training; a failure is a warning, as the training is done and well."""
    log = logging.getLogger(__name__)
    try:
        log.info("Report: %s", write_report(folder))
    except Exception as error:
        log.warning("The report cannot be written (%s: %s); the training is not touched", type(error).__name__, error)


def make_report(run: FinishedRun) -> Report:
    """What the page of a run shows."""
    accuracy = last_accuracy(run)
    panels = [
        CurvePanel(title, {name: run.series[name] for name in names}, HEALTHY.get(title, ""), ())
        for title, names in panels_of(run.series).items()
    ]
    panels = [
        CurvePanel(panel.title, panel.curves, panel.healthy, judge(panel.title, panel.curves, run.series))
        for panel in panels
    ]
    best, worst, note = _images(run)
    state, done = _state(run)
    labeled = run.series.get("distill/reliable")
    return Report(
        title=f"Training {run.folder.resolve().name}",
        state=state,
        figures=_figures(run, accuracy),
        facts=_facts(run),
        warnings=[*judge_numbers(run.not_finite), *([] if done else [f"the run is not finished: {state}"])],
        panels=panels,
        tables=_tables(accuracy),
        marks={"teacher begins": labeled[0][0]} if labeled else {},
        best=best,
        worst=worst,
        images_note=note,
        command=_command(run),
        config=run.config_text,
        messages=run.messages,
    )


def last_accuracy(run: FinishedRun) -> Accuracy:
    """The values of the last evaluation, by data set and task."""
    found: Accuracy = {}
    for name, points in run.series.items():
        if match := _AP_NAME.match(name):
            task = _TASKS[match[3]] + (" of the teacher" if match[2] else "")
            found.setdefault((match[1] or "", task), {})[match[4]] = points[-1][1]
    order = list(_TASKS.values())
    return dict(sorted(found.items(), key=lambda item: (item[0][0], order.index(item[0][1].split(" of ")[0]))))


def duration(seconds: float) -> str:
    """Such as "2 h 05 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _state(run: FinishedRun) -> tuple[str, bool]:
    """How far the run came, in words, and whether that is all the way."""
    steps = run.series.get("total_loss") or max(run.series.values(), key=lambda points: points[-1][0])
    done, asked = steps[-1][0] + 1, run.setting("SOLVER.MAX_ITER")
    data = ", ".join(run.setting("DATASETS.TRAIN", ()))
    words = f"{done} of {asked} iterations" if asked else f"{done} iterations"
    return words + (f" on {data}" if data else ""), not asked or done >= asked


def _figures(run: FinishedRun, accuracy: Accuracy) -> list[tuple[str, str]]:
    figures = []
    for (data, task), values in accuracy.items():
        if "AP" in values:
            figures.append((f"AP of {task}" + (f", {data}" if data else ""), f"{values['AP']:.1f}"))
    wanted = str(run.setting("TEST.BEST_METRIC", "segm/AP"))
    name = find_metric({key: points[-1][1] for key, points in run.series.items()}, wanted)
    if name is not None and len(run.series[name]) > 1:
        iteration, value = max(run.series[name], key=lambda point: point[1])
        figures.append((f"best {name}, iteration {iteration}", f"{value:.1f}"))
    if seconds := _seconds(run):
        figures.append(("time in training steps", duration(seconds)))
        step = statistics.median(value for _, value in run.series["time"])
        figures.append(("time of a step, median", f"{step:.2f} s"))
    return figures


def _seconds(run: FinishedRun) -> float:
    """Seconds in all steps: the median of each window times its iterations; pauses and evaluations do not count.

    Of a run whose first part is not in metrics.json, only the rest counts.
    """
    points = run.series.get("time", ())
    total, before = 0.0, -1
    if len(points) > 1 and points[0][0] > 2 * (points[1][0] - points[0][0]):
        before = 2 * points[0][0] - points[1][0]
    for iteration, value in points:
        total += value * (iteration - before)
        before = iteration
    return total


def _facts(run: FinishedRun) -> list[tuple[str, str]]:
    named = {
        "network": "MODEL.META_ARCHITECTURE",
        "trained on": "DATASETS.TRAIN",
        "tested on": "DATASETS.TEST",
        "images a step": "SOLVER.IMS_PER_BATCH",
        "learning rate": "SOLVER.BASE_LR",
        "device": "MODEL.DEVICE",
    }
    facts = []
    for label, key in named.items():
        value = run.setting(key)
        if value not in (None, "", [], ()):
            facts.append((label, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    if run.begin:
        facts.append(("from, to", f"{run.begin}, {run.end}"))
    if run.seed is not None and run.seed >= 0:
        facts.append(("seed", str(run.seed)))
    facts += run.facts.items()
    facts.append(("report written", datetime.datetime.now().isoformat(sep=" ", timespec="minutes")))
    return facts


def _tables(accuracy: Accuracy) -> list[Table]:
    """AP by size, and by class, of each data set."""
    tables = []
    for data in dict.fromkeys(data for data, _ in accuracy):
        tasks = {task: values for (where, task), values in accuracy.items() if where == data}
        of = f", {data}" if data else ""
        rows = [[task, *(_percent(values.get(metric)) for metric in METRICS)] for task, values in tasks.items()]
        note = "In percent; small: below 32 x 32 pixels, large: above 96 x 96. A dash: nothing to find."
        tables.append(Table(f"AP by size{of}", ["", *_AREAS], rows, note))
        classes = dict.fromkeys(name for values in tasks.values() for name in values if name.startswith("AP-"))
        first = next(iter(tasks.values()))
        ranked = sorted(classes, key=lambda name: -first.get(name, -1.0))
        rows = [[name.removeprefix("AP-"), *(_percent(v.get(name)) for v in tasks.values())] for name in ranked]
        if rows:
            tables.append(Table(f"AP by class{of}", ["", *tasks], rows))
    return tables


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _images(run: FinishedRun) -> tuple[list[Shown], list[Shown], str]:
    """Best and worst images of the first data set with predictions and truth, and how they were chosen."""
    problems = []
    for name in run.setting("DATASETS.TEST", ()) or ():
        file = run.folder / "inference" / name / RESULTS_FILE
        if not file.is_file():
            continue
        try:
            truth = load_truth(name, run.setting("DATASETS.COCO_STYLE", ()) or (), run.folder)
            best, worst, note, _ = best_and_worst(json.loads(file.read_text(encoding="utf-8")), truth)
        except Exception as error:  # data that were moved, or of another kind; the rest of the report stands
            problems.append(f"{name}: no pictures, as its data cannot be read ({type(error).__name__}: {error})")
            continue
        if worst:
            return best, worst, f"{name}. {note}"
    return [], [], "; ".join(problems)


def _command(run: FinishedRun) -> str:
    """The command that repeats the run; with the seed, where that was drawn."""
    if not run.command or run.command == "from Python":
        return ""
    drawn = isinstance(run.setting("SEED"), int) and run.setting("SEED") < 0 and run.seed is not None and run.seed >= 0
    return f"{run.command} SEED {run.seed}" if drawn else run.command
