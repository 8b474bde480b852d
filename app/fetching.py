"""Files that a person names by an address: fetched into a temporary folder, for one use.

An address is `http://`, `https://`, or `hf://datasets/OWNER/NAME/FILE`, a file of the Hub. Only
commands fetch: what an address leads to is asked from this machine, which no page may decide.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from storage.errors import InvalidData, InvalidOption, ServiceFailed
from storage.recipes import Progress

if TYPE_CHECKING:
    import httpx

LARGEST = 20 * 2**30
"""Bytes of a file that is fetched."""
MOST_REDIRECTS = 5
SECONDS = 30.0
"""Longest wait for the next bytes."""
_AT_ONCE = 2**20
_HUB = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")


def is_address(name: str) -> bool:
    """Whether a name is an address rather than a path."""
    return "://" in name


@contextmanager
def fetched(address: str, *, progress: Progress | None = None) -> Iterator[Path]:
    """A file from elsewhere, which is gone when the block ends.

    Args:
        address: `http://`, `https://` or `hf://datasets/OWNER/NAME[@REVISION]/FILE`.
        progress: Told the bytes that are there, and how many there will be.

    Raises:
        InvalidOption: The address is of another kind.
        InvalidData: The file is too large, or ends before its announced size.
        ServiceFailed: Nobody answers, or not with the file.
    """
    with TemporaryDirectory(prefix="tandem-fetch-") as folder:
        if address.startswith("hf://"):
            yield _from_hub(address, Path(folder))
            return
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidOption(
                "path", "an address begins with https://, http:// or hf://", address
            )
        # Only the last part of the path, so that no address names another folder.
        name = PurePosixPath(unquote(parts.path)).name
        path = Path(folder) / (re.sub(r"[^\w.-]", "_", name).lstrip(".") or "file")
        _download(address, path, progress)
        yield path


def _download(address: str, path: Path, progress: Progress | None) -> None:
    import httpx

    try:
        with (
            httpx.Client(
                follow_redirects=True, max_redirects=MOST_REDIRECTS, timeout=SECONDS
            ) as client,
            client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as reply,
        ):
            if reply.status_code != httpx.codes.OK:
                raise ServiceFailed(
                    f"{address} answers {reply.status_code} {reply.reason_phrase}; check the"
                    " address, and whether it needs a sign-in."
                )
            _keep(reply, address, path, progress)
    except httpx.TooManyRedirects as error:
        raise ServiceFailed(
            f"{address} leads on more than {MOST_REDIRECTS} times; name where the file is."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceFailed(
            f"{address} cannot be fetched: {error}. Download the file and name its path."
        ) from error


def _keep(reply: httpx.Response, address: str, path: Path, progress: Progress | None) -> None:
    length = reply.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    got = 0
    with path.open("wb") as target:
        for chunk in reply.iter_raw(_AT_ONCE):
            got += len(chunk)
            if max(got, total or 0) > LARGEST:
                raise InvalidData(
                    f"{address} is larger than {LARGEST >> 30} GiB; download it and name its path."
                )
            target.write(chunk)
            if progress is not None:
                progress.report(got, total=total, message="bytes fetched")


def _from_hub(address: str, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download, is_offline_mode

    found = _HUB.fullmatch(address)
    if found is None:
        raise InvalidOption(
            "path", "a file of the Hub is hf://datasets/OWNER/NAME/FILE, or .../NAME@REVISION/FILE",
            address,
        )  # fmt: skip
    if is_offline_mode():
        raise ServiceFailed(
            f"{address} is on the Hub, and this machine is told to stay offline (HF_HUB_OFFLINE)."
            " Download the file elsewhere and name its path."
        )
    repository, revision, file = found.groups()
    try:
        kept = hf_hub_download(
            repository, file, repo_type="dataset", revision=revision, local_dir=folder / "hub"
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ServiceFailed(
            f"{address} cannot be fetched from the Hub: {reason}. Check the name, the network, and"
            " for private data HF_TOKEN."
        ) from error
    return Path(shutil.move(kept, folder / Path(kept).name))
