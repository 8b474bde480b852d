"""Who is asking, and what they may do: signed cookies, API tokens, roles looked up each time.

A cookie holds only who somebody is. What they may do is read from the database on every request, so
taking a role away, or a person, works at once. Participants of a study have a cookie of their own,
which opens that study and nothing else. Programs send a token instead of a cookie; a request that
carries one is judged by it alone.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from itsdangerous import BadSignature, URLSafeSerializer

from storage import annotators
from storage.database import Connection, Database
from storage.errors import NotAllowed, NotFound, StorageFailed
from storage.records import Annotator, AnnotatorId, Role
from storage.settings import Settings
from storage.tokens import annotator_of

SESSION, PARTICIPANT, FORM = "tandem_session", "tandem_participant", "tandem_form"
SESSION_LIFETIME = timedelta(days=14)
PARTICIPANT_LIFETIME = timedelta(days=30)
LINK_LIFETIME = timedelta(days=7)
MOST_STUDIES = 20
"""Studies one browser remembers taking part in; a cookie has little room."""


class SignedOut(NotAllowed):
    """Nobody is signed in, so it cannot be told whether they may."""


def may(annotator: Annotator, needed: Role) -> bool:
    """Whether somebody has at least the role: each role may do all that the later ones may."""
    order = list(Role)
    return annotator.active and order.index(annotator.role) <= order.index(needed)


def needs_fetch(request: Request) -> None:
    """Refuse what a plain form of another site could send.

    With a header of its own, or a token, a browser asks first, and the answer to other sites is no.

    Raises:
        NotAllowed: The header is missing.
    """
    if request.headers.get("x-requested-with") != "fetch" and not _carries_token(request):
        raise NotAllowed(
            "A request that changes something needs the header X-Requested-With: fetch."
        )


def _carries_token(request: Request) -> bool:
    return "authorization" in request.headers


def link_address(settings: Settings, token: str) -> str:
    """Where the holder of a one-time token signs in."""
    return f"{settings.address}/sign-in/{token}"


def first_link(database: Database, settings: Settings, now: datetime) -> str:
    """A one-time link that signs in the first administrator, who is made when there is none yet."""
    with database.write() as connection:
        administrators = [
            person
            for person in annotators.annotators(connection)
            if person.role is Role.ADMINISTRATOR and person.active
        ]
        first = min(administrators, key=lambda person: person.created, default=None)
        if first is None:
            first = annotators.add_annotator(
                connection, "administrator", role=Role.ADMINISTRATOR, now=now
            )
        token = annotators.make_sign_in_link(connection, first.id, now=now, lifetime=LINK_LIFETIME)
    return link_address(settings, token)


def secret(data_dir: Path) -> str:
    """The key that signs cookies, made on first use and readable by its owner only.

    Raises:
        StorageFailed: It can be neither read nor made.
    """
    path = data_dir / "secret"
    try:
        with suppress(FileNotFoundError):
            return path.read_text(encoding="ascii")
        data_dir.mkdir(parents=True, exist_ok=True)
        # Written aside and linked, so that of two processes starting at once one key wins, whole.
        draft = path.with_name(f".secret.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise StorageFailed(
            f"The key that signs cookies, {path}, cannot be read or made ({error.strerror});"
            " check who owns the data directory."
        ) from error


class Access:
    """Reads and writes the cookies of one installation."""

    def __init__(
        self, settings: Settings, database: Database, *, clock: Callable[[], datetime]
    ) -> None:
        key = secret(settings.data_dir)
        self._settings = settings
        self._database = database
        self._clock = clock
        self._signers = {
            name: URLSafeSerializer(key, salt=name) for name in (SESSION, PARTICIPANT, FORM)
        }

    def annotator(self, request: Request, connection: Connection | None = None) -> Annotator | None:
        """Whoever is signed in with a cookie, or None. Inactive people are nobody.

        Args:
            request: With or without the cookie.
            connection: Where to look people up, here as below; by default in one of its own.
        """
        return self._active(self._claimed(request), connection)

    def token_holder(
        self, request: Request, connection: Connection | None = None
    ) -> Annotator | None:
        """Whom the request's API token stands for; None when it carries none.

        Raises:
            SignedOut: The token is not valid. Its cookie does not count then: whoever sends a token
                means to be its holder.
        """
        if not _carries_token(request):
            return None
        scheme, _, token = request.headers["authorization"].partition(" ")
        if scheme.lower() != "bearer":
            raise SignedOut("Send the API token as: Authorization: Bearer TOKEN.")
        try:
            with self._reading(connection) as reading:
                return annotator_of(reading, token.strip())
        except NotAllowed as error:
            raise SignedOut(str(error)) from None

    def needs(self, role: Role) -> Callable[[Request], Annotator]:
        """A FastAPI dependency that gives what `holder` gives."""

        def dependency(request: Request) -> Annotator:
            return self.holder(request, role)

        return dependency

    def holder(
        self, request: Request, role: Role, connection: Connection | None = None
    ) -> Annotator:
        """The annotator, by token or cookie, who has at least this role.

        Raises:
            SignedOut: Nobody is signed in.
            NotAllowed: The role is too low.
        """
        annotator = self.token_holder(request, connection) or self.annotator(request, connection)
        if annotator is None:
            raise self.nobody()
        if not may(annotator, role):
            raise NotAllowed(
                f"This needs the role {role}; {annotator.name} is signed in as"
                f" {annotator.role}. Ask an administrator."
            )
        return annotator

    def is_claimed(self, request: Request) -> bool:
        """Whether the request says at all, with our signature or a token, who it is from."""
        return _carries_token(request) or self._claimed(request) is not None

    @staticmethod
    def nobody() -> SignedOut:
        """What to raise when nobody is signed in."""
        return SignedOut("Nobody is signed in here. Open your sign-in link again.")

    def gate(self, role: Role) -> Callable[[Request], str | None]:
        """An `auth_dependency` for a Gradio mount: the annotator's id, or None to refuse."""

        def dependency(request: Request) -> str | None:
            annotator = self.annotator(request)
            return annotator.id if annotator and may(annotator, role) else None

        return dependency

    def sign_in(self, response: Response, annotator: Annotator) -> None:
        """Let the reply carry a cookie that says who this is from now on."""
        until = self._clock() + SESSION_LIFETIME
        kept = {"annotator": annotator.id, "until": until.timestamp()}
        self._write(response, SESSION, kept, lifetime=SESSION_LIFETIME)

    def sign_out(self, response: Response) -> None:
        """Let the reply take the cookie back."""
        response.delete_cookie(SESSION)

    def participant(
        self, request: Request, code: str, connection: Connection | None = None
    ) -> Annotator | None:
        """Whoever takes part in the study with this code from this browser, or None."""
        if _carries_token(request):
            return None
        return self._active(self._participations(request).get(code), connection)

    def took_part(self, request: Request, code: str) -> AnnotatorId | None:
        """Who took part in the study with this code from this browser, even if they withdrew."""
        kept = None if _carries_token(request) else self._participations(request).get(code)
        return AnnotatorId(kept) if isinstance(kept, str) else None

    def take_part(
        self, request: Request, response: Response, code: str, annotator: Annotator
    ) -> None:
        """Let the reply carry a cookie that opens this study, and keeps those opened before."""
        kept = {**self._participations(request), code: annotator.id}
        newest = dict(list(kept.items())[-MOST_STUDIES:])
        self._write(response, PARTICIPANT, newest, lifetime=PARTICIPANT_LIFETIME)

    def form_token(self, request: Request, response: Response) -> str:
        """A token for a plain form, which only a page of ours can know.

        Half of it lies in a cookie; another site can neither read nor set it, so it cannot make a
        browser post our form.
        """
        half = self._read(request, FORM) or secrets.token_urlsafe(16)
        self._write(response, FORM, half, lifetime=timedelta(hours=12), strict=True)
        return self._form_token(half)

    def is_own_form(self, request: Request, token: str) -> bool:
        """Whether a posted form came from a page that this browser was given."""
        half = self._read(request, FORM)
        return half is not None and hmac.compare_digest(self._form_token(half), token)

    def _form_token(self, half: str) -> str:
        return str(self._signers[FORM].dumps(["form", half]))

    def _participations(self, request: Request) -> dict[str, Any]:
        kept = self._read(request, PARTICIPANT)
        return kept if isinstance(kept, dict) else {}

    def _claimed(self, request: Request) -> object:
        """Whom the session cookie names, who may be gone by now; None without a good one."""
        kept = self._read(request, SESSION)
        if not isinstance(kept, dict) or kept.get("until", 0) < self._clock().timestamp():
            return None
        return kept.get("annotator")

    def _reading(self, connection: Connection | None) -> AbstractContextManager[Connection]:
        return self._database.read() if connection is None else nullcontext(connection)

    def _active(self, identifier: object, connection: Connection | None = None) -> Annotator | None:
        if not isinstance(identifier, str):
            return None
        try:
            with self._reading(connection) as reading:
                annotator = annotators.annotator(reading, AnnotatorId(identifier))
        except NotFound:
            return None
        return annotator if annotator.active else None

    def _read(self, request: Request, name: str) -> Any:
        try:
            return self._signers[name].loads(request.cookies.get(name, ""))
        except BadSignature:
            return None

    def _write(
        self,
        response: Response,
        name: str,
        value: Any,
        *,
        lifetime: timedelta,
        strict: bool = False,
    ) -> None:
        response.set_cookie(
            name,
            str(self._signers[name].dumps(value)),
            max_age=int(lifetime.total_seconds()),
            httponly=True,
            samesite="strict" if strict else "lax",
            secure=self._settings.address.startswith("https://"),
        )
