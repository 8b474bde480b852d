"""A made-up loop with realistic numbers, for the report's tests and for looking at it.

`python -m tests.evaluation.made_up_loop FILE` writes the report.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.report import (
    Collected,
    CostPart,
    CurvePart,
    LoopReport,
    PolicyPart,
    RewardModelPart,
    SamplePart,
    write_report,
)
from evaluation.statistics import Agreement, Estimate
from evaluation.verdict import PlanOfPair, StudyVote, study_result
from storage.records import Kind


def estimate(value: float, reach: float, n: int) -> Estimate:
    return Estimate(value, value - reach, value + reach, 0.95, n)


def card(accuracy: float, spearman: float | None, *warnings: str) -> dict[str, Any]:
    return {
        "pair_accuracy": estimate(accuracy, 0.05, 312).as_json(),
        "length_only_accuracy": estimate(0.581, 0.06, 312).as_json(),
        "human_ceiling": estimate(0.84, 0.03, 296).as_json(),
        "spearman": None if spearman is None else estimate(spearman, 0.08, 620).as_json(),
        "calibration_error": 0.043,
        "rewards": {
            "other": np.random.default_rng(2).normal(0.4 - accuracy, 1, 200).tolist(),
            "preferred": np.random.default_rng(1).normal(accuracy - 0.4, 1, 200).tolist(),
        },
        "warnings": list(warnings),
    }


def made_up_loop(seed: int = 4) -> LoopReport:
    rng = np.random.default_rng(seed)
    steps = np.arange(1, 121)
    rise = 1 - np.exp(-steps / 40)

    def points(values: Any) -> list[tuple[float, float]]:
        return [(float(s), float(v)) for s, v in zip(steps, values, strict=True)]

    votes = []
    for prompt in range(24):
        lean = rng.beta(5, 3)
        for rater in range(3):
            left = rng.random() < 0.5
            drawn = rng.random()
            won = 0 if drawn < 0.12 else (-1 if (rng.random() < lean) == left else 1)
            arms = ("PPO (combined)", "its start")
            votes.append(
                StudyVote(
                    prompt=f"p{prompt}",
                    annotator=f"r{rater}",
                    kind=Kind.SIMULATED,
                    left=arms[not left],
                    right=arms[left],
                    choice=won,
                    both_bad=drawn < 0.03,
                )
            )
    study = study_result(
        votes,
        name="PPO against its start",
        arms=("PPO (combined)", "its start"),
        identical={("PPO (combined)", "its start"): ["p90"]},
        plans={("PPO (combined)", "its start"): PlanOfPair(prompts=24, overlap=3)},
        still_open=False,
        rng=rng,
    )
    return LoopReport(
        title="Tandem demo: the whole loop",
        created=datetime(2026, 3, 14, 15, 9, tzinfo=UTC),
        simulated=True,
        summary="SmolLM2-135M-Instruct, judged by five simulated raters, tuned with PPO.",
        facts={
            "Base model": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "Snapshot": "9f2c41d07aa1",
            "Machine": "2 processor cores, no accelerator, 24 GiB",
            "Versions": "tandem 0.1.0, torch 2.13.0, transformers 5.23.0",
        },
        collected=Collected(
            prompts=96,
            responses=384,
            comparisons=1152,
            ratings=2304,
            annotators=5,
            choices={-3: 102, -2: 171, -1: 190, 0: 142, 1: 201, 2: 188, 3: 158},
            rating_values={1: 120, 2: 260, 3: 410, 4: 540, 5: 498, 6: 331, 7: 145},
            agreement=Agreement(
                alpha=estimate(0.46, 0.04, 1152), level="ordinal", items=384, annotators=5
            ),
            position_bias=estimate(0.46, 0.03, 1010),
        ),
        reward_models=(
            RewardModelPart(
                name="combined-1", recipe="combined", card=card(0.79, 0.61), seconds=214
            ),
            RewardModelPart(
                name="preference-1", recipe="preference", card=card(0.76, 0.52), seconds=171
            ),
            RewardModelPart(
                name="absolute-1",
                recipe="absolute",
                card=card(
                    0.60,
                    None,
                    "Pair accuracy 60 % [55, 65] is not clearly above counting characters.",
                    "Spearman is unknown: a rank correlation needs answers to at least 5 prompts.",
                ),
                seconds=163,
            ),
        ),
        policies=(
            PolicyPart(
                name="PPO (combined)",
                summary="From SmolLM2-135M-Instruct, against combined-1 (weight 1), 120 steps.",
                curves=(
                    CurvePart(
                        title="Reward",
                        unit="standard deviations",
                        points=points(1.3 * rise + rng.normal(0, 0.25, 120)),
                        reference=0.0,
                    ),
                    CurvePart(
                        title="KL from the start",
                        unit="nats per answer",
                        points=points(7 * rise + rng.gamma(2, 0.5, 120)),
                        reference=6.0,
                    ),
                    CurvePart(
                        title="Entropy",
                        unit="nats per token",
                        points=points(2.1 - 0.6 * rise + rng.normal(0, 0.06, 120)),
                    ),
                    CurvePart(
                        title="Answer length",
                        unit="tokens",
                        points=points(58 - 9 * rise + rng.normal(0, 3, 120)),
                    ),
                ),
                scores={
                    "combined reward, standard deviations": {
                        "before": rng.normal(0.0, 1, 96).tolist(),
                        "after": (rng.normal(1.1, 0.8, 96)).tolist(),
                    },
                    "gold quality, logits": {
                        "before": rng.normal(0.1, 1, 96).clip(-3, 3).tolist(),
                        "after": rng.normal(0.9, 0.9, 96).clip(-3, 3).tolist(),
                    },
                },
            ),
        ),
        studies=(study,),
        samples=(
            SamplePart(
                prompt="Explain to a ten-year-old why the sky is blue.",
                before="The sky is blue because of a phenomenon called Rayleigh scattering, which"
                " occurs when sunlight interacts with the molecules of gases in the Earth's"
                " atmosphere, such as nitrogen and oxygen, and the wavelengths of the",
                after="Sunlight looks white, but it is made of all the colours you know.\n\n"
                "- Blue light bounces off the air the most.\n- So wherever you look up, some blue"
                " light reaches your eyes.\n\nThat is why your sky is blue!",
                before_note="reward −0.62",
                after_note="reward +1.41",
            ),
            SamplePart(
                prompt="Write <b>bold</b> HTML & explain it.",
                before="<script>alert('no')</script> You write <b>…</b>.",
                after="Put your words between `<b>` and `</b>`.",
                before_note="reward −0.10",
                after_note="reward +0.35",
            ),
        ),
        before_name="Start",
        after_name="PPO (combined)",
        costs=(
            CostPart(step="Sample answers", seconds=148, detail="384 answers", peak_memory=1.1e9),
            CostPart(step="Collect", seconds=9.4, detail="1,152 judgements over HTTP"),
            CostPart(step="Reward models", seconds=548, detail="3 models", peak_memory=1.9e9),
            CostPart(step="PPO", seconds=621, detail="120 steps", peak_memory=2.3e9),
            CostPart(step="Study", seconds=41, detail="72 votes"),
        ),
    )


if __name__ == "__main__":
    write_report(made_up_loop(), Path(sys.argv[1]))
