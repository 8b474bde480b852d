"""`tandem argilla`: let people judge in Argilla, and bring back what they said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from app.commands.home import AsJson, Home, InHome, ProjectName, project_called
from app.commands.output import note, tell, tell_json
from app.commands.train import ToQueue, tell_queued

argilla = App(
    name="argilla",
    help="Let people judge in Argilla. ARGILLA_API_URL and ARGILLA_API_KEY name the server and"
    " its owner's key.",
)


@argilla.command
def push(
    *,
    home: InHome,
    project: ProjectName = None,
    workspace: Annotated[
        str,
        Parameter(help="Where to, made when it is not there [default: as before, or tandem]."),
    ] = "",
    suggest: Annotated[
        str, Parameter(help="A reward model whose preference annotators see as a suggestion.")
    ] = "",
    queue: ToQueue = False,
    as_json: AsJson = False,
) -> None:
    """Bring a project's open tasks to Argilla; from now on people judge there.

    Pushing again adds what is new. Nothing that was answered is changed.
    """
    config = {"workspace": workspace, "suggest": suggest}
    result = _work(home, project, "push", config, queue=queue, as_json=as_json)
    if result is None:
        return
    for one in result["datasets"]:
        tell(f"{one['dataset']}: {one['added']} records added, {one['known']} known")
    tell(f"People judge at {result['url']} in the workspace {result['workspace']!r}.")


@argilla.command
def pull(
    *,
    home: InHome,
    project: ProjectName = None,
    file: Annotated[
        Path | None,
        Parameter(help="A file that was exported from Argilla, in the place of a server."),
    ] = None,
    queue: ToQueue = False,
    as_json: AsJson = False,
) -> None:
    """Bring back what people said in Argilla. Twice changes nothing."""
    if file is not None:
        import os

        from app.in_argilla import pull_project
        from app.progress import ConsoleProgress, utc_now

        with home.open() as (_, database):
            with database.read() as connection:
                found = project_called(connection, project)
            with ConsoleProgress("pull") as progress:
                result = pull_project(
                    database,
                    found,
                    environment=os.environ,
                    now=utc_now(),
                    progress=progress,
                    file=file,
                )
        if as_json:
            tell_json(result)
    else:
        kept = _work(home, project, "pull", {}, queue=queue, as_json=as_json)
        if kept is None:
            return
        result = kept
    if not as_json:
        _tell_pulled(result)


@argilla.command
def sync(
    *,
    home: InHome,
    project: ProjectName = None,
    every: Annotated[float, Parameter(help="Seconds between two pulls.")] = 60.0,
    listen: Annotated[
        str,
        Parameter(help="HOST:PORT where Argilla's messages are taken; without it, pulls alone."),
    ] = "",
    address: Annotated[
        str,
        Parameter(
            help="How Argilla reaches that, as in http://tandem.lan:7861 [default: as told]."
        ),
    ] = "",
) -> None:
    """Follow what people say in Argilla until it is stopped, through restarts of either side."""
    import os
    import signal
    import threading

    from app.following import Following, follow
    from app.progress import utc_now
    from app.serve import listen as take_port
    from feedback.argilla.server import Server
    from storage.errors import InvalidOption

    if not 1 <= every <= 86_400:
        raise InvalidOption("every", "it lies between 1 second and a day", every)
    host, _, port = listen.rpartition(":")
    if listen and not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise InvalidOption("listen", "it is written HOST:PORT, as in 127.0.0.1:7861", listen)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with home.open() as (_, database):
        with database.read() as connection:
            found = project_called(connection, project)
        following = Following(
            database=database,
            server=Server.open(os.environ),
            project=found,
            now=utc_now,
            tell=lambda line: note(f"{utc_now():%Y-%m-%d %H:%M:%S} {line}"),
        )
        listener = take_port(host, int(port)) if listen else None
        note(f"Following project {found.name!r} in Argilla; Ctrl-C ends it.")
        follow(
            following,
            every=every,
            stopping=stopping,
            listener=listener,
            address=address or f"http://{listen}",
        )


def _work(
    home: Home,
    project: str | None,
    recipe: str,
    config: dict[str, Any],
    *,
    queue: bool,
    as_json: bool,
) -> dict[str, Any] | None:
    """Do it here and return what came of it; None when it was queued or told already."""
    from app.progress import utc_now

    with home.open() as (settings, database):
        with database.read() as connection:
            found = project_called(connection, project).id
        asked: dict[str, Any] = {
            "kind": "argilla",
            "recipe": recipe,
            "config": config,
            "project": found,
        }
        if queue:
            from app.queue import enqueue

            tell_queued(enqueue(database, settings, now=utc_now(), **asked), as_json=as_json)
            return None
        from app.foreground import run_here

        result = run_here(database, settings, **asked)
    if as_json:
        tell_json(result)
        return None
    return result


def _tell_pulled(result: dict[str, Any]) -> None:
    tell(f"{result['records']} records, {result['responses']} responses: {result['summary']}")
    for reason in result["reasons"]:
        note(f"refused: {reason}")
