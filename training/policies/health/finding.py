"""What a health rule says: what was seen, what it means, and which option to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import InvalidOption

if TYPE_CHECKING:
    from training.policies.config import PPOConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that goes wrong, for a person who has not met it before."""

    rule: str
    """The name in `RULES`."""
    grave: bool
    """What is learned from here on cannot be trusted."""
    title: str
    seen: str
    """With figures."""
    meaning: str
    """What it usually comes from."""
    remedy: str
    about: str = ""
    """Which reward model, where a rule looks at each."""


def changed(config: PPOConfig, option: str, factor: float, *, from_zero: float = 0.0) -> str:
    """What to do to an option: "raise clip from 0.1 to 0.2".

    Empty where the recipe has no such option, or its bounds leave no room.
    """
    if option not in type(config).model_fields:
        return ""
    value = getattr(config, option)
    wanted: float
    if isinstance(value, int):
        wanted = int(value * factor)
    else:  # two digits are enough to try
        wanted = float(f"{value * factor:.2g}") if value else from_zero
    try:
        type(config).read({**dict(config), option: wanted})
    except InvalidOption:
        return ""
    if wanted == value:
        return ""
    return f"{'raise' if wanted > value else 'lower'} {option} from {value:g} to {wanted:g}"


def either(*remedies: str) -> str:
    """The remedies that there are, as one sentence."""
    text = ", or ".join(filter(None, remedies)) or "no option has room left, so read the samples"
    return f"{text[0].upper()}{text[1:]}."
