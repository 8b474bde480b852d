"""What in a text looks like personal data, and the text without it.

Hints, not proofs: a pattern finds a number that is written like a telephone's, and cannot know
whose. Where a number carries its own check (IBAN, credit card), the check decides.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HIDDEN = "•"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """One place of a text that looks like personal data."""

    kind: str
    """One of `KINDS`."""
    start: int
    end: int


def hints(text: str) -> list[Hint]:
    """Every place that looks like personal data, in the order of the text, none within another."""
    found: list[Hint] = []
    for kind, pattern, is_real in _SOUGHT:
        for match in pattern.finditer(text):
            start, end = match.span()
            if is_real(match.group()) and all(end <= h.start or h.end <= start for h in found):
                found.append(Hint(kind=kind, start=start, end=end))
    return sorted(found, key=lambda hint: hint.start)


def masked(text: str) -> str:
    """The text with every hint hidden but for its first two letters or digits."""
    # What is hidden no longer shields what stands beside it, so one more look may find more.
    while found := hints(text):
        pieces, last = [], 0
        for hint in found:
            pieces += [text[last : hint.start], _hidden(text[hint.start : hint.end])]
            last = hint.end
        text = "".join([*pieces, text[last:]])
    return text


def _hidden(secret: str) -> str:
    return "".join(_hide(secret))


def _hide(secret: str) -> Iterator[str]:
    kept = 2
    for character in secret:
        if character.isalnum():
            yield character if kept > 0 else HIDDEN
            kept -= 1
        else:
            yield character


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check of the others, as on credit cards.

    Source:
        ISO/IEC 7812-1, annex B (Luhn, US patent 2,950,048).
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


def passes_mod_97(iban: str) -> bool:
    """Whether the two check digits of an IBAN, written without spaces, are right.

    Source:
        ISO 13616: with its first four characters moved to the end and letters read as 10 to 35,
        the number leaves 1 when divided by 97.
    """
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_iban(text: str) -> bool:
    compact = text.replace(" ", "")
    return 15 <= len(compact) <= 34 and passes_mod_97(compact)


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return digits[0] in "23456" and len(set(digits)) > 1 and passes_luhn(digits)


def _is_public_address(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text).is_global
    except ValueError:
        return False


def _is_phone(text: str) -> bool:
    return 9 <= sum(character.isdecimal() for character in text) <= 15


_SOUGHT: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    # Every repetition is bounded, so that no text makes a search take long.
    (
        "e-mail address",
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}"
            r"@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,18}"
        ),
        lambda _: True,
    ),
    (
        "IBAN",
        re.compile(
            r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}"
            r"(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
        ),
        _is_iban,
    ),
    ("credit card", re.compile(r"(?<![0-9.,-])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])"), _is_card),
    (
        "IP address",
        re.compile(r"(?<![0-9A-Za-z.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])"),
        _is_public_address,
    ),
    (
        "telephone number",
        re.compile(
            r"(?<![0-9A-Za-z.+-])(?:"
            r"(?:\+|00)[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?"
            r"[0-9]{1,5}(?:[ ./-]?[0-9]{2,5}){1,4}"
            r"|(?:\([0-9]{3}\) ?|[0-9]{3}[.-])[0-9]{3}[ .-][0-9]{4}"
            r")(?![0-9A-Za-z-])"
        ),
        _is_phone,
    ),
)
KINDS = tuple(kind for kind, _, _ in _SOUGHT)
"""What is sought."""
