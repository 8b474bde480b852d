"""What participants are told before they agree: the researcher's words beside what Tandem keeps.

The version is a digest of all of it, so that what somebody agreed to cannot change unnoticed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from feedback.participation import Participation
from storage.records import digest

_KEPT = (
    "Your choices, when you made them and how long each took, under a made-up name.",
    "Not your name, your e-mail address or where you are, unless you write it yourself.",
    "One cookie, so that you can go on where you stopped.",
)
_KEPT_ABOUT_YOU = (
    "What you say about yourself, if you answer the questions. You may leave each of them open."
    " Results show only how many people gave an answer, never yours."
)
_KEPT_PANEL = (
    "If a panel such as Prolific sent you: the ID that it gave you, so that you can be paid."
    " Whoever runs the study can read the IDs, but not beside your choices. Results and exports"
    " never show them."
)
_SAY = (
    (
        "Taking part is voluntary. You may stop at any time by closing the page. Some answers may"
        " be wrong or unpleasant; you can stop then, too."
    ),
    (
        "You may also withdraw, on every page and after the end. Your choices are then no longer"
        " counted, and what you said about yourself, what you wrote, and the ID from a panel are"
        " erased."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentText:
    """Everything that participants agree to."""

    own: tuple[str, ...]
    """The researcher's paragraphs."""
    kept: tuple[str, ...]
    say: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, as it is kept word by word."""
        return "\n\n".join(
            ("About this study", *self.own, "What is kept", *self.kept, "Your say", *self.say)
        )

    @property
    def version(self) -> str:
        """16 hexadecimal digits that change with any word."""
        return digest(self.text)


def consent_text(asked: Participation) -> ConsentText:
    """What participants of a study agree to."""
    about_you = (_KEPT_ABOUT_YOU,) if asked.about_you else ()
    return ConsentText(
        own=paragraphs(asked.consent), kept=(*_KEPT, *about_you, _KEPT_PANEL), say=_SAY
    )


def paragraphs(text: str) -> tuple[str, ...]:
    """A plain text, cut where a line is empty."""
    parts = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))
    return tuple(part.strip() for part in parts if part.strip())
