"""Diagnosis of curves: silence about healthy ones, one message with a remedy about each problem."""

import pytest

from depthbox.reports.diagnosis import (
    FULL_BOX,
    HEALTHY,
    LIVE_RULES,
    NO_POSITIVES,
    RULES,
    diagnose_non_finite,
    diagnose_panel,
    final_median,
)
from depthbox.visualization.curves import PANELS, group_by_panel


def curve(*values, step=20):
    return [(number * step, value) for number, value in enumerate(values)]


def diagnose(**series):
    """Return all messages about metrics, in whose names "__" stands for "/"."""
    named = {name.replace("__", "/"): points for name, points in series.items()}
    panels = group_by_panel(named)
    return " | ".join(text for panel, curves in panels.items() for text in diagnose_panel(panel, curves, named))


FALLING = curve(*[2 / (1 + n) + 0.1 * (n % 3) for n in range(40)])


def test_every_panel_has_a_description_of_healthy_curves():
    assert set(HEALTHY) == set(PANELS)


def test_rules_name_metrics_that_are_drawn():
    for rule in RULES:
        assert group_by_panel({rule.metric: curve(1.0)}), rule.metric


@pytest.mark.parametrize(
    ("rule", "healthy", "unhealthy"), [(LIVE_RULES[0], FULL_BOX, 0.96), (LIVE_RULES[1], NO_POSITIVES, 0.04)]
)
def test_thresholds_themselves_are_healthy(rule, healthy, unhealthy):
    assert rule.check(healthy) == rule.check(float("nan")) == ""
    assert rule.check(unhealthy)


def test_a_healthy_run_gives_no_messages():
    assert (
        diagnose(
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
        ({"health__positives_per_image": curve(*[0.0] * 20)}, "hardly any location is assigned to an object"),
        ({"loss_fcos_cls": curve(*[1.0] * 10, *[0.2] * 20, *[0.5] * 10)}, "fcos_cls rose from 0.2 to 0.5"),
        ({"raw__color_pairwise": curve(*[0.1] * 20, *[0.4] * 20)}, "color_pairwise rose from 0.1 to 0.4: mask edges"),
        ({"distill__reliable": curve(*[0.03] * 20)}, "reliable masks for only 3% of the boxes"),
        ({"time": curve(*[1.0] * 20), "data_time": curve(*[0.5] * 20)}, "50% of a step is spent waiting for data"),
        ({"segm__AP": curve(10, 30, 20)}, "segm/AP fell from 30.0 at iteration 20 to 20.0"),
        ({"segm__AP": curve(5), "boxfill__AP": curve(6)}, "not better than filled boxes (AP 6.0)"),
        ({"a__segm__AP": curve(5), "a__boxfill__AP": curve(6)}, "not better than filled boxes (AP 6.0)"),
    ],
)  # fmt: skip
def test_each_problem_gives_one_message(series, expected):
    found = diagnose(**series)
    assert expected in found and found.count(" | ") == 0


def test_curves_that_have_just_begun_are_not_diagnosed():
    rising = curve(*[0.01 * n for n in range(1, 41)])
    assert "rose" in diagnose(raw__color_pairwise=rising)
    assert diagnose(raw__color_pairwise=rising, warmup__color_pairwise=curve(*[0.5] * 40)) == ""
    # 0 until the teacher starts
    assert diagnose(raw__pseudo_mask=curve(*[0.0] * 20, *[0.3 - 0.002 * n for n in range(20)])) == ""
    assert diagnose(health__mask_fill=curve(0.99, 0.99)) == ""


def test_metrics_that_were_not_finite_are_named():
    assert diagnose_non_finite({}) == []
    assert "raw/projection was not finite at iteration 39" in diagnose_non_finite({"raw/projection": 39})[0]


def test_final_median_is_that_of_the_last_fifth():
    assert final_median(curve(1, 1, 1, 1, 1, 1, 1, 1, 5, 7)) == 6
    assert final_median(curve(3)) == 3
