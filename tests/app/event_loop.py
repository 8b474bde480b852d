"""Run coroutines in tests, also beside the event loop that Playwright keeps running."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What it gives, in a thread of its own: one with a running event loop takes no other."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
