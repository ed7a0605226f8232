"""What is said about curves: nothing about healthy ones, the right word about the others."""

import pytest

from depthbox.reports.diagnosis import HEALTHY, judge, judge_numbers, late
from depthbox.visualization.curves import PANELS, panels_of


def curve(*values, step=20):
    return [(number * step, value) for number, value in enumerate(values)]


def words(**series):
    named = {name.replace("__", "/"): points for name, points in series.items()}
    return " | ".join(
        line for title, names in panels_of(named).items() for line in judge(title, {n: named[n] for n in names}, named)
    )


FALLING = curve(*[2 / (1 + n) + 0.1 * (n % 3) for n in range(40)])


def test_every_panel_has_its_word():
    assert set(HEALTHY) == set(PANELS)


def test_a_healthy_run_is_left_in_peace():
    assert (
        words(
            loss_fcos_cls=FALLING,
            raw__projection=FALLING,
            health__mask_fill=curve(*[0.65] * 40),
            health__positives_per_image=curve(*[40.0] * 40),
            distill__reliable=curve(*[0.5] * 40),
            time=curve(*[0.3] * 40),
            data_time=curve(*[0.02] * 40),
            segm__AP=curve(10, 20, 19.5),
            boxfill__AP=curve(5, 6, 7),
        )
        == ""
    )


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ({"health__mask_fill": curve(*[0.6] * 20, *[0.99] * 20)}, "fill 99% of their boxes: they have collapsed"),
        ({"health__mask_fill": curve(*[0.01] * 20)}, "nearly empty"),
        ({"health__positives_per_image": curve(*[0.0] * 20)}, "hardly any position stands for an object"),
        ({"loss_fcos_cls": curve(*[1.0] * 10, *[0.2] * 20, *[0.5] * 10)}, "fcos_cls rose from 0.2 to 0.5"),
        ({"raw__color_pairwise": curve(*[0.1] * 20, *[0.4] * 20)}, "color_pairwise rose from 0.1 to 0.4: the masks"),
        ({"distill__reliable": curve(*[0.03] * 20)}, "reliable masks for only 3% of the boxes"),
        ({"time": curve(*[1.0] * 20), "data_time": curve(*[0.5] * 20)}, "50% of a step is waiting for data"),
        ({"segm__AP": curve(10, 30, 20)}, "segm/AP fell from 30.0 at iteration 20 to 20.0"),
        ({"segm__AP": curve(5), "boxfill__AP": curve(6)}, "no better than filled boxes (6.0)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(series, expected):
    found = words(**series)
    assert expected in found and found.count(" | ") == 0


def test_what_is_young_is_not_judged():
    rising = curve(*[0.01 * n for n in range(1, 41)])
    assert "rose" in words(raw__color_pairwise=rising)
    assert words(raw__color_pairwise=rising, warmup__color_pairwise=curve(*[0.5] * 40)) == ""
    # 0 until the teacher begins
    assert words(raw__pseudo_mask=curve(*[0.0] * 20, *[0.3 - 0.002 * n for n in range(20)])) == ""
    assert words(health__mask_fill=curve(0.99, 0.99)) == ""


def test_numbers_that_are_none():
    assert judge_numbers({}) == []
    assert "raw/projection was not finite at iteration 39" in judge_numbers({"raw/projection": 39})[0]


def test_late_is_the_median_of_the_last_fifth():
    assert late(curve(1, 1, 1, 1, 1, 1, 1, 1, 5, 7)) == 6
    assert late(curve(3)) == 3
