"""An OpenAI-compatible address: checked, given its key from the environment, refusing in words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from storage.errors import InvalidOption, NotAllowed, ServiceFailed, TandemError

if TYPE_CHECKING:
    from openai import OpenAI, OpenAIError

OPENAI = "https://api.openai.com/v1"
DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"
"""Sent where there is no key, because the client insists on one. Servers without keys ignore it."""
LONGEST_QUOTE = 300

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
    def of(cls, base_url: str, *, key_variable: str, environment: Mapping[str, str]) -> Self:
        """Check an address, and take its key from the environment.

        Args:
            base_url: What the OpenAI client calls so, usually with `/v1` at its end.
            key_variable: Name of the environment variable that holds the key. It need not be set:
                a local server asks for none.
            environment: Usually `os.environ`.

        Raises:
            InvalidOption: The address is none, holds a password, or would carry a key meant for
                another server over an unencrypted connection; or the variable has no proper name.
        """
        host = _host(base_url)
        if not _NAME.fullmatch(key_variable):
            # Perhaps it is the key itself, so it is not repeated.
            raise InvalidOption(
                "key_variable",
                "it is the name of an environment variable that holds the key, not the key",
                "something else",
            )
        key = environment.get(key_variable, "").strip() or None
        unencrypted = base_url.lower().startswith("http:") and not _is_here(base_url)
        if key is not None and unencrypted and key_variable == DEFAULT_KEY_VARIABLE:
            raise InvalidOption(
                "base_url",
                f"it would carry the key in {DEFAULT_KEY_VARIABLE} unencrypted; use https, or name"
                " with --key-variable a variable that holds this server's own key, or none",
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
        from openai import OpenAI  # noqa: PLC0415 - half a second to import

        client = OpenAI(
            api_key=self.key or NO_KEY, base_url=self.base_url, timeout=timeout, max_retries=retries
        )
        if self.host != urlsplit(OPENAI).netloc:
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


def _host(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        is_address = has_port = False
    if not (is_address and has_port) or base_url != base_url.strip():
        raise InvalidOption(
            "base_url", "an address begins with http:// or https:// and names a host", base_url
        )
    if "@" in parts.netloc:
        raise InvalidOption(
            "base_url",
            "it holds a user's name or a password; put the key into an environment variable",
            f"{parts.scheme}://...@{parts.hostname}",
        )
    if parts.query or parts.fragment:
        raise InvalidOption("base_url", "an address has no ? and no # here", base_url)
    return parts.netloc.lower()


def _is_here(base_url: str) -> bool:
    """Whether an address is this machine, which nobody listens in on."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
