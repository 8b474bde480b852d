"""When the next request may go out: no faster than agreed, and not while the server rests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Stopped(Exception):
    """Nobody waits for the answer any more."""


class Pace:
    """What several threads ask before each request to the same server.

    Requests are spread evenly, so that no minute, wherever one begins to count it, has more than
    the agreed number and one.

    Args:
        per_minute: Requests in a minute, each new try included; None for as fast as they come.
        clock: Seconds that only grow.
        wait: Waits so many seconds, or until all is stopped; True means stopped.
    """

    def __init__(
        self,
        per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._between = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._turn = threading.Lock()
        self._next = float("-inf")

    def take(self) -> None:
        """Wait for one's turn.

        Raises:
            Stopped: `stop` was called.
        """
        while True:
            with self._turn:
                now = self._clock()
                left = self._next - now
                if left <= 0:
                    self._next = now + self._between
                    break
            self.rest(left)
        self.rest(0)

    def hold(self, seconds: float) -> None:
        """Let nobody go on for so long: the server wants a rest."""
        with self._turn:
            self._next = max(self._next, self._clock() + seconds)

    def rest(self, seconds: float) -> None:
        """Wait alone, as before a new try.

        Raises:
            Stopped: `stop` was called.
        """
        if self._wait(seconds) or self._stopped.is_set():
            raise Stopped

    def stop(self) -> None:
        """Let whoever waits, or comes, go home."""
        self._stopped.set()
