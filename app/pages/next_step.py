"""How far a project is on its way round the loop, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from app.pages.fragments import count, link
from app.pages.visit import Visit
from storage import models, snapshots, studies
from storage.database import Connection
from storage.judgements import counts
from storage.records import Project

FEW_JUDGEMENTS = 50
"""Below this a snapshot is hardly worth training on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a project is on its way round the loop."""

    counts: Mapping[str, int]
    """As `storage.judgements.counts` gives them."""
    snapshots: int
    rewards: int
    policies: int
    open_studies: int
    closed_studies: int


def standing_of(connection: Connection, project: Project) -> Standing:
    """Count what a project has."""
    known = studies.studies(connection)
    mine = [study for study in known if study.project == project.id]
    frozen = snapshots.snapshots(connection, project.id)
    learnt = models.models(connection)
    ids = {snapshot.id for snapshot in frozen}
    rewards = {model.id for model in learnt if model.snapshot in ids}
    return Standing(
        counts=counts(connection, project.id),
        snapshots=len(frozen),
        rewards=len(rewards),
        policies=sum(
            model.purpose == "policy" and bool(rewards & set(model.parents)) for model in learnt
        ),
        open_studies=sum(study.closed is None for study in mine),
        closed_studies=sum(study.closed is not None for study in mine),
    )


def next_step(standing: Standing, visit: Visit) -> tuple[str, Markup]:
    """What a researcher would sensibly do next: a few words, and a sentence with the way there."""
    known = standing.counts
    judged = count(known["submissions"], "judgement")
    data, train, studies_page = (visit.address(page) for page in ("data", "train", "studies"))
    elsewhere = visit.project is not None and visit.project.collecting.argilla_workspace
    # The first step that is not done yet, in the order of the loop.
    steps = [
        (
            known["prompts"] > 0,
            "Import prompts.",
            "This project is empty.",
            ("Import a file", data),
        ),
        (
            known["tasks"] > 0 or known["submissions"] > 0,
            "Make tasks.",
            f"{count(known['responses'], 'response')} are here, but nothing to judge yet.",
            ("Make tasks of them", data),
        ),
        (
            known["submissions"] >= FEW_JUDGEMENTS or standing.snapshots > 0,
            "Collect judgements.",
            f"{judged} so far; from about {FEW_JUDGEMENTS} on a snapshot is worth training on.",
            ("Pull the answers from Argilla", data)
            if elsewhere
            else ("Judge some answers", "/annotate"),
        ),
        (
            standing.snapshots > 0,
            "Freeze a snapshot.",
            f"{judged} can be learnt from.",
            ("Freeze them", data),
        ),
        (
            standing.rewards > 0,
            "Train a reward model.",
            "A snapshot is ready.",
            ("Choose a recipe", train),
        ),
        (
            standing.policies > 0,
            "Train a policy.",
            "A reward model can now tell better answers from worse.",
            ("Start PPO against it", train),
        ),
        (
            standing.open_studies == 0,
            "Collect votes.",
            f"{count(standing.open_studies, 'study is', 'studies are')} open.",
            ("Send participants the link", studies_page),
        ),
        (
            standing.closed_studies > 0,
            "Ask people.",
            "A higher reward is not yet a better answer; only people can say.",
            ("Open a blinded study", studies_page),
        ),
        (
            False,
            "Go round again.",
            "Let the new policy answer, have its answers judged, and train on them.",
            ("Sample answers", data),
        ),
    ]
    title, text, way = next((name, text, way) for done, name, text, way in steps if not done)
    return title, Markup("{} {}.").format(text, link(*way))
