"""An OpenAI-compatible address: checked, given its key, refusing in words.

A key is shown at its own host and at no other, and is kept nowhere; `evaluation.endpoint_keys` says
where it comes from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from evaluation.endpoint_keys import DEFAULT_KEY_VARIABLE, OPENAI_HOST, key_for
from storage.errors import InvalidOption, NotAllowed, ServiceFailed, TandemError

if TYPE_CHECKING:
    from openai import OpenAI, OpenAIError

OPENAI = f"https://{OPENAI_HOST}/v1"
NO_KEY = "none"
"""Sent where there is no key, because the client insists on one. Servers without keys ignore it."""
LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where chat completions are asked for, and the key that is shown there."""

    base_url: str
    host: str
    """With the port, where one is written; never a user's name or a password."""
    key: str | None = field(repr=False)
    """None where the environment holds none. It is never stored and never told."""
    key_variable: str
    """The variable that holds the key; empty where it is not set. What is typed there may be a key
    by mistake, so a name that does not exist is not repeated either."""

    @classmethod
    def of(
        cls,
        base_url: str,
        *,
        key_variable: str,
        environment: Mapping[str, str],
        bound: bool = False,
    ) -> Self:
        """Check an address, and find the key for it.

        Args:
            base_url: What the OpenAI client calls so, usually with `/v1` at its end.
            key_variable: Name of the environment variable that holds the key; empty for none. It
                need not be set: a local server asks for no key.
            environment: Usually `os.environ`.
            bound: Take a key only with its host; see `evaluation.endpoint_keys`.

        Raises:
            InvalidOption: The address is none, holds a password, or would carry a key meant for
                another server over an unencrypted connection; or there is something wrong with the
                variable.
        """
        host = host_of(base_url, option="base_url")
        key = key_for(host, key_variable, environment, bound=bound)
        unencrypted = base_url.lower().startswith("http:") and not _is_here(base_url)
        if key is not None and unencrypted and key_variable == DEFAULT_KEY_VARIABLE:
            raise InvalidOption(
                "base_url",
                f"it would carry the key in {DEFAULT_KEY_VARIABLE} unencrypted; use https, or name"
                " as key variable one that holds this server's own key, or none",
                base_url,
            )
        return cls(
            base_url=base_url,
            host=host,
            key=key,
            key_variable=key_variable if key else "",
        )

    def client(self, *, timeout: float, retries: int) -> OpenAI:
        """A client that may be used by several threads at once.

        Args:
            timeout: Seconds that one try may take.
            retries: Further tries after a time-out, a lost connection, 408, 409, 429 or 5xx, each
                after twice the pause (half a second to eight), or what the server asks for.
        """
        from openai import DefaultHttpxClient, OpenAI  # noqa: PLC0415 - half a second to import

        client = OpenAI(
            api_key=self.key or NO_KEY,
            base_url=self.base_url,
            timeout=timeout,
            max_retries=retries,
            # Where an address leads to is not where a person sent us, nor where the key belongs.
            http_client=DefaultHttpxClient(follow_redirects=False),
        )
        if self.host != OPENAI_HOST:
            # The client takes these from the environment. They are nobody else's business.
            client.organization = client.project = None
        return client

    def refusal(self, error: OpenAIError, *, llm: str) -> TandemError | None:
        """What an error means for every request alike, in words; None if it concerns one alone."""
        from openai import (  # noqa: PLC0415 - see above
            AuthenticationError,
            NotFoundError,
            PermissionDeniedError,
        )

        if isinstance(error, AuthenticationError | PermissionDeniedError):
            shown = (
                f"the key in {self.key_variable}"
                if self.key
                else "a request without a key; put one into an environment variable and name that"
                " with --key-variable"
            )
            return NotAllowed(f"{self.host} does not accept {shown} ({error.status_code}).")
        if isinstance(error, NotFoundError):
            return ServiceFailed(
                f"{self.host} has no chat completions of the model {llm!r} at {self.base_url}"
                f" (404{self.quoted(error)}); check --base-url, which mostly ends in /v1, and the"
                " model's name."
            )
        return None

    def is_down(self, error: Exception) -> bool:
        """Whether an error says that the next request will hardly fare better."""
        from openai import (  # noqa: PLC0415 - see above
            APIConnectionError,
            InternalServerError,
            RateLimitError,
        )

        return isinstance(error, APIConnectionError | InternalServerError | RateLimitError)

    def quoted(self, error: Exception) -> str:
        """What the other side says, shortened and without the key; empty if it says nothing."""
        said = " ".join(str(error).split())
        if self.key:
            said = said.replace(self.key, "...")
        return f", saying {said[:LONGEST_QUOTE]!r}" if said else ""


def host_of(address: str, *, option: str) -> str:
    """The host that an address names, with its port where one is written.

    Args:
        address: An `http://` or `https://` address, of which a path may follow the host.
        option: Where it stands, for the refusal.

    Raises:
        InvalidOption: It is none, or holds what it should not. A password is not repeated.
    """
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        is_address = has_port = False
    if not (is_address and has_port) or re.search(r"\s", address):
        raise InvalidOption(
            option, "an address begins with http:// or https:// and names a host", address
        )
    if "@" in parts.netloc:
        raise InvalidOption(
            option,
            "an address is kept and shown, so it may hold no user's name and no password; put the"
            " key into an environment variable",
            f"{parts.scheme}://...@{parts.hostname}",
        )
    if parts.query or parts.fragment:
        raise InvalidOption(option, "an address has no ? and no # here", address)
    return parts.netloc.lower()


def _is_here(base_url: str) -> bool:
    """Whether an address is this machine, which nobody listens in on."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
