"""The JSON interface for taking part in a study: enter, begin, withdraw."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictStr, StringConstraints

from app import shown
from app.access import Access, SignedOut
from app.api_asking import from_our_pages, open_study, study_behind
from app.consent import consent_text
from feedback.participation import Participation, read_answers
from storage import participants
from storage.annotators import add_annotator, annotator
from storage.database import Connection, Database
from storage.errors import InvalidAnswer, InvalidOption
from storage.participants import Panel
from storage.records import Annotator, Role, Study

PANEL = {"pid": "PROLIFIC_PID", "study": "STUDY_ID", "session": "SESSION_ID"}
"""The parameters that Prolific puts into a study's address."""
_IDENTIFIER = r"^[A-Za-z0-9._@:+-]{1,100}$"
_OPEN_TO_ALL: dict[str, Any] = {"security": []}

Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER)]


class SentBy(BaseModel):
    """Who somebody is to the panel that sent them, as in the address of the page."""

    model_config = ConfigDict(extra="forbid")

    pid: Identifier = Field(description="PROLIFIC_PID.")
    study: Identifier | None = Field(default=None, description="STUDY_ID.")
    session: Identifier | None = Field(default=None, description="SESSION_ID.")


class Consent(BaseModel):
    """What a participant agreed to."""

    consent: Literal[True]
    version: StrictStr | None = Field(
        default=None,
        max_length=16,
        description="Of the text that was read, as the page tells it; without one, the one there"
        " is now.",
    )
    panel: SentBy | None = Field(default=None, description="Null for whoever no panel sent.")


class AboutMe(BaseModel):
    """What a participant says of themselves."""

    model_config = ConfigDict(extra="forbid")

    answers: list[Annotated[StrictStr, Field(max_length=1000)] | None] = Field(
        default_factory=list,
        max_length=20,
        description="In the order of the questions; null where nothing is said.",
    )


class Withdrawal(BaseModel):
    """That a participant withdraws. It cannot be taken back."""

    withdraw: Literal[True]


class Withdrawn(BaseModel):
    """The votes count no more."""

    votes: int = Field(description="How many were taken out.")


def sent_by(query: Mapping[str, str]) -> Panel | None:
    """Who somebody is to the panel that sent them, by the address of the page.

    Raises:
        InvalidOption: The address says it in a form that no panel has; a panel that was set up
            wrongly sends everybody with the same placeholder.
    """
    found = {name: query[parameter] for name, parameter in PANEL.items() if query.get(parameter)}
    for name, value in found.items():
        if not re.fullmatch(_IDENTIFIER, value):
            raise InvalidOption(PANEL[name], "the link does not say who you are", value[:100])
    return Panel(**found) if "pid" in found else None


def participating(
    database: Database, access: Access, *, clock: Callable[[], datetime]
) -> APIRouter:
    """The endpoints that the pages of a study need besides judging."""
    router = APIRouter(tags=["judging"], dependencies=[Depends(from_our_pages)])

    @router.post("/study/{code}/enter", openapi_extra=_OPEN_TO_ALL)
    def enter(
        code: str, consent: Consent, request: Request, response: Response
    ) -> shown.Participation:
        """Take part in a study, under a new pseudonym. Needs no account and asks for no name.

        Whom a panel sends a second time goes on as the same participant, on any device.
        """
        panel = Panel(**consent.panel.model_dump()) if consent.panel else None
        with database.write() as connection:
            study = open_study(connection, code)
            known = access.participant(request, code, connection)
            participant = _entered(connection, study, known, consent.version, panel, now=clock())
        if known is None or known.id != participant.id:
            access.take_part(request, response, code, participant)
        return shown.Participation(annotator=participant.pseudonym)

    @router.post("/study/{code}/begin")
    def begin(code: str, about: AboutMe, request: Request) -> shown.Saved:
        """Say that the instructions are read, and what one wants to say of oneself. Kept once."""
        with database.write() as connection:
            study = open_study(connection, code)
            who = access.participant(request, code, connection)
            if who is None:
                raise SignedOut("Please agree to take part first, on the page of the study.")
            answers = read_answers(Participation.of(study).questions, about.answers)
            return shown.Saved(saved=participants.start(connection, who.id, answers, now=clock()))

    @router.post("/study/{code}/withdraw")
    def withdraw(code: str, _: Withdrawal, request: Request) -> Withdrawn:
        """Take all of one's votes out and erase what leads to oneself; also after the study."""
        with database.write() as connection:
            study = study_behind(connection, code)
            who = access.took_part(request, code)
            if who is None:
                raise SignedOut("Nobody takes part in this study from this browser.")
            votes = participants.withdraw(
                connection, who, study=study.id, project=study.project, now=clock()
            )
        return Withdrawn(votes=votes)

    return router


def _entered(
    connection: Connection,
    study: Study,
    known: Annotator | None,
    version: str | None,
    panel: Panel | None,
    *,
    now: datetime,
) -> Annotator:
    """The participant who agreed just now, a new one unless they had come before."""
    agreed = consent_text(Participation.of(study))
    if version not in (None, agreed.version):
        raise InvalidAnswer("The text has changed since you opened it; load the page again.")
    participants.lock(connection, study.id)
    if panel is not None:
        before = participants.participant_sent_as(connection, study.id, panel.pid)
        if before is not None:
            return annotator(connection, before.annotator)
    elif known is not None:
        return known
    name = f"participant-{secrets.token_hex(6)}"
    made = add_annotator(connection, name, role=Role.PARTICIPANT, now=now)
    participants.take_part(
        connection,
        study.id,
        made.id,
        version=agreed.version,
        text=agreed.text,
        panel=panel,
        now=now,
    )
    return made
