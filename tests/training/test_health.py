"""The rules that say what goes wrong in a run: figures by hand, laws, and silence otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import InvalidOption
from training.policies.config import PPOConfig
from training.policies.health import RULES, findings
from training.policies.health.finding import Finding, changed, either
from training.policies.health.history import (
    FIRST,
    LONG,
    History,
    correlated,
    repeated_text,
)
from training.policies.health.record import health_record, markdown, warned_too
from training.policies.health.stopping import reason_to_stop

CONFIG = PPOConfig.read({"rewards": {"helpful": 1.0}})
Curve = float | Sequence[float] | Callable[[int], float]


def a_run(steps: int = 30, **curves: Curve) -> History:
    """A run whose metrics are constant, given by step (from 1 on), or written out."""
    metrics = []
    for name, curve in curves.items():
        for step in range(1, steps + 1):
            if callable(curve):
                metrics.append((step, name, float(curve(step))))
            elif isinstance(curve, Sequence):
                metrics.append((step, name, float(curve[step - 1])))
            else:
                metrics.append((step, name, float(curve)))
    return History.of(metrics)


def looks(**said: Sequence[float]) -> History:
    """Looks every ten steps from 0 on; `gold` is watched, `error` is that of each of its looks."""
    names = {"gold": "watched/gold", "error": "watched_error/gold", "reward": "held_out_reward"}
    return History.of(
        (10 * place, names[name], value)
        for name, values in said.items()
        for place, value in enumerate(values)
    )


def with_options(**options: Any) -> PPOConfig:
    return PPOConfig.read({"rewards": {"helpful": 1.0}, **options})


def only(rule: str, history: History, config: PPOConfig = CONFIG) -> Finding:
    """What the rule says, and that no other says anything."""
    [finding] = findings(history, config)
    assert finding.rule == rule
    return finding


def jump(start: float, now: float) -> Callable[[int], float]:
    """One value for the first steps, and another afterwards."""
    return lambda step: start if step <= FIRST else now


# --- what the rules say ---------------------------------------------------------------------------


def test_a_negative_kl() -> None:
    # Mean -0.5 with a spread of 0.2: far from 0 in standard errors of 0.2 / sqrt(10) = 0.067.
    values = [0.0] * 20 + [-0.3, -0.7] * 5
    found = only("negative_kl", a_run(30, kl=values))
    assert found.seen == "It was -0.50 nats per answer on average over the last 10 steps."
    assert found.grave
    assert "whole softmax at temperature 1" in found.remedy
    assert "Lower learning_rate from 0.0002 to 0.0001" in found.remedy
    # The same mean, but one standard error is 0.5 here, and chance may do that.
    assert not findings(a_run(30, kl=[0.0] * 20 + [1.0, -2.0] * 5), CONFIG)
    assert not findings(a_run(30, kl=-0.09), CONFIG)
    assert not findings(a_run(9, kl=-5.0), CONFIG)


def test_a_ratio_that_does_not_begin_at_one() -> None:
    found = only("ratio_off", a_run(3, ratio_error=[0.01, 0.02, 0.06]))
    assert "already 3.0% off" in found.seen
    assert "clip of 0.2" in found.meaning
    assert found.grave
    assert not findings(a_run(3, ratio_error=[0.01, 0.01, 0.01]), CONFIG)


def test_an_entropy_that_collapsed() -> None:
    found = only("entropy_collapsed", a_run(15, entropy=jump(2.0, 0.3)))
    assert found.seen == "It is 0.3 nats per token, 15% of the 2 at the start."
    assert "aise kl_coefficient from 0.05 to 0.1" in found.remedy
    assert not findings(a_run(15, entropy=jump(2.0, 0.41)), CONFIG)
    assert not findings(a_run(14, entropy=jump(2.0, 0.0)), CONFIG)


def test_answers_that_repeat_themselves() -> None:
    found = only("repeated_text", a_run(15, repeated_text=jump(0.04, 0.35)))
    assert found.seen.startswith("35% of the 4-token phrases of an answer stood in it before")
    assert found.seen.endswith("at the start 4% did.")
    assert "lower max_new_tokens from 64 to 32" in found.remedy
    # A start that does so itself, as a small model may, is not the run's fault.
    assert not findings(a_run(15, repeated_text=jump(0.3, 0.39)), CONFIG)


@pytest.mark.parametrize(
    ("start", "now", "correlation", "word", "follows"),
    [
        (40, 61, 0.5, "longer", True),
        (40, 61, 0.2, "longer", False),
        (40, 61, -0.5, "longer", False),
        (40, 19, -0.5, "shorter", True),
        (40, 19, 0.5, "shorter", False),
    ],
)
def test_a_length_that_drifts(
    start: int, now: int, correlation: float, word: str, follows: bool
) -> None:
    run = a_run(15, response_length=jump(start, now), length_correlation=correlation)
    found = only("length_drift", run)
    assert found.title == f"Answers have become much {word}"
    assert found.seen == f"{now} tokens on average, {start} at the start."
    assert found.grave == follows
    assert ("The reward follows length" in found.meaning) == follows
    assert f"{correlation:+.2f}" in found.meaning
    assert ("weigh length against it" in found.remedy) == follows


@pytest.mark.parametrize(("start", "now"), [(40, 59), (40, 21), (4, 13), (12, 3)])
def test_a_length_that_drifts_little(start: int, now: int) -> None:
    run = a_run(15, response_length=jump(start, now), length_correlation=0.9)
    assert not findings(run, CONFIG)


def test_a_value_head_that_does_not_learn() -> None:
    found = only("value_not_learning", a_run(50, explained_variance=0.01))
    assert found.seen == "It explains 1% of what answers earn (last 20 steps)."
    assert found.remedy.startswith("Raise value_learning_rate from 0.001 to 0.003")
    harmful = only("value_not_learning", a_run(50, explained_variance=-0.8))
    assert "Below 0 is worse than a constant." in harmful.seen
    assert harmful.remedy.startswith("Lower value_learning_rate from 0.001 to 0.00033")
    assert not findings(a_run(49, explained_variance=-0.8), CONFIG)
    assert not findings(a_run(50, explained_variance=0.06), CONFIG)


def test_a_reward_that_rises_while_what_is_watched_falls() -> None:
    # Means of two looks: gold .1 .35 .5 .35 .15, reward .2 .5 .75 .95 1.1, so the best ends at step
    # 30, and .35 lower is more than three errors of .1.
    run = looks(
        gold=[0, 0.2, 0.5, 0.5, 0.2, 0.1],
        reward=[0, 0.4, 0.6, 0.9, 1.0, 1.2],
        error=[0.1] * 6,
    )
    found = only("over_optimised", run)
    assert found.about == "gold"
    assert found.seen == (
        "On the held-out prompts, gold fell from +0.50 around step 30 to +0.15, and the reward rose"
        " from +0.75 to +1.10."
    )
    assert found.remedy.startswith("Set keep from last to best, or raise kl_coefficient from 0.05")
    assert (
        "keep" not in only("over_optimised", run, with_options(watch=("gold",), keep="best")).remedy
    )


@pytest.mark.parametrize(
    ("gold", "reward", "error"),
    [
        ([0, 0.2, 0.5, 0.5, 0.2, 0.1], [0, 0.4, 0.6, 0.9, 1.0, 1.2], 0.12),
        ([0, 0.2, 0.5, 0.5, 0.2, 0.1], [0, 0.4, 0.6, 0.9, 0.5, 0.5], 0.1),
        ([0, 0.2, 0.5, 0.6, 0.7, 0.8], [0, 0.4, 0.6, 0.9, 1.0, 1.2], 0.01),
        ([0.5, 0.5, 0.1], [0, 0.4, 0.6], 0.01),
        ([0.5, 0.5, 0.5, 0.42], [0, 0.4, 0.6, 0.7], 0.001),
    ],
    ids=["noise", "both fall", "both rise", "few looks", "next to nothing"],
)
def test_what_is_watched_may_move(gold: list[float], reward: list[float], error: float) -> None:
    assert not findings(looks(gold=gold, reward=reward, error=[error] * len(gold)), CONFIG)


def test_no_better_than_its_start() -> None:
    # Mean of the last three looks: (-0.59 - 0.49 - 0.37) / 3 = -0.483.
    gold, reward = [-0.31, 0.15, -0.04, -0.59, -0.49, -0.37], [-0.4, -0.2, -0.5, -0.6, -0.5, -0.2]
    found = only("no_better", looks(gold=gold, reward=reward, error=[0.18] * 6))
    assert (found.about, found.grave) == ("gold", False)
    assert found.title == "No better than its start, by what gold says"
    assert found.seen == (
        "On the held-out prompts, gold was -0.31 at the start and is -0.48 over the last 3 looks;"
        " the standard error of a look is 0.18."
    )
    assert "did not rise there either" in found.meaning
    assert found.remedy == (
        "Have some of these answers judged and train the reward models again, or raise episodes"
        " from 16 to 32, or set keep from last to best."
    )


def test_worse_than_its_start() -> None:
    # 0.29 lower: more than three errors of 0.06, and what is learned from rose from 0 to 0.5.
    gold, reward = [0.3, 0.0, 0.05, 0.0, -0.02], [0, 0.1, 0.4, 0.5, 0.6]
    kept = with_options(watch=("gold",), keep="best")
    found = only("no_better", looks(gold=gold, reward=reward, error=[0.06] * 5), kept)
    assert found.grave
    assert found.title == "Worse than its start, by what gold says"
    assert "pay for what gold does not call better" in found.meaning
    assert found.remedy == (
        "Have some of these answers judged and train the reward models again, or raise"
        " kl_coefficient from 0.05 to 0.1."
    )
    unclear = only("no_better", looks(gold=gold, reward=reward, error=[0.1] * 5))
    assert not unclear.grave


@pytest.mark.parametrize(
    "gold",
    [[0.0, -0.5, -0.5, 0.1, 0.5], [0.5, 0.4, 0.3, 0.2]],
    ids=["slow to begin", "few looks"],
)
def test_a_slow_start_is_no_alarm(gold: list[float]) -> None:
    assert not findings(looks(gold=gold, error=[0.3] * len(gold)), CONFIG)


@given(st.lists(st.floats(-3, 3), min_size=5, max_size=12), st.floats(-5, 5))
@settings(deadline=None)
def test_only_the_difference_to_the_start_counts(gold: list[float], shift: float) -> None:
    now, start = sum(gold[-3:]) / 3, gold[0]
    told = list(RULES["no_better"](looks(gold=gold), CONFIG))
    if abs(now - start) > 1e-9:
        assert bool(told) == (now < start)
        moved = looks(gold=[value + shift for value in gold])
        assert bool(list(RULES["no_better"](moved, CONFIG))) == bool(told)


def test_a_reward_that_does_not_rise() -> None:
    still = [0.2, 0.0, 0.1, 0.3, -0.1, *[0.5] * 35, *[0.0, 0.1] * 5]
    found = only("reward_not_rising", a_run(50, reward=still))
    assert found.seen == (
        "It was +0.10 over the first 5 steps and is +0.05 over the last 10 of 50."
    )
    assert found.remedy == (
        "Raise episodes from 16 to 32, or raise learning_rate from 0.0002 to 0.0004, or lower"
        " kl_coefficient from 0.05 to 0.025."
    )
    assert not findings(a_run(49, reward=[*still[:30], *still[-19:]]), CONFIG)
    assert not findings(a_run(50, reward=[*still[:-1], 0.7]), CONFIG)


def test_many_clipped_updates() -> None:
    found = only("much_clipped", a_run(10, clip_fraction=0.45))
    assert found.seen.startswith("The gradient of 45% of the tokens was cut off")
    assert found.remedy == "Lower learning_rate from 0.0002 to 0.0001, or lower epochs from 2 to 1."
    assert not findings(a_run(10, clip_fraction=0.3), CONFIG)
    once = only("much_clipped", a_run(10, clip_fraction=0.45), with_options(epochs=1))
    assert once.remedy == "Lower learning_rate from 0.0002 to 0.0001."


def test_a_policy_that_hardly_moves() -> None:
    still = a_run(20, clip_fraction=0.0, approx_kl=3e-8)
    found = only("hardly_moves", still)
    assert "3e-08 nats per token" in found.seen
    assert found.remedy == "Raise learning_rate from 0.0002 to 0.0006, or raise epochs from 2 to 4."
    frozen = only("hardly_moves", still, with_options(learning_rate=0))
    assert frozen.remedy.startswith("Raise learning_rate from 0 to 0.0002")
    # A single update per step begins and ends where the ratio is 1, however far it then goes.
    assert not findings(still, with_options(epochs=1, minibatches=1))
    assert not findings(a_run(20, clip_fraction=0.0, approx_kl=1e-5), CONFIG)
    assert not findings(a_run(19, clip_fraction=0.0, approx_kl=0.0), CONFIG)


def test_a_kl_above_its_target_for_long() -> None:
    found = only("kl_above_target", a_run(20, kl=16.0))
    assert found.seen == "16.0 nats per answer over the last 20 steps; the target is 8."
    assert "raise kl_gain from 0.1 to 0.2" in found.remedy
    assert not findings(a_run(19, kl=16.0), CONFIG)
    assert not findings(a_run(20, kl=11.9), CONFIG)
    assert not findings(a_run(20, kl=[7.9] + [30.0] * 19), CONFIG)


def test_most_answers_cut() -> None:
    found = only("answers_cut", a_run(10, finished_fraction=0.25))
    assert found.seen == "75% do not end within 64 tokens (last 10 steps)."
    assert found.remedy.startswith("Raise max_new_tokens from 64 to 128")
    assert not findings(a_run(10, finished_fraction=0.5), CONFIG)
    assert not findings(a_run(10, finished_fraction=0.0), with_options(missing_end_penalty=0))


def test_one_reward_bought_with_another() -> None:
    config = with_options(rewards={"helpful": 1.0, "harmless": 0.5, "short": -1.0, "unpaid": 0})
    moves = {"reward/helpful": jump(0.1, 0.8), "reward/harmless": jump(0.4, 0.0)}
    found = only("rewards_apart", a_run(15, **moves), config)
    assert found.title == "helpful gains what harmless loses"
    assert "helpful went from +0.10 to +0.80 and harmless from +0.40 to +0.00" in found.seen
    assert "now helpful=1, harmless=0.5" in found.remedy
    little = {"reward/helpful": jump(0.1, 0.8), "reward/harmless": jump(0.4, 0.15)}
    assert not findings(a_run(15, **little), config)
    # What is paid for falling, or not paid at all, takes nothing away when it falls.
    for name in ("short", "unpaid"):
        pair = {"reward/helpful": jump(0.1, 0.8), f"reward/{name}": jump(0.4, 0.0)}
        assert not findings(a_run(15, **pair), config)
    rising = {"reward/helpful": jump(0.1, 0.8), "reward/short": jump(0.4, 0.8)}
    assert only("rewards_apart", a_run(15, **rising), config).about == "helpful, short"


def test_rewards_without_spread() -> None:
    found = only("no_spread", a_run(10, reward_spread=0.001))
    assert "differ by 0.001" in found.seen
    assert "raise episodes from 16 to 32" in found.remedy
    assert not findings(a_run(10, reward_spread=0.021), CONFIG)


# --- laws -----------------------------------------------------------------------------------------

METRICS = {
    "kl": (-3, 60), "ratio_error": (0, 0.1), "entropy": (0, 3), "repeated_text": (0, 1),
    "response_length": (1, 300), "length_correlation": (-1, 1), "explained_variance": (-3, 1),
    "clip_fraction": (0, 1), "approx_kl": (0, 1e-5), "finished_fraction": (0, 1),
    "reward_spread": (0, 0.1), "reward/helpful": (-2, 2), "reward/harmless": (-2, 2),
    "watched/gold": (-2, 2), "held_out_reward": (-2, 2), "watched_error/gold": (0, 0.1),
}  # fmt: skip
"""What the rules read, and between what it lies."""


@st.composite
def any_run(draw: st.DrawFn) -> list[tuple[int, str, float]]:
    """A run in which everything may jump once, so that rules have something to say."""
    steps = draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    told = []
    for name, (low, high) in METRICS.items():
        before, after = rng.uniform(low, high, 2)
        turn = rng.integers(0, steps + 1)
        noise = draw(st.sampled_from([0.0, 0.01, 0.1])) * (high - low)
        for step in range(1, steps + 1):
            value = (before if step < turn else after) + noise * rng.normal()
            told.append((step, name, float(np.clip(value, low, high))))
    return sorted(told, key=lambda point: point[0])


@st.composite
def any_config(draw: st.DrawFn) -> PPOConfig:
    return with_options(
        rewards={"helpful": 1.0, "harmless": draw(st.sampled_from([0.0, 0.5, -1.0]))},
        learning_rate=draw(st.sampled_from([0, 1e-6, 2e-4, 9e-3])),
        kl_coefficient=draw(st.sampled_from([0, 0.05, 9])),
        kl_gain=draw(st.sampled_from([0, 0.1, 0.9])),
        epochs=draw(st.sampled_from([1, 2, 20])),
        episodes=draw(st.sampled_from([2, 33, 4096])),
        max_new_tokens=draw(st.sampled_from([1, 77, 8192])),
        missing_end_penalty=draw(st.sampled_from([0, 1])),
        value_learning_rate=draw(st.sampled_from([0, 1e-3, 0.09])),
        temperature=draw(st.sampled_from([0.1, 1, 1.9])),
        minibatches=draw(st.sampled_from([1, 2])),
        kl_target=draw(st.sampled_from([0.01, 8])),
    )


@settings(deadline=None, max_examples=150)
@given(any_run(), any_config())
def test_a_history_that_forgets_its_middle_says_the_same(
    told: list[tuple[int, str, float]], config: PPOConfig
) -> None:
    short = History()
    for step in sorted({step for step, _, _ in told}):
        short = short.after(step, {name: value for at, name, value in told if at == step})
    assert findings(short, config) == findings(History.of(told), config)
    for name, points in short.points.items():
        assert len(points) <= FIRST + LONG or "watched" in name or name == "held_out_reward"


@settings(deadline=None, max_examples=300)
@given(any_run(), any_config())
def test_every_remedy_starts_from_what_is_set_and_ends_at_what_may_be_set(
    told: list[tuple[int, str, float]], config: PPOConfig
) -> None:
    for finding in findings(History.of(told), config):
        assert finding.rule in RULES
        for text in (finding.title, finding.seen, finding.meaning, finding.remedy):
            assert text
            assert text == text.strip()
            assert "nan" not in text
        for verb, option, old, new in re.findall(
            r"(raise|lower) (\w+) from (\S+) to ([\d.e+-]+\d)", finding.remedy, re.IGNORECASE
        ):
            assert float(old) == pytest.approx(getattr(config, option), rel=1e-4)
            assert (float(new) > float(old)) == (verb.lower() == "raise")
            assert with_options(**{**config.model_dump(), option: float(new)})


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_a_run_that_goes_well_is_left_alone(seed: int, steps: int) -> None:
    """Rewards rise, the divergence approaches its target, everything has ordinary noise.

    A false alarm here needs chance to pass three standard errors and a size besides; over all rules
    and steps of these 60 runs that is less likely than one in a thousand.
    """
    rng = np.random.default_rng(seed)
    history = History()
    for step in range(1, steps + 1):
        rise = 1 - np.exp(-step / 40)
        metrics = {
            "kl": 8 * rise + rng.normal(0, 0.6),
            "ratio_error": abs(rng.normal(0, 1e-6)),
            "entropy": 2.2 - 0.7 * rise + rng.normal(0, 0.1),
            "repeated_text": abs(rng.normal(0.02, 0.02)),
            "response_length": 60 * (1 + 0.2 * rise) + rng.normal(0, 5),
            "length_correlation": np.clip(rng.normal(0.2, 0.25), -1, 1),
            "explained_variance": 0.6 * rise + rng.normal(0, 0.1),
            "clip_fraction": abs(rng.normal(0.1, 0.04)),
            "approx_kl": abs(rng.normal(0.01, 0.004)),
            "finished_fraction": np.clip(rng.normal(0.8, 0.1), 0, 1),
            "reward_spread": abs(rng.normal(0.8, 0.1)),
            "reward/helpful": 0.8 * rise + rng.normal(0, 0.15),
            "reward/harmless": 0.1 * rise + rng.normal(0, 0.15),
        }
        if step % 10 == 0:
            gold = 0.6 * rise + rng.normal(0, 0.1)
            metrics |= {"watched/gold": gold, "watched_error/gold": 0.15, "held_out_reward": rise}
        history = history.after(step, metrics)
        config = with_options(rewards={"helpful": 1.0, "harmless": 1.0}, epochs=2)
        assert findings(history, config) == []


def test_every_rule_is_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'only("{rule}"' in source for rule in RULES)


def test_nothing_heavy_is_imported_for_it() -> None:
    script = (
        "import sys; import training.policies.health.record, training.policies.health.stopping;"
        "assert not {'torch', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# --- what is measured for the rules ---------------------------------------------------------------


def test_repeated_text_counts_four_grams() -> None:
    # 9 tokens have six 4-grams: 1231 2312 3123 1231 2312 3123, of which three are new.
    assert repeated_text([[1, 2, 3] * 3]) == pytest.approx(0.5)
    # Five of "1111" in eight tokens: one is new.
    assert repeated_text([[1] * 8]) == pytest.approx(0.8)
    assert repeated_text([[1] * 8, [1, 2, 3, 4], [9, 9, 9]]) == pytest.approx(0.4)
    assert repeated_text([[1, 2, 3], []]) is None


@given(st.lists(st.lists(st.integers(0, 3), max_size=30), max_size=5))
def test_repeated_text_is_a_share_and_knows_no_names(answers: list[list[int]]) -> None:
    share = repeated_text(answers)
    assert share is None or 0 <= share < 1
    assert repeated_text([[90 - token for token in answer] for answer in answers[::-1]]) == (
        share if share is None else pytest.approx(share)
    )


@pytest.mark.parametrize(("now", "clear"), [(4.0, False), (4.1, True), (-2.1, True), (-1, False)])
def test_a_change_is_clear_beyond_three_standard_errors(now: float, clear: bool) -> None:
    # The first five have mean 1 and variance 20 / 4, so their mean has an error of 1.
    change = a_run(15, entropy=[0, 0, 0, 0, 5] + [now] * 10).change("entropy")
    assert change is not None
    assert (change.start, change.now, change.error) == pytest.approx((1, now, 1))
    assert change.is_clear == clear


def test_a_correlation_needs_two_things_that_vary() -> None:
    # Deviations -1 0 1 and -2 1 1: 3 / sqrt(2 * 6).
    assert correlated([1, 2, 3], [0, 3, 3]) == pytest.approx(3 / 12**0.5)
    assert correlated([1, 2, 3], [4, 4, 4]) is None
    assert correlated([1], [2]) is None


# --- words ----------------------------------------------------------------------------------------


def test_a_change_that_an_option_allows() -> None:
    assert changed(CONFIG, "clip", 2) == "raise clip from 0.2 to 0.4"
    assert changed(CONFIG, "epochs", 0.5) == "lower epochs from 2 to 1"
    assert changed(with_options(learning_rate=9e-3), "learning_rate", 3) == ""
    assert changed(with_options(kl_coefficient=0), "kl_coefficient", 2, from_zero=0.05) == (
        "raise kl_coefficient from 0 to 0.05"
    )
    assert changed(CONFIG, "no_such_option", 2) == ""
    assert either("lower a", "", "raise b") == "Lower a, or raise b."
    assert either("") == "No option has room left, so read the samples."


# --- when to stop ---------------------------------------------------------------------------------


def test_a_run_without_a_rule_goes_on() -> None:
    run = a_run(30, kl=500.0, entropy=jump(2, 0))
    assert findings(run, CONFIG)
    assert reason_to_stop(run, findings(run, CONFIG), CONFIG) == ""


def test_a_run_stops_when_its_kl_budget_is_spent() -> None:
    config = with_options(stop_kl=6)
    spent = a_run(5, kl=[0, 0, 0, 0, 31])
    assert reason_to_stop(spent, [], config) == (
        "The KL budget is spent: 6.20 nats per answer over the last 5 steps, with stop_kl at 6."
    )
    assert reason_to_stop(a_run(5, kl=[0, 0, 0, 0, 30]), [], config) == ""
    assert reason_to_stop(a_run(4, kl=99), [], config) == ""


def test_a_run_stops_when_nothing_rises_any_more() -> None:
    config = with_options(watch=("gold",), stop_patience=2)
    assert reason_to_stop(looks(gold=[0, 0.5, 0.4]), [], config) == ""
    assert reason_to_stop(looks(gold=[0, 0.5, 0.4, 0.5]), [], config) == (
        "The watched reward has not risen above its +0.50 of step 10 for 2 looks, with"
        " stop_patience at 2."
    )
    assert reason_to_stop(looks(gold=[0, 0.5, 0.4, 0.51]), [], config) == ""
    # Several are averaged: 0.1, 0.3, 0.2 here.
    both = History.of(
        (step, f"watched/{name}", value)
        for name, said in {"a": [0.0, 0.1, 0.4], "b": [0.2, 0.5, 0.0]}.items()
        for step, value in enumerate(said)
    )
    assert both.looks() == [(0, 0.1), (1, 0.3), (2, 0.2)]


def test_a_run_stops_on_a_warning() -> None:
    run = a_run(15, entropy=jump(2, 0.1))
    found = findings(run, CONFIG)
    assert reason_to_stop(run, found, with_options(stop_on=("negative_kl",))) == ""
    assert reason_to_stop(run, found, with_options(stop_on=("entropy_collapsed",))) == (
        "The entropy has collapsed: It is 0.1 nats per token, 5% of the 2 at the start."
        " (stop_on entropy_collapsed)"
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"watch": ("helpful",)}, "watch: 'helpful' is learned from, so watching it shows nothing"),
        ({"stop_patience": 2}, "stop_patience: needs a reward model in watch"),
        ({"keep": "best"}, "keep: the best needs a reward model in watch"),
        ({"stop_on": ("entropy",)}, "stop_on: there is no warning 'entropy'; known: negative_kl"),
        ({"stop_kl": 0}, "stop_kl: input should be greater than 0"),
    ],
)
def test_rules_that_cannot_work_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        with_options(**options)


# --- what is kept ---------------------------------------------------------------------------------


def test_the_record_says_since_when_and_until_when() -> None:
    warned: dict[str, Any] = {}
    for step in range(1, 31):
        run = a_run(step, clip_fraction=[0.1] * 9 + [0.9] * 8 + [0.1] * 13)
        warned = warned_too(warned, findings(run, CONFIG), step=step)
    # Means of ten above 0.3: from (7 x .1 + 3 x .9) / 10 = .34 at step 12 to the same at step 24.
    [warning] = warned.values()
    assert (warning["since"], warning["until"]) == (12, 24)
    told = markdown(health_record(warned, steps=30, kept=20, stopped="The KL budget is spent."))
    assert "It was stopped after step 30. The KL budget is spent." in told
    assert "those of step 20 of 30, where the watched reward was best" in told
    assert "- **Many updates are clipped** (steps 12 to 24). The gradient of 34% of the" in told
    assert warning["remedy"] in told
    lasting = markdown(health_record(warned, steps=24, kept=24, stopped=""))
    assert "(from step 12 to the end)" in lasting
    assert "stopped" not in lasting


def test_a_run_without_warnings_says_so() -> None:
    told = markdown(health_record({}, steps=5, kept=5, stopped=""))
    assert told == "## Health of the run\n\nNo rule found anything wrong.\n"
