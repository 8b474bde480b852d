"""The updates that Argilla 2.8 asks of a search engine and osmem-server refuses.

They are `POST /<index>/_update/<id>` with a script. Argilla sends three: put a response, drop a
response, drop a suggestion. The document is read, changed and written back here, under a lock. Any
other script is refused; whatever else is asked is passed on. Vectors cannot be searched.

Runs in the server's environment:

    python tests/argilla/search_shim.py --listen PORT --upstream http://127.0.0.1:PORT
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp import web

BETWEEN_TWO = frozenset(
    (
        *("accept-encoding", "connection", "content-encoding", "content-length"),
        *("host", "keep-alive", "transfer-encoding"),
    )
)
"""Headers about one connection, not about what it carries."""
_UPDATE = re.compile(r"/([^/]+)/_update/([^/]+)")
_DROP_SUGGESTION = re.compile(
    r"""\s*ctx\._source\[["']suggestions["']\]\.remove\(["'](.+)["']\)\s*;?\s*""", re.DOTALL
)


class UnknownScript(Exception):
    """Argilla does not send such a script."""


def change(source: dict[str, Any], script: str | Mapping[str, Any]) -> None:
    """Do to a document what the script says, in place.

    Raises:
        UnknownScript: It is none of the three.
    """
    if isinstance(script, str):
        script = {"source": script}
    text = script["source"]
    if drop := _DROP_SUGGESTION.fullmatch(text):
        (source.get("suggestions") or {}).pop(drop[1], None)
        return
    if "params.response" not in text:
        raise UnknownScript(text)
    response = script["params"]["response"]
    kept = [one for one in source.get("responses") or [] if one.get("id") != response["id"]]
    if "ctx._source.responses.add(params.response)" in text:
        kept.append(response)
    elif "ctx._source.responses.remove(i)" not in text:
        raise UnknownScript(text)
    source["responses"] = kept


class Shim:
    """The front of one osmem-server."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.rstrip("/")
        self._locks: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._http: aiohttp.ClientSession

    async def connect(self, _: web.Application) -> AsyncIterator[None]:
        """Keep connections to osmem while the front is open."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as self._http:
            yield

    async def handle(self, request: web.Request) -> web.Response:
        """Answer it here if osmem cannot."""
        body = await request.read()
        if update := _UPDATE.fullmatch(request.path):
            # Updates without a script wait, too: they must not fall between a read and its write.
            async with self._locks[update.groups()]:
                asked = json.loads(body or b"{}")
                if "script" in asked:
                    return await self._update(update[1], update[2], asked["script"])
                return await self._pass_on(request, body)
        return await self._pass_on(request, body)

    async def _update(
        self, index: str, document: str, script: str | Mapping[str, Any]
    ) -> web.Response:
        url = f"{self._upstream}/{index}/_doc/{document}"
        async with self._http.get(url) as reply:
            found = await reply.json()
            if reply.status != 200:
                reason = f"[{document}]: document missing"
                return _refusal(reply.status, "document_missing_exception", reason)
        try:
            change(found["_source"], script)
        except UnknownScript as unknown:
            return _refusal(400, "script_exception", f"The shim does not know: {unknown}")
        seen = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
        async with self._http.put(url, params=seen, json=found["_source"]) as reply:
            status = 200 if reply.status == 201 else reply.status
            return web.json_response(await reply.json(), status=status)

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        async with self._http.request(
            request.method,
            self._upstream + request.raw_path,
            data=body or None,
            headers=_end_to_end(request.headers),
        ) as reply:
            headers = _end_to_end(reply.headers)
            return web.Response(status=reply.status, body=await reply.read(), headers=headers)


def _refusal(status: int, kind: str, reason: str) -> web.Response:
    error = {"type": kind, "reason": reason}
    return web.json_response({"error": error, "status": status}, status=status)


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in BETWEEN_TWO}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    shim = Shim(options.upstream)
    app = web.Application(client_max_size=512 * 2**20)
    app.cleanup_ctx.append(shim.connect)
    app.router.add_route("*", "/{tail:.*}", shim.handle)
    web.run_app(app, host="127.0.0.1", port=options.listen, access_log=None, print=None)
