"""Everything that can go wrong in ways a person can put right.

* TandemError
  - NotFound         nothing is stored under that name
  - InvalidAnswer    a judgement contradicts itself or its task
  - InvalidData      a file or line does not hold what its format promises
  - InvalidOption    an option has a value it may not have
  - TooLittleData    a number was asked for that the data cannot support
  - NoConvergence    an estimate did not settle, so there is none
  - NotAllowed       the person asking may not do this
  - TrainingFailed   a run diverged or produced numbers that are not numbers
  - StorageFailed    the disk or the database refused to keep something
  - ServiceFailed    another program, asked over the network, does not answer as it should
  - JobCancelled     a person stopped the job
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TandemError(Exception):
    """Base of every error whose message is meant to be read by a user."""


class NotFound(TandemError):
    """Nothing is stored under that name."""

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        known = sorted(known)
        nearest = get_close_matches(name, known, n=1)
        hint = (
            f"Did you mean {nearest[0]!r}?"
            if nearest
            else f"Known: {', '.join(known) or 'none yet'}."
        )
        super().__init__(f"There is no {kind} called {name!r}. {hint}")


class InvalidAnswer(TandemError):
    """The judgement contradicts itself or its task."""


class InvalidData(TandemError):
    """A file or a line does not hold what its format promises."""


class InvalidOption(TandemError):
    """An option has a value it may not have."""

    def __init__(self, option: str, problem: str, value: object) -> None:
        super().__init__(f"{option}: {problem[:1].lower()}{problem[1:]} (got {value!r}).")


class TooLittleData(TandemError):
    """A number was asked for that the data cannot support."""


class NoConvergence(TandemError):
    """An estimate did not settle, so there is none."""


class NotAllowed(TandemError):
    """The person asking may not do this."""


class TrainingFailed(TandemError):
    """A run diverged, or produced numbers that are not numbers."""


class StorageFailed(TandemError):
    """The disk or the database refused to keep something; what was kept before is unchanged."""


class ServiceFailed(TandemError):
    """Another program, asked over the network, does not answer as it should."""


class JobCancelled(TandemError):
    """A person stopped the job."""
