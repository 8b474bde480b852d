"""Annotators at work side by side, each handing in one judgement after the other.

Both servers are measured with the same loop. One cycle is submit-and-next: from sending a judgement
until it is acknowledged and the next task is at hand.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from annotating.browser import Unanswered

T = TypeVar("T")

RESENT = 0.02
"""Share of the judgements that are sent a second time, as after a reply that got lost."""
SETTLING = 10
"""Annotators who fetch their first tasks at the same time."""


class Desk(Protocol):
    """One annotator at one server."""

    async def fetch(self) -> bool:
        """Have the next task at hand; False when there is none left."""

    async def submit(self) -> str:
        """Hand in a judgement of the task at hand; gives the name under which it is kept."""

    async def resend(self) -> None:
        """Send the last judgement again, which must change nothing."""

    def leave(self) -> None:
        """Close the browser."""


@dataclass
class Tally:
    """What a crowd did."""

    acknowledged: list[str] = field(default_factory=list)
    cycles: list[float] = field(default_factory=list)
    """Seconds of each submit-and-next that was begun in time, however late it ended."""
    errors: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0
    """Seconds from the beginning until the last reply."""


async def work(
    desks: Sequence[Desk],
    *,
    thinking: float,
    seconds: float,
    rng: random.Random,
    settled: Callable[[], None],
) -> Tally:
    """Let everybody fetch tasks, then judge for a time or until nothing is left.

    Args:
        desks: The annotators.
        thinking: Mean seconds between having a task and handing in its judgement, spread evenly
            from half of it to one and a half.
        seconds: How long.
        rng: Draws the pauses and what is sent twice.
        settled: Called when everybody has tasks and the time begins.
    """
    tally = Tally()
    gate = asyncio.Semaphore(SETTLING)

    async def settle(desk: Desk) -> bool:
        async with gate:
            return await _tried(desk.fetch(), tally) or False

    ready = await asyncio.gather(*map(settle, desks))
    settled()
    began = time.perf_counter()
    await asyncio.gather(
        *(
            _judge(desk, tally, thinking=thinking, until=began + seconds, rng=rng)
            for desk, is_ready in zip(desks, ready, strict=True)
            if is_ready
        )
    )
    tally.wall = time.perf_counter() - began
    for desk in desks:
        desk.leave()
    return tally


async def _judge(
    desk: Desk, tally: Tally, *, thinking: float, until: float, rng: random.Random
) -> None:
    pause = rng.uniform(0, thinking)  # nobody begins in step
    while time.perf_counter() + pause < until:
        await asyncio.sleep(pause)
        began = time.perf_counter()
        kept = await _tried(desk.submit(), tally)
        if kept is not None:
            tally.acknowledged.append(kept)
        has_more = await _tried(desk.fetch(), tally)
        while has_more is None and time.perf_counter() < until:
            await asyncio.sleep(0.1)
            has_more = await _tried(desk.fetch(), tally)
        tally.cycles.append(time.perf_counter() - began)
        if not has_more:
            return
        if rng.random() < RESENT:
            await _tried(desk.resend(), tally)
        pause = thinking * rng.uniform(0.5, 1.5)


async def _tried(step: Awaitable[T], tally: Tally) -> T | None:
    """What the step gives, or None with the error counted."""
    try:
        return await step
    except Unanswered as error:
        tally.errors[str(error)] += 1
        return None
