"""`tandem serve`, `worker`, `demo` and `doctor`: the running installation."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.commands.home import AsJson, InHome
from app.commands.output import tell, tell_json

Parent = Annotated[int | None, Parameter(show=False)]
"""Process that this one must not outlive; for our own use."""


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # Every request of every annotator is no event for a terminal.
    for noisy in ("httpx", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def serve(
    *,
    home: InHome,
    host: Annotated[
        str | None, Parameter(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on.")] = None,
    public_url: Annotated[
        str | None, Parameter(help="What people type into the browser, behind a proxy.")
    ] = None,
    parent: Parent = None,
) -> None:
    """Open Tandem in the browser: web server and worker in one."""
    from app.serve import serve as run

    _log_to_stderr()
    run(home.settings(host=host, port=port, public_url=public_url), parent=parent)


def worker(
    *,
    home: InHome,
    device: Annotated[
        list[str] | None,
        Parameter(help="One job runs on each at a time, e.g. cuda:0; may be given several times."),
    ] = None,
    parent: Parent = None,
) -> None:
    """Work queued jobs off, here or on another machine with the same PostgreSQL database."""
    from app.worker import run

    _log_to_stderr()
    run(home.settings(), devices=tuple(device or ()), parent=parent)


def demo(
    *,
    tiny: Annotated[
        bool, Parameter(negative=(), help="Use a random model of two layers: about a minute.")
    ] = False,
    all_rewards: Annotated[
        bool, Parameter(negative=(), help="Tune one policy against each reward model.")
    ] = False,
    output: Annotated[Path, Parameter(help="Folder for the report.")] = Path("report"),
    as_json: AsJson = False,
) -> None:
    """Run the whole loop without people, in a temporary folder, and write a report.

    Simulated raters judge real answers through the real server; reward models and a policy are
    trained; a blinded study is judged. Everything that comes out is marked as simulated.
    """
    from app.demo import run_demo, summary_lines

    # Being told to end is to be an exception, so that the server and the folder go too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = run_demo(output, tiny=tiny, all_rewards=all_rewards)
    if as_json:
        tell_json(result)
        return
    for line in summary_lines(result):
        tell(line)


def doctor(*, home: InHome, as_json: AsJson = False) -> None:
    """Say what is installed, which device works, what fits, and whether the database is sound."""
    from app.doctor import examine

    found = examine(home.settings())
    if as_json:
        tell_json({"checks": [check.as_json() for check in found]})
    else:
        for check in found:
            tell(f"{'ok ' if check.sound else 'BAD'}  {check.name}: {check.finding}")
    if not all(check.sound for check in found):
        from storage.errors import StorageFailed

        bad = ", ".join(check.name for check in found if not check.sound)
        raise StorageFailed(f"Not everything is sound; see {bad} above.")
