"""The options of every recipe that learns from rewards: which ones, what each counts, how combined.

A name in `rewards` is that of a function of the text (`training.policies.functions`), the address
of a reward service (`training.policies.service`), or else a reward model's. Free of torch, so that
command line and web form may read it.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from storage.records import digest
from training.policies.functions import text_function
from training.policies.schedule import points

MOST = 64
"""Rewards of one run."""
LONGEST_SHORT = 80


def is_service(name: str) -> bool:
    """Whether a reward's name is the address of a reward service."""
    return re.match("https?://", name, re.IGNORECASE) is not None


def is_reward_model(name: str) -> bool:
    """Whether a reward's name is that of a reward model; also of a name that nobody checked."""
    try:
        return not is_service(name) and text_function(name) is None
    except ValueError:
        return False


def short(name: str) -> str:
    """A reward's name for the names of metrics, of which a job keeps 100 characters."""
    return name if len(name) <= LONGEST_SHORT else f"{name[:70]}…{digest(name)[:8]}"


def _checked(weights: dict[str, float]) -> dict[str, float]:
    for name in weights:
        if name != name.strip() or not name:
            raise ValueError(f"{name!r} begins or ends with a space; in an expression write [ ]")
        if not name.isprintable():
            raise ValueError(rf"{name!r} holds what cannot be shown; in an expression write \s")
        if is_service(name):
            _check_address(name)
        else:
            text_function(name)
    if not all(math.isfinite(weight) for weight in weights.values()):
        raise ValueError("every weight must be a finite number")
    if not any(weights.values()):
        raise ValueError("at least one weight must differ from 0")
    return weights


def _check_address(address: str) -> None:
    import httpx  # takes a tenth of a second, which those who name no address need not wait

    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ValueError(f"the address {address!r} cannot be used: {error}") from error
    if not url.host or not 0 < (url.port or 80) < 65536:
        raise ValueError(f"the address {address!r} names no host, or no port from 1 to 65535")
    if url.userinfo:
        # A configuration is kept for ever, and shown in many places.
        raise ValueError(
            f"an address holds no password; put what {url.host} wants to see into the environment"
            " variable TANDEM_REWARD_TOKENS"
        )


def _scheduled(schedule: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    for name, text in schedule.items():
        points(text)
        if name not in info.data.get("rewards", schedule):
            raise ValueError(f"{name!r} is not among the rewards")
    return schedule


Rewards = Annotated[
    dict[str, float],
    Field(
        min_length=1,
        max_length=MOST,
        description="What rewards an answer, with weights as in helpful=0.5: reward models,"
        " length, length:80, json, matches:REGEX, or http addresses of reward services",
    ),
    AfterValidator(_checked),
]
WeightSchedule = Annotated[
    dict[str, str],
    Field(
        description="Factors on the weights over the run, as in length:80=0:0,0.5:1, which lets"
        " the reward come in over the first half; without one a weight stays"
    ),
    AfterValidator(_scheduled),
]
Combine = Annotated[
    Literal["sum", "worst"],
    Field(
        description="Sum of weight times reward, or the smallest of these, so that no reward can"
        " make up for another"
    ),
]
Uncertainty = Annotated[
    float,
    Field(
        ge=0,
        le=100,
        description="Standard deviations of its members that are taken off the reward of a model"
        " with members",
    ),
]
