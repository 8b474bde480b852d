"""The model card of a multi-objective reward model; see `training.rewards.card` for the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def multi_card(record: Mapping[str, Any]) -> str:
    """The card: its head is for the Hub, the rest for people."""
    return _CARD.format(
        base=record["base"],
        recipe=record["recipe"],
        snapshot=record["snapshot"],
        who=_SIMULATED if record["simulated"] else "",
        aspects="\n".join(map(_row, record["aspects"])),
        metrics="\n".join(
            f"| {name} | {_short(value)} |" for name, value in record["metrics"].items()
        ),
        mean=_short(record["calibration"]["mean"]),
        std=_short(record["calibration"]["std"]),
        length=_short(record["calibration"]["length_correlation"]),
        scale=_short(record["learned"]["scale"]),
        config=json.dumps(record["config"], indent=2),
    )


def _row(aspect: Mapping[str, Any]) -> str:
    found = aspect["validation"]
    cells = (
        aspect["name"].replace("|", "\\|"),
        aspect["answers"],
        f"{aspect['explained']:.0%}",
        _short(found["spearman"]) if found else "",
        _short(found["mean_absolute_error"]) if found else "",
        _short(found["mean_absolute_error_of_constant"]) if found else "",
        _short(aspect["slope"]),
        f"{aspect['weight']:.0%}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


_SIMULATED = """
**Simulated:** some or all of the judgements behind this model come from a program, not from people.
"""

_CARD = """\
---
base_model: {base}
tags: [reward-model, multi-objective, tandem]
---

# Reward model, recipe `{recipe}`

Gives an answer to a prompt one number: more is better. It is a weighted sum of several aspects,
which can be looked at one by one. Made by Tandem from the snapshot `{snapshot}`.
{who}
| aspect | rated answers | variance foretold | rank correlation | error | error of a constant \
| length | weight |
|---|---|---|---|---|---|---|---|
{aspects}

*Variance foretold* is on training prompts that were left out of the fit; *rank correlation*
(Spearman's) and *error* (mean absolute, in points from 1 to 7) are on the validation part, where at
least 10 answers were rated. *Length* is what was taken out of the aspect, in points per factor e of
the answer's number of tokens, so that what is left has no rank correlation with length. *Weight* is
the mean over training answers; it depends on the prompt, is never negative, and so takes it that
more is better in every aspect.

| measured | |
|---|---|
{metrics}

On responses of its snapshot rewards have mean {mean} and standard deviation {std}; their rank
correlation with the length of the response is {length}. One point, averaged over the aspects by
their weights, is worth {scale} in the reward. Only differences of rewards mean something.

This is **no** `AutoModelForSequenceClassification`: `aspects.safetensors` holds linear readings of
the hidden states of `{base}` and a gate, which Tandem puts on it.

```python
from training.rewards.scoring import RewardScorer
scorer = RewardScorer.load(".")
rewards = scorer.score([(messages, answer)])
found = scorer.aspects([(messages, answer)])  # .names, .ratings, .rewards, .weights
```

After Wang et al. (2024), Interpretable Preferences via Multi-Objective Reward Modeling and
Mixture-of-Experts, arXiv:2406.12845. Trained with:

```json
{config}
```
"""
