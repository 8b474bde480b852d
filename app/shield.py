"""What every request must obey and every reply must say, before any page or endpoint sees it.

* A request that changes something comes from our own pages, not from another site or port of
  this machine (cookies do not know ports).
* A body has a limit.
* Whoever opens a page without being signed in is led to the sign-in page.
* Replies forbid the browser what Tandem never does: foreign scripts and images, being framed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data: blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# Gradio compiles its templates in the browser and carries its settings in inline scripts.
_GRADIO_POLICY = {
    **_POLICY,
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "font-src": "'self' data:",
    "media-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
}


def _written(policy: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in policy.items())


class Shield:
    """An ASGI layer around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        address: str,
        largest_body: Mapping[str, int],
        gradio_mounts: tuple[str, ...],
    ) -> None:
        """Wrap `app`.

        Args:
            app: What is protected.
            address: Our own address, as people type it.
            largest_body: Bytes allowed, by the beginning of the path; the longest one counts.
            gradio_mounts: Paths whose pages are Gradio's.
        """
        self._app = app
        self._address = address
        self._largest_body = sorted(largest_body.items(), key=lambda item: -len(item[0]))
        self._gradio_mounts = gradio_mounts
        self._policies = {True: _written(_GRADIO_POLICY), False: _written(_POLICY)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path: str = scope["path"]
        limit = next(size for start, size in self._largest_body if path.startswith(start))
        too_large = f"This is larger than the {limit:,} bytes allowed here; send less at once."

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 401 and _wants_page(scope, headers):
                    message["status"] = 303
                    MutableHeaders(scope=message)["location"] = _sign_in(
                        path, scope["query_string"]
                    )
                self._protect(MutableHeaders(scope=message), path)
            await send(message)

        received = 0

        async def guarded_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, too_large)
            return message

        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not self._is_ours(headers):
            sentence = "This request came from another site; only Tandem's own pages may send it."
            await _refuse(guarded_send, 403, sentence)
            return
        announced = headers.get("content-length", "0")
        if not announced.isdigit() or int(announced) > limit:
            await _refuse(guarded_send, 413, too_large)
            return
        await self._app(scope, guarded_receive, guarded_send)

    def _is_ours(self, headers: Headers) -> bool:
        """Programs send neither header and carry nobody's cookies; browsers send at least one."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        return origin == self._address or urlsplit(origin).netloc == headers.get("host")

    def _protect(self, headers: MutableHeaders, path: str) -> None:
        is_gradio = path.startswith(self._gradio_mounts)
        headers["content-security-policy"] = self._policies[is_gradio]
        headers["x-content-type-options"] = "nosniff"
        headers["x-frame-options"] = "DENY"
        headers["referrer-policy"] = "same-origin"
        headers["cross-origin-opener-policy"] = "same-origin"
        headers["permissions-policy"] = "camera=(), microphone=(), geolocation=()"
        headers["x-robots-tag"] = "noindex"
        if self._address.startswith("https://"):
            headers["strict-transport-security"] = "max-age=31536000"
        if "cache-control" not in headers and not is_gradio:
            headers["cache-control"] = "no-store"


def _sign_in(path: str, query: bytes) -> str:
    wanted = f"{path}?{query.decode()}" if query else path
    return f"/sign-in?next={quote(wanted, safe='/')}"


def _wants_page(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "GET" and "text/html" in headers.get("accept", "")


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
