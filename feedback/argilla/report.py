"""What came of the responses that were read from Argilla."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feedback.argilla.server import Answered

REASONS = 10
"""How many refused answers a report quotes."""


@dataclass(slots=True, kw_only=True)
class Pulled:
    """What came of the responses that were read."""

    records: int = 0
    missed: int = 0
    """Records that moved from page to page while they were read; the next pull finds them."""
    responses: int = 0
    new: int = 0
    """Judgements that nothing was known of."""
    changed: int = 0
    """Judgements in the place of an earlier one of the same person, which was taken back."""
    known: int = 0
    """Judgements and discarded tasks that were here already."""
    discarded: int = 0
    """Tasks that somebody passed over, newly so."""
    withdrawn: int = 0
    """Judgements taken back because the response is a draft again, or gone."""
    drafts: int = 0
    """Answers that nobody has submitted yet; they stay in Argilla."""
    older: int = 0
    """Answers that differ from what stands here, and are older or do not say when they were given;
    what stands is kept."""
    beside: int = 0
    """Judgements beyond what their tasks asked for; they are kept like all others."""
    foreign: int = 0
    """Records that are no task of the project."""
    mended: int = 0
    """Responses that the server had saved without values, and now has with an empty set of them."""
    refused: int = 0
    """Submitted answers that are no judgement of their task."""
    reasons: list[str] = field(default_factory=list)
    """What was wrong with the first of them."""

    def refuse(self, answer: Answered, why: str) -> None:
        """Count an answer that cannot be kept, and say why."""
        self.refused += 1
        if len(self.reasons) < REASONS:
            self.reasons.append(f"record {answer.record}, user {answer.user}: {why}")

    def as_json(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)

    def sentence(self) -> str:
        """What changed here, and what did not come; for people."""
        said = [
            f"{number} {what}"
            for number, what in (
                (self.new, "new judgements"),
                (self.changed, "changed ones"),
                (self.discarded, "discarded tasks"),
                (self.withdrawn, "judgements taken back"),
                (self.beside, "beyond what their tasks asked for"),
                (self.older, "answers that something newer stands against"),
                (self.drafts, "drafts left in Argilla"),
                (self.foreign, "records that are no task of this project"),
                (self.missed, "records that moved while they were read; pull again"),
                (self.refused, "answers refused"),
            )
            if number
        ]
        why = f" The first: {self.reasons[0]}" if self.reasons else ""
        return f"{', '.join(said) or 'Nothing new'}.{why}"
