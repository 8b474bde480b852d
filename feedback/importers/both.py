"""The both format: a prompt, its responses with ratings, and preferences between them.

One line is {prompt, responses, preferences}, where each response is {rid, text, policy?, ratings?}
with ratings as in the ratings format, and each preference {a, b, winner: a | b | tie, annotator?,
independent?} names two responses.

A preference is a comparison with `a` on the left and `b` on the right, of which only the direction
is known. `tandem export both` writes more, and it is read back: `choice` (-3 ... 3), `graded`,
`both_bad`, `annotator_kind`, and `submission`, which ties together what was handed in together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from feedback.importers.lines import LONGEST_NAME, Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    JudgedPrompt,
    RatingsConfig,
    Score,
    Verdict,
    candidate,
    kind_of,
    rating_from_1_to_7,
)
from storage.errors import InvalidAnswer
from storage.records import Comparison, ResponseId

_WINNERS = {"a": -1, "tie": 0, "b": 1}


def read_both(config: RatingsConfig, line: Line) -> JudgedPrompt:
    """Read one line."""
    listed = line.objects(line.fields.get("responses"), "'responses'")
    if not listed:
        line.refuse("the prompt has no responses, and the format 'both' needs them to judge.")
    responses = tuple(
        candidate(line, fields, f"response {place}") for place, fields in enumerate(listed, start=1)
    )
    places: dict[str, int] = {}
    for place, fields in enumerate(listed):
        rid = str(fields.get("rid", place + 1))
        if rid in places:
            line.refuse(f"two responses are called {rid!r}; every rid needs to be its own.")
        places[rid] = place
    preferences = line.objects(line.fields.get("preferences"), "'preferences'")
    verdicts = [_verdict(config, line, preference, places) for preference in preferences]
    # A response with the same text of the same policy is the same response.
    telling = tuple(v for v in verdicts if responses[v.left] != responses[v.right])
    return JudgedPrompt(
        messages=line.messages(),
        responses=responses,
        verdicts=telling,
        scores=tuple(
            score
            for place, fields in enumerate(listed)
            for score in _scores(config, line, fields, place)
        ),
        tags=line.tags(),
        source=line.source(),
        skipped=len(verdicts) - len(telling),
        dependent=sum(preference.get("independent") is False for preference in preferences),
    )


def _verdict(
    config: RatingsConfig, line: Line, preference: Mapping[str, Any], places: Mapping[str, int]
) -> Verdict:
    left, right = str(preference.get("a")), str(preference.get("b"))
    for rid in (left, right):
        if rid not in places:
            line.refuse(
                f"a preference names the response {rid!r}, which this prompt does not have;"
                f" its responses are {', '.join(places)}."
            )
    winner, choice = preference.get("winner"), preference.get("choice")
    if winner not in _WINNERS:
        line.refuse(f"the winner is one of {', '.join(_WINNERS)}; got {shown(winner)}.")
    if choice is None:
        choice = _WINNERS[winner]
    graded, both_bad = preference.get("graded", False), preference.get("both_bad", False)
    if not isinstance(graded, bool) or not isinstance(both_bad, bool):
        line.refuse(
            f"'graded' and 'both_bad' are true or false; got {shown(graded)}, {shown(both_bad)}."
        )
    if left != right:
        try:
            Comparison(
                left=ResponseId(left),
                right=ResponseId(right),
                choice=choice,
                graded=graded,
                both_bad=both_bad,
            )
        except InvalidAnswer as error:
            line.refuse(str(error))
    if (choice > 0) - (choice < 0) != _WINNERS[winner]:
        line.refuse(f"the winner {winner!r} contradicts the choice {choice}; mend one of them.")
    return Verdict(
        left=places[left],
        right=places[right],
        choice=choice,
        graded=graded,
        both_bad=both_bad,
        annotator=line.name(
            preference.get("annotator"), "the annotator", default=UNKNOWN_ANNOTATOR
        ),
        kind=kind_of(line, preference, config),
        sitting=_sitting(line, preference),
    )


def _scores(
    config: RatingsConfig, line: Line, response: Mapping[str, Any], place: int
) -> Iterator[Score]:
    for rating in line.objects(response.get("ratings"), "'ratings'"):
        value, scale = rating_from_1_to_7(line, rating, config)
        yield Score(
            response=place,
            aspect=line.name(rating.get("aspect"), "the aspect", default="overall"),
            value=value,
            scale=scale,
            annotator=line.name(
                rating.get("annotator"), "the annotator", default=UNKNOWN_ANNOTATOR
            ),
            kind=kind_of(line, rating, config),
            sitting=_sitting(line, rating),
        )


def _sitting(line: Line, fields: Mapping[str, Any]) -> str | None:
    sitting = fields.get("submission")
    return None if sitting is None else line.text(sitting, "'submission'", longest=LONGEST_NAME)
