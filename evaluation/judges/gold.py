"""A judge that is a simulated rater. Its votes are marked simulated wherever they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from evaluation.judges.voting import Ballot, Judge
from feedback.assignment import ShownTask
from feedback.simulation import SimulatedRater
from storage.recipes import RecipeConfig
from storage.records import Kind


class GoldConfig(RecipeConfig):
    """Vote by the gold quality, as a simulated rater perceives it."""

    seed: Annotated[int, Field(ge=0, description="Another seed is another rater")] = 0
    reliability: Annotated[
        float, Field(gt=0, le=100, description="How sharply quality decides, logits per logit")
    ] = 2.5
    noise: Annotated[
        float, Field(ge=0, le=10, description="Spread of the rater's own taste, in logits")
    ] = 0.3
    position_bias: Annotated[
        float, Field(ge=-10, le=10, description="Pull towards the right answer, in logits")
    ] = 0.0


def gold_judge(config: GoldConfig) -> Judge:
    """A simulated rater, ready to vote."""
    name = f"judge: gold, rater {config.seed}"
    rater = SimulatedRater(
        name=name,
        seed=config.seed,
        reliability=config.reliability,
        noise=config.noise,
        position_bias=config.position_bias,
    )

    def ballots(tasks: Sequence[ShownTask]) -> list[Ballot]:
        answers = [rater.judge(_as_sent(task)) for task in tasks]
        return [Ballot(choice=answer["choice"], both_bad=answer["both_bad"]) for answer in answers]

    return Judge(name=name, kind=Kind.SIMULATED, ballots=ballots)


def _as_sent(task: ShownTask) -> dict[str, object]:
    """A task as the JSON API hands it out, which is what simulated raters read."""
    return {
        "assignment": task.assignment.id,
        "type": task.type,
        "prompt": [{"role": turn["role"], "text": turn["content"]} for turn in task.prompt],
        "responses": [{"text": text} for text in task.responses],
    }
