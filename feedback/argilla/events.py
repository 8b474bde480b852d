"""What an Argilla server tells by itself: that somebody answered, or changed or deleted an answer.

Its messages are signed (Standard Webhooks) and hold the whole response, so nothing has to be asked
back. They come late, not in order, or not at all: never for a response that was saved with an error
500, for example. Pulling now and then stays necessary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from feedback.argilla.server import Answered, Server, answered
from storage.errors import InvalidData, NotAllowed

EVENTS = ("response.created", "response.updated", "response.deleted")


@dataclass(frozen=True, slots=True)
class Subscription:
    """The server's promise to send its messages somewhere."""

    id: str
    secret: str
    """Signs them."""


class _Dataset(BaseModel):
    id: str


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow")

    external_id: str | None
    dataset: _Dataset


class _User(BaseModel):
    id: str


class _Response(BaseModel):
    model_config = ConfigDict(extra="allow")

    status: str
    values: dict[str, Any] | None
    updated_at: str
    user: _User
    record: _Record


class _Event(BaseModel):
    type: str
    data: _Response


def subscribe(server: Server, address: str, description: str) -> Subscription:
    """Let the server send what is answered to an address, and forget what was asked for before.

    Args:
        server: Signed in as an owner.
        address: A http address of ours that the server reaches.
        description: What the owner reads of it in Argilla.

    Raises:
        ServiceFailed: The server refused, or does not answer.
    """
    for known in server.read("/api/v1/webhooks")["items"]:
        if known["url"] == address:
            server.delete(f"/api/v1/webhooks/{known['id']}")
    wanted = {"url": address, "events": list(EVENTS), "description": description}
    made = server.post("/api/v1/webhooks", wanted)
    return Subscription(str(made["id"]), str(made["secret"]))


def unsubscribe(server: Server, subscription: Subscription) -> None:
    """Let the server send nothing more.

    Raises:
        ServiceFailed: The server refused, or does not answer.
    """
    server.delete(f"/api/v1/webhooks/{subscription.id}")


def read_event(
    subscription: Subscription, body: bytes, headers: Mapping[str, str]
) -> tuple[str, Answered] | None:
    """What a message says: the id of the data set, and the answer as it is now.

    Args:
        subscription: What it was sent for.
        body: As it came.
        headers: By name in small letters.

    Returns:
        None where it is about something else, such as a record without an id of ours.

    Raises:
        NotAllowed: The signature is wrong, or the message is older than five minutes.
        InvalidData: It is signed, and still cannot be read.
    """
    try:
        said = Webhook(subscription.secret).verify(body, dict(headers))
    except WebhookVerificationError as error:
        raise NotAllowed(f"This message is not signed by the Argilla server: {error}.") from error
    try:
        event = _Event.model_validate(said)
    except ValidationError as error:
        raise InvalidData(f"Argilla's message cannot be read: {error.errors()[0]}.") from error
    response = event.data.model_dump()
    if event.type not in EVENTS or response["record"]["external_id"] is None:
        return None
    if event.type == "response.deleted":
        response["status"] = "pending"
    return event.data.record.dataset.id, answered(response["record"], response)
