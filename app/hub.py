"""Sending a folder to the Hugging Face Hub: private unless asked otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from storage.errors import InvalidOption, NotAllowed, ServiceFailed

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
Kind = Literal["dataset", "model"]
_CALLED: dict[Kind, str] = {"dataset": "data set", "model": "model"}
_INSTEAD: dict[Kind, str] = {
    "dataset": "name a folder with --output and upload that",
    "model": "write it into a folder (tandem models export) and upload that",
}


def check_destination(name: str, kind: Kind, *, option: str) -> None:
    """See that a name can be one on the Hub, and that the Hub may be asked.

    Args:
        name: OWNER/NAME.
        kind: What is to be sent.
        option: What the person called it.

    Raises:
        InvalidOption: It is no such name.
        ServiceFailed: HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import is_offline_mode

    check_name(name, option=option)
    if is_offline_mode():
        raise ServiceFailed(
            f"The Hub is not asked, because HF_HUB_OFFLINE is set; unset it, or {_INSTEAD[kind]}."
        )


def check_name(name: str, *, option: str) -> None:
    """See that a name can be one on the Hub.

    Raises:
        InvalidOption: It cannot.
    """
    if not HUB_NAME.fullmatch(name) or ".." in name or "--" in name:
        raise InvalidOption(option, "write OWNER/NAME", name)


def send(
    folder: Path,
    *,
    kind: Kind,
    name: str,
    option: str,
    public: bool,
    question: str,
    confirm: Callable[[str], bool],
    message: str,
) -> str:
    """Make a repository hold what a folder holds, and nothing else.

    Args:
        folder: What to send, with a card that bears the tag `tandem`.
        kind: What it is.
        name: OWNER/NAME; made where there is none.
        option: What the person called the name.
        public: Whether everybody may read it.
        question: What `confirm` is asked before anything goes where everybody may read it.
        confirm: Says whether to go on.
        message: Of the commit.

    Returns:
        Its address.

    Raises:
        InvalidOption: The repository is there, and is not of Tandem's making, or is public where a
            private one is wanted or the other way round.
        NotAllowed: It was not confirmed, or the Hub does not let this account write there.
        ServiceFailed: The Hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if public and not confirm(question):
        raise NotAllowed("Nothing was published.")
    hub = HfApi()
    try:
        try:
            found = hub.dataset_info(name) if kind == "dataset" else hub.model_info(name)
        except RepositoryNotFoundError:
            hub.create_repo(name, repo_type=kind, private=not public)
        else:
            _check_found(found, kind, name, option=option, public=public)
        hub.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=folder,
            # What an earlier export left would else be taken for a part of this one.
            delete_patterns="*",
            commit_message=message,
        )
    except HfHubHTTPError as error:
        raise _refused(error, name) from error
    except OSError as error:
        raise _silent(error, kind) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore"):
            raise
        raise _silent(error, kind) from error
    return f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{name}"


def _check_found(found: Any, kind: Kind, name: str, *, option: str, public: bool) -> None:
    """A repository that is there has to be ours, and to be seen by whom it is meant for."""
    called = _CALLED[kind]
    # Not exist_ok: it would leave a public repository public.
    if bool(found.private) is public:
        raise InvalidOption(
            option,
            f"this {called} is there and {'private' if public else 'public'}; change that on its"
            " page, or name another",
            name,
        )
    if "tandem" not in (found.tags or ()):
        raise InvalidOption(
            option,
            f"this {called} is there and no export of Tandem, whose files would be removed; name"
            " another",
            name,
        )


def _silent(error: Exception, kind: Kind) -> ServiceFailed:
    return ServiceFailed(
        f"The Hub does not answer ({type(error).__name__}); try again, or {_INSTEAD[kind]}."
    )


def _refused(error: Any, name: str) -> Exception:
    """What the Hub said, as one of our errors."""
    status = getattr(error.response, "status_code", None)
    if status in (401, 403, 404):
        return NotAllowed(
            f"The Hub does not let this account write to {name}; sign in with `hf auth login` or"
            " set HF_TOKEN to a token that may write."
        )
    said = str(error).splitlines()[0].rstrip(".")
    return ServiceFailed(f"The Hub refused ({said}); try again later.")
