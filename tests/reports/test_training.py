"""Report of a training run: its content, no external resources, and no effect of a failure on training."""

import json
import re
from html.parser import HTMLParser

import pytest
from engine_toy import toy_config

from depthbox.engine.run import run
from depthbox.reports import training as report_module
from depthbox.reports.page import make_report_page
from depthbox.reports.run_folder import NOTE, note_run, read_run
from depthbox.reports.svg_curves import average_points, draw_curves, round_ticks
from depthbox.reports.training import PAGE, collect_accuracy, format_duration, make_report, report_at_end, write_report

VOID = {"meta", "img", "br"}


class TagCollector(HTMLParser):
    """Parser that collects tags and fails at a closing tag without an opening one."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(text):
    """Check that a page is well-formed and loads no external resources, and return its tags."""
    page = TagCollector()
    page.feed(text)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        assert attributes.get("src", "data:image/").startswith("data:image/")
        href = attributes.get("href", "#")
        assert href.startswith("#") and (href == "#" or href[1:] in ids)
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text
    return page.tags


@pytest.fixture
def folder(tmp_path):
    """Folder of a run with all kinds of metrics and a class name that contains HTML."""
    rows = [
        {"iteration": n, "total_loss": 2.0, "loss_fcos_cls": 1.0, "time": 0.5, "raw/projection": 0.1,
         "health/mask_fill": 0.99, "distill/reliable": 0.5}
        for n in range(19, 400, 20)
    ]  # fmt: skip
    rows[3]["raw/projection"] = None
    rows.append(
        {"iteration": 400, "bbox/AP": 40.0, "bbox/APs": None, "bbox/AP-<b>cat</b>": 41.5, "segm/AP": 30.0,
         "segm/AP-<b>cat</b>": 31.5, "teacher_segm/AP": 33.0}
    )  # fmt: skip
    (tmp_path / "metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = "SOLVER:\n  MAX_ITER: 400\nSEED: -1\nDATASETS:\n  TRAIN: [t]\n  TEST: [v]\n  COCO_STYLE: []\n"
    (tmp_path / "config.yaml").write_text(config)
    log = [
        "[2026-01-02 03:04:05] depthbox.engine.run INFO: Run: depthbox train --data <a>.json",
        "[2026-01-02 03:04:06] depthbox.engine.step INFO: Random seed 77 (set SEED 77 to repeat this run)",
        "[2026-01-02 04:04:06] depthbox.engine.hooks WARNING: the masks & more",
    ]
    (tmp_path / "log.txt").write_text("\n".join(log) + "\n")
    return tmp_path


def test_page_of_a_run(folder):
    path = write_report(folder)
    text = path.read_text(encoding="utf-8")
    tags = check_page(text)
    assert path == folder / PAGE
    assert sum(tag == "svg" for tag, _ in tags) == 6
    for part in (
        "400 of 400 iterations on t",
        "<b>30.0</b><span>AP of masks</span>",
        "3 min",  # 400 steps of half a second
        "&lt;b&gt;cat&lt;/b&gt;",
        "31.5",
        "masks of the teacher",
        "2 warnings",
        "the masks fill 99% of their boxes",
        "raw/projection was not finite at iteration 79",
        "depthbox train --data &lt;a&gt;.json SEED 77",
        "the masks &amp; more",
        "2026-01-02 03:04:05, 2026-01-02 04:04:06",
        "teacher starts",
        "<summary>Config</summary>",
    ):
        assert part in text, part
    assert "<b>cat</b>" not in text
    assert "width=device-width" in text and "prefers-color-scheme: dark" in text
    tables = [position.start() for position in re.finditer("<table>", text)]
    assert tables and all(text[:start].endswith('<div class="scroll">') for start in tables)


def test_numbers_of_the_last_evaluation(folder):
    with (folder / "metrics.json").open("a") as file:
        file.write(json.dumps({"iteration": 401, "a/b/segm/AP": 1.0, "a/b/segm/AP-x/y": 2.0, "segm/AP": 35.0}) + "\n")
    accuracy = collect_accuracy(read_run(folder))
    assert accuracy["a/b", "masks"] == {"AP": 1.0, "AP-x/y": 2.0}
    assert accuracy["", "masks"]["AP"] == 35.0 and accuracy["", "masks of the teacher"] == {"AP": 33.0}
    assert ("best segm/AP, iteration 401", "35.0") in make_report(read_run(folder)).figures


def test_a_run_with_the_ap_of_voc(folder):
    with (folder / "metrics.json").open("w") as file:
        rows = [
            {"iteration": n, "total_loss": 1.0, "v/segm/mAP25": 60.0, "v/segm/mAP50": n / 10, "v/segm/AP50-cat": 41.5}
            for n in (100, 400)
        ]
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    report = make_report(read_run(folder))
    assert ("mAP50 of masks, v", "40.0") in report.figures
    assert ("best v/segm/mAP50, iteration 400", "40.0") in report.figures
    by_iou, by_class = report.tables
    assert by_iou.rows == [["masks", "60.0", "40.0", "-", "-"]]
    assert by_class.rows == [["cat", "41.5"]]
    assert any("v/segm/mAP50" in panel.curves for panel in report.panels)


def test_a_stopped_run_is_reported_as_unfinished(folder):
    (folder / "config.yaml").write_text("SOLVER:\n  MAX_ITER: 1000\n")
    assert make_report(read_run(folder)).warnings[-1] == "the run is not finished: 400 of 1000 iterations"


def test_only_metrics_are_required(tmp_path):
    (tmp_path / "metrics.json").write_text('{"iteration": 0, "total_loss": 1.0, "loss_fcos_cls": 1.0}\n{"iter')
    text = write_report(tmp_path, tmp_path / "sub" / "page.html").read_text()
    check_page(text)
    assert "No problem was found in the curves" in text


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="name the OUTPUT_DIR"):
        write_report(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"metrics\.json does not exist"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text("")
    with pytest.raises(ValueError, match="has no numbers yet"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text('{"iteration": 0, "time": 1.0}\n')
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"config\.yaml is broken"):
        write_report(tmp_path)
    assert not (tmp_path / PAGE).exists()


def test_a_training_run_writes_its_report(entry, tmp_path):
    keys = {"DATASETS__TEST": (entry[0],), "VIS_PERIOD": 0}
    run(toy_config(entry, tmp_path, **keys), command="tools/train_net.py here")
    text = (tmp_path / PAGE).read_text()
    tags = check_page(text)
    note = json.loads((tmp_path / NOTE).read_text())
    assert note["command"] == "tools/train_net.py here" and {"DepthBox", "torch", "processor"} <= set(note["facts"])
    assert "12 of 12 iterations" in text and "tools/train_net.py here" in text and note["facts"]["torch"] in text
    assert sum(tag == "img" for tag, _ in tags) == 7  # four worst and three best of seven images
    note_run(tmp_path, "again", resume=True)
    assert json.loads((tmp_path / NOTE).read_text()) == note


def test_the_report_can_be_disabled_and_its_failure_is_logged(entry, tmp_path, monkeypatch, caplog):
    run(toy_config(entry, tmp_path / "off", REPORT__ENABLED=False))
    assert not (tmp_path / "off" / PAGE).exists()

    def fail(_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(report_module, "write_report", fail)
    run(toy_config(entry, tmp_path / "on"))
    assert (tmp_path / "on" / "model_final.pth").exists() and not (tmp_path / "on" / PAGE).exists()
    assert "RuntimeError: disk full" in (tmp_path / "on" / "log.txt").read_text()
    report_at_end(tmp_path)  # does not raise


def test_points_and_marks_are_at_their_values():
    text = draw_curves({"a": [(0, 0.0), (100, 1.0)]}, {"mark": 50})
    points = [tuple(map(float, p.split(","))) for p in re.search('points="([^"]+)"', text)[1].split()]
    (x0, y0), (x1, y1) = points
    middle = float(re.search('class="mark" x1="([^"]+)"', text)[1])
    assert x0 < x1 and y0 > y1 and middle == pytest.approx((x0 + x1) / 2, abs=0.1)
    draw_curves({"flat": [(0, 0.0)]})
    draw_curves({"below": [(5, -3.0), (6, -3.0)]})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0, [0]), (-1, 1, [-1]), (0, 0.97, [0, 0.2, 0.4, 0.6, 0.8, 1])],
)
def test_ticks_are_round_numbers(low, high, expected):
    ticks = round_ticks(low, high)
    assert ticks[: len(expected)] == pytest.approx(expected) and len(ticks) <= 8
    assert ticks[0] <= low and ticks[-1] >= high


def test_long_curves_are_averaged():
    points = [(n, float(n % 2)) for n in range(10_000)]
    averaged = average_points(points)
    assert 200 <= len(averaged) <= 240 and all(0.4 < y < 0.6 for _, y in averaged)
    assert average_points(points[:3]) == points[:3]


def test_durations_are_readable():
    assert [format_duration(s) for s in (5, 200, 3600 * 2 + 300)] == ["5 s", "3 min", "2 h 05 min"]


def test_a_run_without_recorded_start_is_measured_and_drawn_from_its_first_window(tmp_path):
    rows = [{"iteration": n, "time": 1.5, "loss_fcos_cls": 1.0} for n in range(1219, 2400, 20)]
    rows[3]["time"], rows[-1]["time"] = 0.5, 2.5  # a slow last window must not change the start
    (tmp_path / "metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = make_report(read_run(tmp_path))
    figures = dict(report.figures)
    assert figures["time in training steps"] == "30 min"  # 1,200 steps
    assert figures["median time per step"] == "1.50 s"
    text = make_report_page(report)
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", text)
    assert "1.5k" in labels and "1k" not in labels and "iteration" in labels


def test_axes_are_labeled_and_marks_outside_the_axis_are_left_out():
    text = draw_curves({"a": [(100, 12000.0), (300, 0.0)]}, {"early": 50, "at the start": 100, "in": 200}, (100, 300))
    assert ">in<" in text and ">early<" not in text and ">at the start<" not in text
    assert ">10k<" in text and ">200<" in text and ">0<" in text
    assert ">6k<" in draw_curves({"a": [(19, 1.0), (5999, 2.0)]}), "the end of a run of 6000 iterations"
