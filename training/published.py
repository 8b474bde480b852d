"""What of a model's record others may read: no annotator, no folder of this machine, no address."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.records import digest
from training import wheel
from training.places import DEFAULT_BASE, TINY
from training.policies.reward_options import is_reward_model, is_service

LONGEST_CHAIN = 100
"""Models that a model descends from, one through the other, at most."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_IN_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
_PLACE = re.compile(r"(?:~|[\w.-]+)?(?:/[^\s/'\"`,;:]+){2,}|^(?:/|~/|\.{1,2}/)[^\s/]+$")
_METRIC = re.compile(r"(?:reward|reward_raw|weight)/")
"""What stands before the name of a reward in the name of a metric."""
_OF_PERSONS = frozenset({"annotators", "leniency", "reliability"})
"""Parts of a record that speak of single annotators."""
_OF_SINGLE_ANSWERS = frozenset({"by_length", "rewards", "distributions", "outcomes", "judged_by"})
"""Parts of a report card that list what single answers got, and who wrote them."""


def hub_name(base: str) -> str | None:
    """The name under which everybody finds a base model on the Hub, or None.

    A folder has none, unless it is one in which such a model is kept here.
    """
    folder = Path(base).expanduser()
    if not folder.is_dir():
        return base if base != TINY and _HUB_NAME.fullmatch(base) else None
    kept = wheel.converted()
    if kept is not None and folder.samefile(kept):
        return DEFAULT_BASE
    found = _IN_CACHE.fullmatch(folder.parent.parent.name)
    return f"{found[1]}/{found[2]}" if found and folder.parent.name == "snapshots" else None


def plain_base(base: str) -> str | None:
    """The Hub's name of what a model descends from, also through models that were made here."""
    for _ in range(LONGEST_CHAIN):
        if name := hub_name(base):
            return name
        try:
            made = json.loads((Path(base) / "tandem.json").read_text(encoding="utf-8"))
            base = str(made["base"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
    return None


def published_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a model as others may read it.

    Left out is what tells of single annotators and of single answers. A folder in any text, such as
    that of a start or of a reward model, is cut down to its last part, and the address of a reward
    service to a digest.
    """
    told = _told(dict(record))
    if card := told["metrics"].get("held_out"):
        told["metrics"]["held_out"] = {
            name: value for name, value in card.items() if name not in _OF_SINGLE_ANSWERS
        }
    return {**told, "base": plain_base(str(record["base"])) or ""}


def _told(value: Any) -> Any:
    match value:
        case dict():
            return {_text(key): _told(one) for key, one in value.items() if key not in _OF_PERSONS}
        case list() | tuple():
            return [_told(one) for one in value]
        case str():
            return _text(value)
    return value


def _text(text: str) -> str:
    if metric := _METRIC.match(text):
        return metric[0] + _text(text[metric.end() :])
    if not is_reward_model(text) and not is_service(text):
        return text  # a function of the answer, such as an expression with slashes
    text = _ADDRESS.sub(lambda found: f"service-{digest(found[0])[:8]}", text)
    return _PLACE.sub(lambda found: found[0].rpartition("/")[2], text)
