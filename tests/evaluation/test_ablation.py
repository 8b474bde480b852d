"""Ablations: accuracies and differences by hand, what words and figures say of them, doubts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_trials
import numpy as np
import pytest
from judged_rows import comparison

from evaluation.ablation import Ablation, Trial, compare
from evaluation.ablation_config import ABLATED, Ablated
from evaluation.ablation_figures import differences, learning_curves
from evaluation.ablation_report import ablation_html
from evaluation.ablation_words import chance, findings, points, told, verdict, warnings
from evaluation.statistics import Estimate
from storage.errors import InvalidData, InvalidOption, NotFound, TooLittleData
from storage.files import write_text
from storage.snapshots import ComparisonRow
from training.rewards import REWARDS


def trial(
    gaps: list[float], kind: str = "preference", *, labels: int = 100, seed: int = 0, **more: Any
) -> Trial:
    known: dict[str, Any] = {"judgements": labels, "spearman": None, **more}
    return Trial(kind=kind, labels=labels, seed=seed, gaps=np.array(gaps), **known)


ROWS = [comparison(0, -2), comparison(0, 1), comparison(1, 3), comparison(2, -1), comparison(3, 0)]
"""Two comparisons of prompt 0; the last is a tie. Left is the longer answer everywhere."""


def test_accuracies_and_differences_by_hand() -> None:
    # Right (1), wrong (0) or undecided (1/2) on the four decided comparisons:
    found = compare(
        [
            trial([-1, 2, 1, 1, 9], seed=0),  # 1 1 1 0
            trial([-1, -2, 1, 0, 9], seed=1),  # 1 0 1 1/2
            trial([1, 1, -1, -1, 9], "combined", seed=0),  # 0 1 0 1
            trial([-3, 1, -1, -1, 9], "combined", seed=1),  # 1 1 0 1
        ],
        ROWS,
    )
    preference, combined = found.accuracies
    assert preference.pair_accuracy.value == pytest.approx((1 + 1 / 2 + 1 + 1 / 4) / 4)
    assert preference.by_seed == pytest.approx((3 / 4, 5 / 8))
    # Both lie 1/16 from their mean, so the deviation with one degree of freedom is sqrt(2) / 16.
    assert preference.seed_deviation == pytest.approx(np.sqrt(2) / 16)
    assert combined.by_seed == pytest.approx((1 / 2, 3 / 4))
    (difference,) = found.differences
    assert (difference.kind, difference.other) == ("combined", "preference")
    assert difference.by_seed == pytest.approx((-1 / 4, 1 / 8))
    assert difference.difference.value == pytest.approx(-1 / 16)
    assert difference.p_holm == difference.p_value
    # The longer answer is preferred in comparisons 0 and 3.
    assert found.length_only_accuracy.value == pytest.approx(1 / 2)
    assert preference.above_length_only.value == pytest.approx(11 / 16 - 1 / 2)
    assert (found.pairs, found.ties, found.prompts, found.left_out) == (4, 1, 3, 0)
    # Of the first three it is preferred in one.
    for longer, share in ((True, 1 / 3), (False, 2 / 3)):
        three = compare([trial([1] * 3)], ROWS[:3], longer=longer)
        assert three.length_only_accuracy.value == pytest.approx(share)
        assert three.length_only_direction == ("longer" if longer else "shorter")
    assert found.gains == ()


def test_the_law_of_a_kind_and_its_double_holds_for_whole_ablations() -> None:
    rows = made_trials.compared(200, prompts=100)
    trials = made_trials.trials(rows, kinds={"preference": 0.6}, labels=[100, 200])
    found = compare([*trials, *(replace(one, kind="double") for one in trials)], rows)
    assert [one.difference.value for one in found.differences] == [0, 0]
    assert all(set(one.by_seed) == {0.0} for one in found.differences)
    assert [one.p_holm for one in found.differences] == [1, 1]
    ours, theirs = found.gains
    assert ours.difference == theirs.difference


def test_the_order_of_kinds_turns_only_the_signs() -> None:
    rows = made_trials.compared(200, prompts=100)
    trials = made_trials.trials(rows, labels=[100])
    one, other = compare(trials, rows), compare(trials[::-1], rows)
    turned = {(each.kind, each.other): each for each in other.differences}
    for each in one.differences:
        back = turned[each.other, each.kind].turned()
        assert back.difference.value == pytest.approx(each.difference.value)
        assert (back.difference.low, back.difference.high) == pytest.approx(
            (each.difference.low, each.difference.high)
        )
        assert back.p_holm == pytest.approx(each.p_holm, abs=1e-6)


def test_what_one_model_cannot_read_counts_for_none() -> None:
    unread = trial([np.nan, 1, 1, 1, 1], "pairwise")
    found = compare([trial([-1, 1, 1, -1, 1]), unread], ROWS)
    assert (found.pairs, found.left_out) == (3, 1)
    assert [one.pair_accuracy.value for one in found.accuracies] == pytest.approx([1, 2 / 3])
    assert any(
        doubt.startswith("1 held-out comparisons were left out") for doubt in warnings(found)
    )


def test_kinds_are_compared_on_the_seeds_that_both_have() -> None:
    found = compare(
        [
            trial([-1, 1, 1, -1, 1], seed=0),
            trial([1, -1, -1, 1, 1], seed=1),
            trial([-1, 1, 1, 1, 1], "combined", seed=0),
        ],
        ROWS,
        failed=["There is no model of combined, 100 labels, seed 1: it diverged."],
        to_come=2,
    )
    assert [one.seeds for one in found.accuracies] == [(0, 1), (0,)]
    (difference,) = found.differences
    assert difference.by_seed == pytest.approx((-1 / 4,))
    (turned,) = compare(
        [trial([1] * 5), trial([1] * 5, "combined"), trial([-1] * 5, "combined", seed=1)], ROWS
    ).differences
    assert turned.by_seed == (0,)
    doubts = warnings(found)
    assert "2 models are still to be trained; the figures are of the rest." in doubts
    assert "There is no model of combined, 100 labels, seed 1: it diverged." in doubts
    assert any(doubt.startswith("One seed says nothing of luck") for doubt in doubts)


def test_rank_correlations_are_averaged_over_the_seeds() -> None:
    ranks = [Estimate(0.2, 0.1, 0.4, 0.95, 50), Estimate(0.4, 0.1, 0.5, 0.95, 50)]
    found = compare(
        [trial([1] * 5, seed=seed, spearman=rank) for seed, rank in enumerate(ranks)], ROWS
    )
    (accuracy,) = found.accuracies
    assert accuracy.spearman is not None
    assert (
        accuracy.spearman.value,
        accuracy.spearman.low,
        accuracy.spearman.high,
    ) == pytest.approx((0.3, 0.1, 0.45))
    without = compare([trial([1] * 5, seed=0, spearman=ranks[0]), trial([1] * 5, seed=1)], ROWS)
    assert without.accuracies[0].spearman is None


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TooLittleData, match="No model was trained"):
        compare([], ROWS)
    with pytest.raises(TooLittleData, match="it diverged"):
        compare([], ROWS, failed=["it diverged"])
    with pytest.raises(InvalidData, match="100 labels and seed 0 was judged by 1 comparisons, and"):
        compare([trial([1])], ROWS)
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 1"):
        compare([trial([1, 1])], ROWS[:2])
    with pytest.raises(TooLittleData, match="at least 2 prompts; there are 0"):
        compare([trial([])], [])


def made(luck: float = 0.0, **more: Any) -> tuple[Ablation, list[ComparisonRow]]:
    rows = made_trials.compared(900, prompts=300)
    return compare(made_trials.trials(rows, luck=luck, **more), rows), rows


def test_it_is_the_same_after_it_was_written_and_read() -> None:
    found, _ = made()
    assert Ablation.read(json.loads(json.dumps(told(found)))) == found


def test_words_say_which_kind_beats_which_and_by_how_much() -> None:
    found, _ = made()
    at = {(one.labels, one.kind, one.other): one for one in found.differences}
    first = at[1000, "combined", "preference"]
    assert first.p_holm < 0.05
    said = verdict(found)
    assert said.startswith(
        f"With 1,000 labels combined beats preference by {points(first.difference)} and absolute by"
    )
    best = next(one for one in found.accuracies if (one.labels, one.kind) == (1000, "combined"))
    assert f"Combined is right in {best.pair_accuracy} of {found.pairs} held-out" in said
    gains = [sentence for sentence in findings(found) if sentence.startswith("From 250 to 1,000")]
    assert len(gains) == 3
    assert "gains" in gains[0]
    # What is not clear is said to be so, with its interval.
    unclear = at[1000, "absolute", "preference"]
    assert unclear.p_holm > 0.05
    assert "preference and absolute cannot be told apart" in said


def test_alike_kinds_cannot_be_told_apart() -> None:
    found, _ = made(kinds={"preference": 0.6, "absolute": 0.6, "combined": 0.6}, labels=[500])
    said = verdict(found)
    assert said.startswith("With 500 labels the kinds cannot be told apart; the largest difference")
    assert findings(found) == []


def test_a_difference_that_many_looks_may_explain_is_told_so() -> None:
    found, _ = made(kinds={"preference": 0.6, "combined": 0.7}, labels=[500])
    (only,) = found.differences
    several = replace(found, differences=(replace(only, p_holm=0.2), replace(only, labels=1)))
    assert re.search(
        r"combined and preference cannot be told apart \(.* points \[.*\], which one of 2"
        r" differences may well be by chance\)",
        verdict(several),
    )


def test_several_kinds_that_cannot_be_told_apart_are_named_together() -> None:
    kinds = {"preference": 0.6, "absolute": 0.6, "combined": 0.75, "pairwise": 0.6}
    found, _ = made(kinds=kinds, labels=[500])
    assert re.match(
        r"With 500 labels combined beats preference by .*, absolute by .* and pairwise by [^;]*;"
        r" preference, absolute and pairwise cannot be told apart\. ",
        verdict(found),
    )


def test_one_kind_has_a_learning_curve_and_no_differences() -> None:
    found, _ = made(kinds={"combined": 0.6})
    assert found.differences == ()
    assert verdict(found).startswith("It is right in ")
    assert differences(found) is None
    assert "Kinds against each other" not in ablation_html(found, facts={})


def test_more_labels_may_harm() -> None:
    rows = made_trials.compared(600, prompts=300)
    few = made_trials.trials(rows, kinds={"absolute": 0.8}, labels=[250], seeds=2)
    many = made_trials.trials(rows, kinds={"absolute": 0.5}, labels=[250], seeds=2, seed=9)
    found = compare([*few, *(replace(one, labels=500) for one in many)], rows)
    assert any(
        sentence.startswith("From 250 to 500 labels absolute loses ")
        for sentence in findings(found)
    )


def test_doubts_are_told_the_gravest_first() -> None:
    rows = made_trials.compared(40, prompts=20, kind="simulated")
    trials = made_trials.trials(rows, kinds={"preference": 0.5, "absolute": 0.5}, labels=[100])
    found = compare([replace(one, judgements=88) for one in trials], rows)
    doubts = warnings(found)
    assert doubts[0].startswith("Simulated raters judged here")
    assert any(re.match(r"Only \d+ decided test pairs", doubt) for doubt in doubts)
    assert any(
        doubt.startswith("Preference with 100 labels learned from no more than 88:")
        for doubt in doubts
    )
    assert any(
        "is not clearly above always choosing the longer answer" in doubt for doubt in doubts
    )


def test_a_clear_difference_that_not_every_seed_shares_is_a_doubt() -> None:
    found, _ = made(kinds={"preference": 0.6, "combined": 0.7}, labels=[500])
    (only,) = found.differences
    assert not any("not every seed" in doubt for doubt in warnings(found))
    unsure = replace(found, differences=(replace(only, by_seed=(0.2, -0.01, 0.1)),))
    assert (
        "With 500 labels not every seed finds combined better than preference: the seeds'"
        " differences reach from −1.0 to +20.0 points." in warnings(unsure)
    )


def test_small_probabilities_are_not_written_as_nought() -> None:
    assert (chance(1e-9), chance(0.0416)) == ("below 0.001", "0.042")


# Options


def test_each_trial_gets_the_options_that_its_kind_has() -> None:
    config = Ablated.read({"kinds": ["pairwise", "absolute"], "labels": [20, 10], "aspect": "tone"})
    assert [(kind.name, labels, seed) for kind, labels, seed in config.trials()][:5] == [
        ("pairwise", 10, 0), ("absolute", 10, 0), ("pairwise", 20, 0), ("absolute", 20, 0),
        ("pairwise", 10, 1),
    ]  # fmt: skip
    absolute = config.trial("absolute", 10, 2)
    assert (absolute.labels, absolute.seed, absolute.objective.aspect) == (10, 2, "tone")
    assert not hasattr(config.trial("pairwise", 10, 0), "aspect")
    assert all(
        recipe.config.model_fields.keys() >= {"labels", "seed"} for recipe in ABLATED.values()
    )


def test_an_option_means_the_same_for_every_kind() -> None:
    for recipe in ABLATED.values():
        for name, field in recipe.config.model_fields.items():
            if name in Ablated.model_fields and name != "labels":
                shared = Ablated.model_fields[name]
                assert (shared.annotation, shared.default, shared.metadata) == (
                    field.annotation, field.default, field.metadata,
                ), name  # fmt: skip
    assert set(REWARDS) - set(ABLATED) == {"multi-objective"}


@pytest.mark.parametrize(
    ("typed", "refusal"),
    [
        (
            {"kinds": ["preferenc"]},
            "no reward recipe called 'preferenc'. Did you mean 'preference'",
        ),
        ({"kinds": ["multi-objective"]}, "kinds: multi-objective has options of its own; compare"),
        ({"kinds": ["absolute", "absolute"]}, "kinds: name each kind once"),
        ({"kinds": []}, "kinds: tuple should have at least 1"),
        ({"labels": [9]}, r"labels\.0: input should be greater than or equal to 10"),
        ({"labels": []}, "labels: tuple should have at least 1"),
        ({"seeds": 0}, "seeds: input should be greater"),
        ({"seed": 1}, "seed: there is no such option"),
        ({"kinds": ["pairwise"], "length_penalty": 1}, "has no reward of one"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(typed: dict[str, Any], refusal: str) -> None:
    with pytest.raises((InvalidOption, NotFound), match=refusal):
        Ablated.read(typed)


def test_budgets_beyond_what_there_is_are_refused() -> None:
    config = Ablated.read({"labels": [50, 100]})
    config.check_enough(comparisons=100, ratings=100)
    with pytest.raises(InvalidOption, match=r"labels: preference has only 99 comparisons.*got 100"):
        config.check_enough(comparisons=99, ratings=100)
    with pytest.raises(InvalidOption, match="absolute has only 99 ratings to learn from"):
        config.check_enough(comparisons=100, ratings=99)
    with pytest.raises(InvalidOption, match="kinds: absolute learns from ratings, and there are"):
        config.check_enough(comparisons=100, ratings=0)
    both = Ablated.read({"kinds": ["combined"], "labels": [100]})
    both.check_enough(comparisons=60, ratings=40)
    with pytest.raises(InvalidOption, match="combined has only 60 comparisons and 39 ratings"):
        both.check_enough(comparisons=60, ratings=39)


# Figures and the report


def test_curves_show_each_kind_its_band_its_seeds_and_what_to_beat() -> None:
    found, _ = made()
    found = replace(found, human_ceiling=Estimate(0.8, 0.7, 0.9, 0.95, 90))
    drawn = learning_curves(found)
    lines = {trace.name: trace for trace in drawn.data if trace.name}
    assert set(lines) == {
        "preference", "absolute", "combined",
        f"always the longer answer: {found.length_only_accuracy.value:.0%}",
        "one annotator with the others: 80%",
    }  # fmt: skip
    combined = [one for one in found.accuracies if one.kind == "combined"]
    assert list(lines["combined"].x) == [250, 500, 1000]
    assert list(lines["combined"].y) == [one.pair_accuracy.value for one in combined]
    bands = [trace for trace in drawn.data if trace.fill == "toself"]
    assert list(bands[2].y) == [
        *(one.pair_accuracy.high for one in combined),
        *(one.pair_accuracy.low for one in reversed(combined)),
    ]
    assert drawn.layout.xaxis.type == "log"
    assert list(drawn.layout.xaxis.ticktext) == ["250", "500", "1,000"]
    alone = learning_curves(made(labels=[500])[0])
    assert not any(trace.fill for trace in alone.data)
    assert alone.data[0].error_y.visible
    beside = [trace.x[0] for trace in alone.data[:3]]
    assert beside[0] < beside[1] == 500 < beside[2]


def test_differences_are_drawn_in_points_the_largest_budget_first() -> None:
    found, _ = made()
    drawn = differences(found)
    assert drawn is not None
    last = [one for one in found.differences if one.labels == 1000]
    assert list(drawn.data[0].x)[:3] == pytest.approx([100 * one.difference.value for one in last])
    assert drawn.layout.annotations[0].text == "1,000 labels: absolute over preference"


EVIL = "</script><script>alert(1)</script>"


def test_the_report_holds_everything_and_what_came_from_data_is_text() -> None:
    found, _ = made()
    page = ablation_html(replace(found, failed=(EVIL,)), facts={"base model": EVIL})
    assert verdict(found).replace("'", "&#39;") in page
    assert "<script>alert" not in page
    assert page.count('class="figure"') == 2
    assert page.count("<tr>") == 2 + 9 + 2 + 9
    assert "3 kinds of reward model, each trained on 250, 500 and 1,000 labels with 3 seeds" in page


PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}


@pytest.mark.browser
@pytest.mark.parametrize(
    "screen", [{"viewport": {"width": 1360, "height": 850}}, PHONE], ids=["wide", "phone"]
)
def test_a_browser_draws_the_report_offline_and_it_fits(
    screen: dict[str, Any], tmp_path: Path, chromium: Any
) -> None:
    write_text(tmp_path / "report.html", ablation_html(made()[0], facts={"snapshot": "0a1b"}))
    troubles: list[str] = []
    asked: list[str] = []
    context = chromium.new_context(**screen)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.figure .main-svg').length >= 2")
    width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    context.close()
    assert troubles == []
    assert all(re.match(r"file:|data:|blob:", url) for url in asked)
    assert width <= window
