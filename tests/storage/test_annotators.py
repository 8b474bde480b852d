"""People have pseudonyms that tell nothing, and sign in with links that work once."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from storage import annotators, tables
from storage.database import Database
from storage.errors import InvalidOption, NotAllowed, NotFound
from storage.records import Annotator, AnnotatorId, Kind, Role

HOUR = timedelta(hours=1)


def ann(database: Database, now: datetime, name: str = "Ann") -> Annotator:
    with database.write() as connection:
        return annotators.add_annotator(connection, name, role=Role.ANNOTATOR, now=now)


def test_an_annotator_is_found_by_name_and_identifier(database: Database, now: datetime) -> None:
    with database.write() as connection:
        kept = annotators.add_annotator(
            connection, "Gold", role=Role.RESEARCHER, kind=Kind.SIMULATED, now=now
        )
    with database.read() as connection:
        assert annotators.annotator(connection, kept.id) == kept
        assert annotators.annotator_named(connection, "Gold") == kept
        assert annotators.annotators(connection) == [kept]
        with pytest.raises(NotFound, match="Did you mean 'Gold'"):
            annotators.annotator_named(connection, "gold")
        with pytest.raises(NotFound):
            annotators.annotator(connection, AnnotatorId("nobody"))


def test_pseudonyms_differ_and_do_not_come_from_the_name(database: Database, now: datetime) -> None:
    with database.write() as connection:
        made = [
            annotators.add_annotator(connection, f"n{n}", role=Role.ANNOTATOR, now=now)
            for n in range(50)
        ]
    pseudonyms = {one.pseudonym for one in made}
    assert len(pseudonyms) == 50
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-\d+", one) for one in pseudonyms)


def test_a_pseudonym_that_is_taken_grows_a_digit(
    database: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotators.secrets, "choice", lambda words: words[0])
    monkeypatch.setattr(annotators.secrets, "randbelow", lambda _: 7)
    names = [ann(database, now, name).pseudonym for name in "abc"]
    assert names == ["amber-badger-07", "amber-badger-007", "amber-badger-0007"]


@pytest.mark.parametrize("name", ["Ann", "", " "])
def test_a_name_is_needed_and_taken_once(name: str, database: Database, now: datetime) -> None:
    ann(database, now)
    with pytest.raises(InvalidOption, match="name"):
        ann(database, now, name)


def test_roles_change_and_people_are_kept_out(database: Database, now: datetime) -> None:
    kept = ann(database, now)
    with database.write() as connection:
        changed = annotators.set_role(connection, kept.id, Role.ADMINISTRATOR)
        assert changed.role is Role.ADMINISTRATOR
        assert not annotators.set_active(connection, kept.id, False).active
        assert annotators.set_active(connection, kept.id, True) == changed
        with pytest.raises(NotFound):
            annotators.set_role(connection, AnnotatorId("nobody"), Role.ANNOTATOR)


class TestLinks:
    def test_a_link_signs_in_once(self, database: Database, now: datetime) -> None:
        kept = ann(database, now)
        with database.write() as connection:
            token = annotators.make_sign_in_link(connection, kept.id, now=now, lifetime=HOUR)
            assert not annotators.has_signed_in(connection, kept.id)
        with database.write() as connection:
            assert annotators.redeem(connection, token, now=now + HOUR / 2) == kept
            assert annotators.has_signed_in(connection, kept.id)
        with pytest.raises(NotAllowed, match="used already"), database.write() as connection:
            annotators.redeem(connection, token, now=now + HOUR / 2)

    def test_a_link_expires(self, database: Database, now: datetime) -> None:
        kept = ann(database, now)
        with database.write() as connection:
            token = annotators.make_sign_in_link(connection, kept.id, now=now, lifetime=HOUR)
            with pytest.raises(NotAllowed, match="expired"):
                annotators.redeem(connection, token, now=now + HOUR)

    @pytest.mark.parametrize("token", ["", "guess", "\ud800", "a\0b"])
    def test_a_guess_does_not_sign_in(self, token: str, database: Database, now: datetime) -> None:
        with pytest.raises(NotAllowed), database.write() as connection:
            annotators.redeem(connection, token, now=now)

    def test_who_is_kept_out_stays_out(self, database: Database, now: datetime) -> None:
        kept = ann(database, now)
        with database.write() as connection:
            token = annotators.make_sign_in_link(connection, kept.id, now=now, lifetime=HOUR)
            annotators.set_active(connection, kept.id, False)
        with pytest.raises(NotAllowed, match="may not sign in"), database.write() as connection:
            annotators.redeem(connection, token, now=now)

    def test_who_reads_the_database_cannot_sign_in(self, database: Database, now: datetime) -> None:
        kept = ann(database, now)
        with database.write() as connection:
            token = annotators.make_sign_in_link(connection, kept.id, now=now, lifetime=HOUR)
            (row,) = connection.execute(select(tables.sign_in_links))
        assert token not in map(str, row)

    def test_of_many_who_click_at_once_one_gets_in(self, database: Database, now: datetime) -> None:
        kept = ann(database, now)
        with database.write() as connection:
            token = annotators.make_sign_in_link(connection, kept.id, now=now, lifetime=HOUR)
        entered: list[str] = []

        def click() -> None:
            try:
                with database.write() as connection:
                    entered.append(annotators.redeem(connection, token, now=now).name)
            except NotAllowed:
                pass

        threads = [threading.Thread(target=click) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert entered == ["Ann"]
