"""The health panel of a PPO run: live from its metrics, afterwards from its record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.pages.run_health import health, health_of_model, held_out
from storage.records import Job, JobId, JobState, Model, ModelId
from training.policies.config import PPOConfig
from training.policies.health import RULES, findings
from training.policies.health.history import History
from training.policies.health.record import health_record, told, warned_too

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


def a_job(**config: Any) -> Job:
    return Job(
        id=JobId("1"),
        kind="policy",
        recipe="ppo",
        config={"rewards": {"helpful": 1.0}, **config},
        state=JobState.RUNNING,
        created=NOW,
    )


def clipped(steps: int) -> list[tuple[int, str, float]]:
    return [(step, "clip_fraction", 0.5) for step in range(1, steps + 1)]


def record(*, kept: int = 12, stopped: str = "") -> dict[str, Any]:
    config = PPOConfig.read({"rewards": {"helpful": 1.0}})
    warned: dict[str, Any] = {}
    for step in (10, 11):
        warned = warned_too(warned, findings(History.of(clipped(step)), config), step=step)
    return health_record(warned, steps=12, kept=kept, stopped=stopped)


def test_a_running_job_is_told_what_goes_wrong_now_and_what_to_change() -> None:
    drawn = health(a_job(learning_rate=0.001), clipped(12))
    assert "Many updates are clipped" in drawn
    assert "The gradient of 50% of the tokens was cut off" in drawn
    # From what this job is set to, with the defaults for what an older job does not say.
    assert "Lower learning_rate from 0.001 to 0.0005, or lower epochs from 2 to 1." in drawn
    assert "t-warn" in drawn
    collapsed = [(step, "entropy", 2.0 if step < 6 else 0.1) for step in range(1, 16)]
    assert "t-bad" in health(a_job(), collapsed)


def test_a_job_with_lists_from_json_is_read_like_its_configuration() -> None:
    config = PPOConfig.read({"rewards": {"helpful": 1.0}, "watch": ("gold",), "keep": "best"})
    assert "Lower learning_rate from" in health(
        a_job(**config.model_dump(mode="json")), clipped(10)
    )


def test_a_healthy_run_says_so_once_it_can() -> None:
    calm = [(step, "clip_fraction", 0.1) for step in range(1, 16)]
    assert "most rules need 15 steps, and there are 14" in health(a_job(), calm[:-1])
    assert f"Nothing looks wrong: {len(RULES)} rules" in health(a_job(), calm)


def test_what_has_no_rules_has_no_panel() -> None:
    assert health(replace(a_job(), recipe="sft"), clipped(12)) == ""
    assert health(a_job(), []) == ""


def test_a_run_that_is_over_shows_its_record() -> None:
    kept = record(kept=8, stopped="The KL budget is spent.")
    job = replace(a_job(), state=JobState.DONE, result={"metrics": {"health": kept}})
    drawn = health(job, [(step, "clip_fraction", 0.0) for step in range(1, 13)])
    assert "<strong>Stopped after step 12.</strong> The KL budget is spent." in drawn
    assert "The weights of step 8 of 12 were kept" in drawn
    assert "steps 10 to 11" in drawn
    [warning] = kept["warnings"]
    for words in (warning["title"], warning["seen"], warning["meaning"], warning["remedy"]):
        assert words in drawn
        assert words in f"{warning['title']} {told(warning)}"
    # A job that failed has no result; then its metrics speak.
    assert "Many updates are clipped" in health(replace(job, result={}), clipped(12))


def test_a_policy_shows_the_record_of_its_run() -> None:
    model = Model(
        id=ModelId("1"),
        name="ppo-1",
        purpose="policy",
        recipe="ppo",
        base="tiny",
        folder="models/ppo-1",
        metrics={"reward": 1.0, "health": record()},
        created=NOW,
    )
    assert "Many updates are clipped" in health_of_model(model)
    assert health_of_model(replace(model, metrics={"reward": 1.0})) == ""


def test_rewards_on_held_out_prompts_share_a_chart() -> None:
    seen = [(0, "held_out_reward", 0.1), (0, "watched/gold", 0.2), (0, "watched_error/gold", 0.1)]
    later = [(9, "held_out_reward", 0.6), (9, "watched/gold", -0.3), (9, "kl", 4.0)]
    drawn = held_out([*seen, *later])
    assert "learned: from 0.1 to 0.6; gold: from 0.2 to −0.3" in drawn
    assert held_out([(9, "kl", 4.0)]) == ""


def test_names_enter_the_panel_without_their_markup() -> None:
    looks = [
        (10 * place, name, value)
        for name, values in {
            f"watched/{HOSTILE}": (0.0, 0.9, 0.9, 0.0, 0.0),
            "held_out_reward": (0.0, 0.2, 0.4, 0.6, 0.8),
        }.items()
        for place, value in enumerate(values)
    ]
    for drawn in (health(a_job(), looks), held_out(looks)):
        assert "<script" not in drawn
        assert "&lt;script&gt;" in drawn
