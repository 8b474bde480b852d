"""Where Argilla is, as a link may say it: an address of the web, and no key."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

URL, KEY = "ARGILLA_API_URL", "ARGILLA_API_KEY"
"""As in `feedback.argilla.server`, which takes seconds to import."""


def argilla_address(environment: Mapping[str, str]) -> str | None:
    """The address of the Argilla server that the environment names.

    Args:
        environment: Holds ARGILLA_API_URL.

    Returns:
        It without query and fragment; None where there is none, where a browser should not follow
        it, and where it holds a name or a password, which nobody is to see.
    """
    written = environment.get(URL, "").strip()
    if not written.isprintable() or " " in written:
        return None
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return None
    if "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
