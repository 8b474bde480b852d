"""The rankings format: {prompt, responses, rankings: [{annotator, rank: {rid: 1, ...}}]}.

Responses are {rid, text, policy or model}, as in the format `both`; the lowest rank is the best and
equal ranks are a tie. Every two responses of a ranking become a comparison, all of them handed in
together. The user study of Khan's thesis (Ali1858/crs-rlhf) is kept in this shape; the file that it
saved itself, a list of {"response-1": rank, ...} for each prompt, has no texts and cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping

from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    ImportConfig,
    JudgedPrompt,
    Verdict,
    candidate,
    kind_of,
    ranked,
)


def read_rankings(config: ImportConfig, line: Line) -> JudgedPrompt:
    """Read one line."""
    listed = line.objects(line.fields.get("responses"), "'responses'")
    responses = tuple(
        candidate(line, fields, f"response {place}") for place, fields in enumerate(listed, start=1)
    )
    places = {str(fields.get("rid", place)): place for place, fields in enumerate(listed)}
    if len(places) < len(listed) or len(listed) < 2:
        line.refuse("a ranking needs two responses or more, and every rid needs to be its own.")
    verdicts: list[Verdict] = []
    for number, ranking in enumerate(line.objects(line.fields.get("rankings"), "'rankings'")):
        said = ranking.get("rank")
        if not isinstance(said, Mapping):
            line.refuse(f"'rank' needs to be an object of rid and rank; got {shown(said)}.")
        for rid in said:
            if rid not in places:
                line.refuse(
                    f"a ranking names the response {rid!r}, which this prompt does not have;"
                    f" its responses are {', '.join(places)}."
                )
        name = ranking.get("annotator")
        verdicts += ranked(
            responses,
            {places[rid]: line.number_of(rank, "a rank") for rid, rank in said.items()},
            annotator=line.name(name, "the annotator", default=UNKNOWN_ANNOTATOR),
            kind=kind_of(line, ranking, config),
            sitting=f"ranking {number}",
        )
    return JudgedPrompt(
        messages=line.messages(),
        responses=responses,
        verdicts=tuple(verdicts),
        tags=line.tags(),
        source=line.source(),
    )
