"""Where a command works: the data directory that was named, or the one of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from storage.database import Connection, Database
    from storage.records import Project
    from storage.settings import Settings

DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class Home:
    """Given to every command by `app.cli`; opens nothing until it is asked."""

    data_dir: Path | None = None

    def settings(self, **typed: Any) -> Settings:
        """The settings, with what was typed on the command line in the place of the environment's.

        Raises:
            InvalidOption: A variable or an option has a value it may not have.
        """
        from pydantic import ValidationError

        from storage.errors import InvalidOption
        from storage.settings import Settings

        given = {"data_dir": self.data_dir, **typed}
        try:
            return Settings(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            raise InvalidOption(name, first["msg"], first["input"]) from error

    @contextmanager
    def open(self) -> Iterator[tuple[Settings, Database]]:
        """The settings and the database, brought to the newest form and closed afterwards."""
        from storage.database import Database

        settings = self.settings()
        settings.folder()
        database = Database(settings.database)
        try:
            database.migrate()
            yield settings, database
        finally:
            database.close()


InHome = Annotated[Home, Parameter(parse=False)]
"""A parameter that `app.cli` fills in, and no option."""
AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON object.")]
ProjectName = Annotated[
    str | None,
    Parameter(
        name="--project",
        help="Which project; may be left out where there is one, or one called 'default'.",
    ),
]


def project_called(connection: Connection, name: str | None) -> Project:
    """The project of that name; without a name the only one, or the one called "default".

    Raises:
        NotFound: There is none of that name.
        InvalidOption: There are several, and none was named.
    """
    from storage import projects
    from storage.errors import InvalidOption, NotFound

    if name is not None:
        return projects.project_named(connection, name)
    known = projects.projects(connection)
    if not known:
        raise NotFound("project", DEFAULT_PROJECT)
    for project in known:
        if len(known) == 1 or project.name == DEFAULT_PROJECT:
            return project
    names = ", ".join(sorted(project.name for project in known))
    raise InvalidOption("project", f"there are several, so name one of {names}", None)
