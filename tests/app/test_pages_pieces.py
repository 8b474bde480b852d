"""What the pieces of the pages write, whatever they are given."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from app.pages.charts import MOST_POINTS, _range, _ticks, day_bars, line_chart
from app.pages.fragments import Column, ago, count, duration, interval, number, table
from app.pages.models import lineage
from app.pages.next_step import Standing, next_step
from app.pages.runs import split_name
from app.pages.visit import Visit
from storage.records import (
    Annotator,
    AnnotatorId,
    Model,
    ModelId,
    Project,
    ProjectId,
    Role,
    SnapshotId,
)

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
finite = st.floats(-1e6, 1e6, allow_nan=False)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.integers(0, 5000), finite), min_size=1, max_size=400))
@example([(0, 5e-324)])
def test_every_point_of_a_curve_is_drawn_inside_its_frame(points: list[tuple[int, float]]) -> None:
    ordered = sorted(dict(points).items())
    drawn = line_chart("Loss", "nats", {"train": ordered})
    for path in re.findall(r'points="([^"]+)"', drawn):
        places = [tuple(map(float, place.split(","))) for place in path.split()]
        assert len(places) <= MOST_POINTS + 1
        assert all(-0.1 <= x <= 360.1 for x, _ in places)
    raw = re.findall(r'<polyline class="(?:t-raw )?t-s0" points="([^"]+)"', drawn)[0]
    assert all(-0.1 <= float(place.split(",")[1]) <= 168.1 for place in raw.split())


@settings(deadline=None)  # the machine may be busy
@given(st.lists(finite, min_size=1))
@example([0.0, 5e-324])
def test_ticks_are_few_lie_inside_and_read_differently(values: list[float]) -> None:
    low, high = _range(values)
    assert low <= min(values) <= max(values) <= high
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 5
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick, _ in ticks)


@settings(deadline=None)  # the machine may be busy
@given(st.floats(-100, 100), st.floats(0.01, 100))
def test_no_two_ticks_read_the_same(low: float, width: float) -> None:
    ticks = _ticks(low, low + width)
    assert len({text for _, text in ticks}) == len(ticks)


def test_ticks_are_round_numbers() -> None:
    # A quarter of the range is 0.1575, so the next round step is 0.2; likewise 1.8 and 2.
    assert [text for _, text in _ticks(0.31, 0.94)] == ["0.4", "0.6", "0.8"]
    assert [text for _, text in _ticks(0.0, 7.2)] == ["0", "2", "4", "6"]
    assert [text for _, text in _ticks(5.545, 5.5546)] == ["5.545", "5.5475", "5.55", "5.5525"]
    assert [text for _, text in _ticks(-0.3, 0.1)] == ["−0.3", "−0.2", "−0.1", "0", "0.1"]


def test_a_constant_has_a_scale_around_it() -> None:
    assert _range([0.0, 0.0]) == (0.0, 1.0)
    assert _range([2.0]) == pytest.approx((1.8, 2.2))


def test_numbers_that_are_none_are_left_out_and_nothing_at_all_draws_nothing() -> None:
    drawn = line_chart("KL", "nats", {"train": [(1, 1.0), (2, math.nan), (3, 2.0)]})
    assert "nan" not in drawn
    assert line_chart("KL", "nats", {"train": [(1, math.nan)], "validation": []}) == ""


def test_a_target_is_inside_the_frame_even_far_above_the_curve() -> None:
    drawn = line_chart("KL", "nats", {"train": [(1, 0.1), (2, 0.2)]}, reference=8.0)
    height = float(re.findall(r't-level"[^/]*y1="([\d.]+)"', drawn)[0])
    assert 10 <= height <= 146


def test_metrics_of_both_parts_share_a_chart() -> None:
    assert split_name("train/loss") == ("loss", "train")
    assert split_name("validation/loss") == ("loss", "validation")
    assert split_name("loss") == ("loss", "train")
    assert split_name("reward/combined") == ("reward/combined", "train")
    assert split_name("reward/https://host/test/x") == ("reward/https://host/test/x", "train")
    assert split_name("reward/validation") == ("reward/validation", "train")


def test_an_interval_stands_where_its_numbers_say() -> None:
    drawn = interval(
        {"value": 0.74, "low": 0.67, "high": 0.81, "confidence": 0.95, "n": 148},
        reference=0.57,
        reference_name="always the longer:",
    )
    assert "<b>74 %</b> <small>67 to 81</small>" in drawn
    assert "left:67.00%;right:calc(100% - 81.00%)" in drawn
    assert 'left:57.00%" title="always the longer: 57 %"' in drawn
    assert "too little data" in interval(None)


HOSTILE = "<script>alert('x')</script>"


def test_whatever_is_filled_in_is_escaped() -> None:
    for drawn in (
        table([Column(HOSTILE)], [[HOSTILE]], caption=HOSTILE),
        line_chart(HOSTILE, HOSTILE, {HOSTILE: [(1, 1.0)]}, hint=HOSTILE),
        day_bars(HOSTILE, [(HOSTILE, 1)]),
    ):
        assert isinstance(drawn, Markup)
        assert "<script" not in drawn
        assert "&lt;script&gt;" in drawn


def test_amounts_and_times_read_as_people_write_them() -> None:
    assert [count(1, "study", "studies"), count(0, "task"), number(12345)] == [
        "1 study",
        "0 tasks",
        "12\u2009345",
    ]
    assert [duration(s) for s in (7.4, 59.7, 600, 7322, 200_000)] == [
        "7 s",
        "1 min 00 s",
        "10 min 00 s",
        "2 h 02 min",
        "2 d 7 h",
    ]
    hours = NOW - timedelta(hours=5, minutes=20)
    assert ">5 h ago</time>" in (ago(hours, NOW) or "")
    assert ">1 day ago</time>" in (ago(NOW - timedelta(hours=30), NOW) or "")
    assert ago(None, NOW) is None


def _standing(**known: int) -> Standing:
    counted = dict.fromkeys(("prompts", "responses", "tasks", "submissions"), 0)
    counted |= {name: known.pop(name) for name in list(known) if name in counted}
    done = dict.fromkeys(("snapshots", "rewards", "policies", "open_studies", "closed_studies"), 0)
    return Standing(counts=counted, **(done | known))


@pytest.mark.parametrize(
    ("standing", "expected", "page"),
    [
        (_standing(), "Import prompts.", "data"),
        (_standing(prompts=3, responses=6), "Make tasks.", "data"),
        (_standing(prompts=3, tasks=3, submissions=2), "Collect judgements.", "/annotate"),
        (_standing(prompts=3, tasks=3, submissions=80), "Freeze a snapshot.", "data"),
        (_standing(prompts=3, submissions=80), "Freeze a snapshot.", "data"),
        (_standing(prompts=3, tasks=3, submissions=2, snapshots=1), "Train a reward", "train"),
        (
            _standing(prompts=3, submissions=80, snapshots=1, rewards=1),
            "Train a policy.",
            "train",
        ),
        (
            _standing(prompts=3, submissions=80, snapshots=1, rewards=1, policies=1),
            "Ask people.",
            "studies",
        ),
        (
            _standing(
                prompts=3, submissions=80, snapshots=1, rewards=1, policies=1, open_studies=1
            ),
            "Collect votes.",
            "studies",
        ),
        (
            _standing(
                prompts=3, submissions=80, snapshots=1, rewards=1, policies=1, closed_studies=1
            ),
            "Go round again.",
            "data",
        ),
    ],
)
def test_the_next_step_is_the_first_one_of_the_loop_that_is_not_done(
    standing: Standing, expected: str, page: str
) -> None:
    project = Project(id=ProjectId("p"), name="tom & co", created=NOW)
    title, way = next_step(standing, visit_of(project))
    assert title.startswith(expected)
    address = page if page.startswith("/") else f"/research/{page}?project=tom+%26+co"
    assert f'href="{address}"' in way


def visit_of(project: Project | None) -> Visit:
    who = Annotator(
        id=AnnotatorId("a"), name="Ada", pseudonym="p", role=Role.RESEARCHER, created=NOW
    )
    projects = [project] if project else []
    return Visit(who=who, project=project, projects=projects, query={}, now=NOW)


def test_a_lineage_goes_from_snapshots_over_parents_to_children() -> None:
    def made(name: str, purpose: str, *parents: Model, snapshot: str | None = None) -> Model:
        return Model(
            id=ModelId(name),
            name=name,
            purpose="reward" if purpose == "reward" else "policy",
            recipe="r",
            base="tiny",
            folder=f"models/{name}",
            snapshot=snapshot and SnapshotId(snapshot),
            parents=tuple(parent.id for parent in parents),
            created=NOW,
        )

    start = made("start", "policy", snapshot="feed")
    reward = made("reward", "reward", start, snapshot="cafe")
    tuned = made("tuned", "policy", reward, start)
    known = [tuned, reward, start]

    def columns(model: Model) -> list[list[str]]:
        drawn = lineage(model, known, visit_of(None))
        return [re.findall(r"</small>([^<]+)", column) for column in drawn.split("<li>")[1:]]

    assert columns(start) == [["feed"], ["start"], ["tuned", "reward"]]
    assert columns(reward) == [["feed", "cafe"], ["start"], ["reward"], ["tuned"]]
    assert columns(tuned) == [["cafe", "feed"], ["reward", "start"], ["tuned"]]
