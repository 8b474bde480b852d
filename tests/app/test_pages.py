"""What the researcher's pages show, of an empty installation and of a full one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from invented import Invented
from pages_desk import HERE, PAGES, Desk, refusal_of

from storage import models, studies
from storage.records import (
    Annotator,
    ModelId,
)


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_installation_says_what_to_do_first(
    empty_desk: tuple[Desk, tuple[Annotator, Annotator, Annotator]], path: str
) -> None:
    desk, (administrator, _, _) = empty_desk
    text = desk.sit(administrator).opened(path)
    expected = {
        "": "Create the first one",
        "data": "No project yet",
        "check": "No project yet",
        "quality": "No project yet",
        "train": "Freeze one",
        "models": "Train one",
        "studies": "No study yet",
        "people": "Lena Holm",
    }
    assert expected[path] in text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ("everyday questions", "collect votes", "Policy with PPO", "items judged by two")),
        ("data", ("80 tasks", "choices", "export/preference?file_type=jsonl")),
        (
            "quality",
            (
                "Krippendorff",
                "Fleiss",
                "In plain words",
                "Pull to the right",
                "Pairs that need another opinion",
                "Nothing reported",
            ),
        ),
        (
            "train",
            (
                "about ",
                "47 of 120",
                "KL from the start",
                "Checkpoint at step 40",
                "Most answers are cut",
            ),
        ),
        ("models", ("combined-1", "ppo-combined-1", "snapshot", "Reward models compared")),
        ("studies", ("Does PPO help?", "No result yet", "/study/", "72 of 72")),
        ("people", ("kept out", "simulated", "may sign in")),
    ],
)
def test_a_full_installation_shows_what_is_there(
    full_desk: tuple[Desk, Invented], path: str, expected: tuple[str, ...]
) -> None:
    text = full_desk[0].opened(path)
    for words in expected:
        assert words in text, words


def test_a_reward_model_is_shown_with_what_it_comes_to_and_its_figures(
    full_desk: tuple[Desk, Invented],
) -> None:
    text = full_desk[0].opened("models", f"{HERE}&model=absolute-1")
    for words in (
        "ounting characters",  # in the verdict
        "length-only baseline",  # among the doubts
        "Accuracy against absolute-1",
        "Kendall",
        "The numbers in the figures",
        "stated probability of being preferred",
        "Rewards by kind of prompt",
        "agreement with each annotator",
    ):
        assert words in text, words
    for name in ("Lena Holm", "Mei Lin"):
        assert name not in text


def test_only_models_judged_by_the_same_pairs_are_compared(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, _ = full_desk
    with desk.database.read() as connection:
        known = models.model(connection, "combined-1")
    elsewhere = {**known.metrics["held_out"], "judged_by": "others", "verdict": "Of other pairs."}
    stranger = replace(
        known, id=ModelId("stranger"), name="stranger-1", metrics={"held_out": elsewhere}
    )
    with desk.database.write() as connection:
        models.add_model(connection, stranger)
    text = desk.opened("models", f"{HERE}&model=combined-1")
    assert "1 reward model judged by other pairs cannot be compared with these." in text
    assert text.count("stranger-1") < text.count("preference-1")
    alone = desk.opened("models", f"{HERE}&model=stranger-1")
    assert "Of other pairs." in alone
    assert "Reward models compared" not in alone


def test_simulated_projects_say_so_on_every_page_of_theirs(
    full_desk: tuple[Desk, Invented],
) -> None:
    for path in ("", "data", "check", "quality", "train", "models", "studies"):
        assert "t-simulated" in full_desk[0].opened(path, "?project=demo+of+the+loop"), path
        assert "t-simulated" not in full_desk[0].opened(path), path


def test_a_project_that_is_not_there_is_named(full_desk: tuple[Desk, Invented]) -> None:
    desk, _ = full_desk
    data = desk.call(desk.handlers("train", "load")[0], address="?project=everyday+question")
    assert "Did you mean &#39;everyday questions&#39;?" in refusal_of(data)


def test_answers_and_names_enter_the_page_without_their_markup(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    text = desk.opened("models", f"{HERE}&asked={invented.asked.id}")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <strong>Rayleigh" in text
    assert "&lt;b&gt;Be brief.&lt;/b&gt;" in text
    desk.call(desk.handler("data", "create"), "<img src=x onerror=alert(1)>", "", "pair", 1)
    for path in PAGES:
        assert "<img" not in desk.opened(path), path


def test_a_closed_study_gives_its_verdict_and_an_open_one_only_when_asked(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    with desk.database.read() as connection:
        closed = next(one for one in studies.studies(connection) if one.closed)
    assert "of 72 votes over 24 prompts" in desk.opened(
        "studies", f"{HERE}&study={closed.id}"
    ).replace("\u00a0", " ")
    assert "t-verdict" not in desk.opened("studies", f"{HERE}&study={invented.study.id}")
    early = json.dumps(desk.call(desk.handler("studies", "look_early")))
    assert "early look" in early
    assert "Early look:" in early
