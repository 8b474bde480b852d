"""A recipe: one thing Tandem can do, with options declared once and shown three times.

The same frozen `Config` draws the command line, the web form and the job record. A package lists
its recipes in a plain dict (`REWARDS`, `POLICIES`, `IMPORTERS`, `EXPORTERS`, `JUDGES`); adding one
is a file and a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.errors import InvalidOption, NotFound


class RecipeConfig(BaseModel):
    """A recipe's options: frozen, bounded, described, and closed to unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, typed: Mapping[str, Any]) -> Self:
        """Turn what a person typed into a checked configuration.

        Raises:
            InvalidOption: A field is unknown, missing or out of bounds; names field and value.
        """
        try:
            return cls.model_validate(dict(typed))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            problem = first["msg"].removeprefix("Value error, ")
            if first["type"] == "extra_forbidden":
                problem = f"there is no such option; known: {', '.join(sorted(cls.model_fields))}"
            raise InvalidOption(name, problem, first["input"]) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One entry of a recipe table."""

    name: str
    summary: str
    """One sentence for a menu, without a full stop."""
    config: type[RecipeConfig]
    run: Callable[..., Any]
    foretell: Callable[..., Any] | None = None
    """Takes what `run` takes of data and device, and says how much memory `run` would need."""
    together: bool = False
    """Whether several processes, started by a launcher, may do it together."""


Entry = TypeVar("Entry", bound=Recipe)


def find(table: Mapping[str, Entry], kind: str, name: str) -> Entry:
    """Look a recipe up by name.

    Raises:
        NotFound: With the nearest known name.
    """
    try:
        return table[name]
    except KeyError:
        raise NotFound(kind, name, table) from None


class Progress(Protocol):
    """Where slow work tells how far it is. One call is heartbeat, metric and cancellation point."""

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Say that `step` of `total` is done, with metrics to draw.

        Raises:
            JobCancelled: A person stopped the job; leave at once, the last checkpoint stays.
        """

    def log(self, line: str) -> None:
        """Write one line into the job's log."""


class Silent:
    """A progress for work that tells nobody, such as that of all processes but the first."""

    def report(self, *_: object, **__: object) -> None:
        """Say nothing."""

    def log(self, line: str) -> None:
        """Say nothing."""
