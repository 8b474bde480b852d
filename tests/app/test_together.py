"""Requests that write share transactions and still stand each for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from event_loop import finished
from sqlalchemy import event, insert, text

from app.together import BATCHES, MOST, Together
from storage import tables
from storage.database import Connection, Database
from storage.errors import InvalidAnswer, StorageFailed
from storage.projects import project_names

Job = Callable[[Connection], str]


def adds(name: str, now: datetime) -> Job:
    row = {"id": name, "name": name, "guidelines": "", "collecting": {}, "overlap": 1}

    def job(connection: Connection) -> str:
        connection.execute(insert(tables.projects).values(**row, simulated=False, created=now))
        return name

    return job


def refuses(job: Job) -> Job:
    """Does what the job does, and then thinks better of it."""

    def changed(connection: Connection) -> str:
        job(connection)
        raise InvalidAnswer("no")

    return changed


def all_at_once(database: Database, jobs: list[Job]) -> list[Any]:
    async def run() -> list[Any]:
        together = Together(database)
        asked = (together.write(job, str.upper) for job in jobs)
        return await asyncio.gather(*asked, return_exceptions=True)

    return finished(run())


def names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(project_names(connection))


def test_what_one_raises_undoes_its_own_changes_only(database: Database, now: datetime) -> None:
    wanted = [f"project {number}" for number in range(60)]
    jobs = [
        refuses(adds(name, now)) if number % 3 == 0 else adds(name, now)
        for number, name in enumerate(wanted)
    ]
    outcomes = all_at_once(database, jobs)
    for number, outcome in enumerate(outcomes):
        if number % 3 == 0:
            assert isinstance(outcome, InvalidAnswer)
        else:
            assert outcome == wanted[number].upper()
    assert names(database) == {name for number, name in enumerate(wanted) if number % 3}


def test_many_share_a_few_transactions(sqlite_url: str, now: datetime) -> None:
    database = Database(sqlite_url)
    begun: list[str] = []
    event.listen(database._writer, "commit", lambda _: begun.append("commit"))
    many = 4 * MOST
    outcomes = all_at_once(database, [adds(f"project {number}", now) for number in range(many)])
    assert len(outcomes) == len(names(database)) == many
    # The first ones go alone, because nothing waited yet.
    assert len(begun) <= many / MOST + BATCHES + 1
    database.close()


def test_a_database_that_fails_for_one_fails_for_nobody_else(
    database: Database, now: datetime
) -> None:
    def breaks(connection: Connection) -> str:
        connection.execute(text("SELECT * FROM no_such_table"))
        return "never"

    jobs = [adds("first", now), breaks, adds("second", now), adds("third", now)]
    first, broken, second, third = all_at_once(database, jobs)
    assert (first, second, third) == ("FIRST", "SECOND", "THIRD")
    assert isinstance(broken, StorageFailed)
    assert names(database) == {"first", "second", "third"}


def test_a_transaction_that_is_not_kept_is_not_acknowledged(
    sqlite_url: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)

    def full(_: Database) -> None:
        raise StorageFailed("no room left")

    monkeypatch.setattr(Database, "_wait_for_disk", full)
    outcomes = all_at_once(database, [adds(f"project {number}", now) for number in range(5)])
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    database.close()


def test_what_comes_after_runs_when_it_is_kept_and_outside_of_the_transaction(
    database: Database, now: datetime
) -> None:
    def look(name: str) -> set[str]:
        assert threading.current_thread() is not threading.main_thread()
        with database.write() as connection:  # nobody holds the turn to write any more
            return set(project_names(connection)) & {name}

    async def run() -> list[set[str]]:
        together = Together(database)
        return await asyncio.gather(
            *(together.write(adds(f"project {number}", now), look) for number in range(9))
        )

    assert finished(run()) == [{f"project {number}"} for number in range(9)]


def test_who_hangs_up_keeps_nobody_else_waiting(database: Database, now: datetime) -> None:
    async def run() -> list[Any]:
        together = Together(database)
        tasks = [
            asyncio.ensure_future(together.write(adds(f"project {number}", now), str.upper))
            for number in range(6)
        ]
        await asyncio.sleep(0)
        tasks[2].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = finished(run())
    assert isinstance(outcomes[2], asyncio.CancelledError)
    assert [one for one in outcomes if isinstance(one, str)] == [
        f"PROJECT {number}" for number in range(6) if number != 2
    ]
