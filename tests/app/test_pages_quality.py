"""The Quality page: annotators written to and left out, reports settled, measurements."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invented import Invented
from pages_desk import Desk, refusal_of

from storage.annotators import annotator_named
from storage.errors import NoConvergence, NotAllowed
from storage.flags import add_flag
from storage.messages import unread
from storage.tasks import lease


def test_a_researcher_writes_to_an_annotator_and_leaves_them_out_and_in_again(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    who = invented.annotator
    desk.opened("quality")  # fills the menu of annotators
    do = desk.handler("quality", "do")
    told = json.dumps(desk.call(do, who.id, "message", "Please read both answers to the end."))
    assert f"{who.pseudonym} sees the message" in told
    assert "1 to 2000 characters" in refusal_of(desk.call(do, who.id, "message", " "))
    assert "an exclusion needs one" in refusal_of(desk.call(do, who.id, "exclude", ""))
    told = json.dumps(desk.call(do, who.id, "exclude", "<b>Clicks</b> left"))
    assert "stay out of the next snapshot" in told
    assert "&lt;b&gt;Clicks&lt;/b&gt; left" in desk.opened("quality")
    assert "was excluded already" in json.dumps(desk.call(do, who.id, "exclude", "again"))
    assert "counts again" in json.dumps(desk.call(do, who.id, "count", ""))
    assert "Excluded from the next snapshot" not in desk.opened("quality")
    assert "may not sign in now" in json.dumps(desk.call(do, who.id, "pause", ""))
    assert "may sign in again" in json.dumps(desk.call(do, who.id, "resume", ""))
    with desk.database.read() as connection:
        assert annotator_named(connection, who.name).active
        assert [one.text for one in unread(connection, who.id)] == [
            "Please read both answers to the end."
        ]
    assert "There is no annotator" in refusal_of(desk.call(do, None, "message", "Hello?"))


def test_nobody_but_annotators_can_be_paused(full_desk: tuple[Desk, Invented]) -> None:
    from app.pages.quality import act_on
    from app.pages.visit import Visit

    desk, invented = full_desk
    visit = Visit(
        who=invented.researcher, project=invented.project, projects=(invented.project,),
        query={}, now=datetime.now(UTC),
    )  # fmt: skip
    with pytest.raises(NotAllowed, match="only an administrator may pause them"):
        act_on(visit, desk.database, invented.administrator.id, "pause", "")
    with desk.database.read() as connection:
        assert annotator_named(connection, invented.administrator.name).active


def test_a_reported_task_is_shown_until_it_is_settled(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    now = datetime.now(UTC)
    with desk.database.write() as connection:
        given = lease(
            connection, invented.annotator.id, count=1, project=invented.project.id,
            rng=np.random.default_rng(0), now=now, lifetime=timedelta(hours=1),
        )[0]  # fmt: skip
        add_flag(
            connection, "flag-1", given.id, invented.annotator.id,
            reason="broken", comment="The <i>second</i> answer is cut off.", now=now,
        )  # fmt: skip
    shown = desk.opened("quality")
    assert "The &lt;i&gt;second&lt;/i&gt; answer is cut off." in shown
    settled = desk.handler("quality", "settled")
    assert "Choose one of this project&#39;s" in refusal_of(desk.call(settled, None))
    drawn = json.dumps(desk.call(settled, "flag-1"))
    assert "Nothing reported" in drawn
    assert "1 report settled before" in drawn


def test_more_judgements_than_a_visit_can_measure_wait_for_a_click(
    full_desk: tuple[Desk, Invented], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, _ = full_desk
    monkeypatch.setattr("app.pages.quality.AT_ONCE", 10)
    assert "Pull to the right" not in desk.opened("quality")
    drawn = json.dumps(desk.call(desk.handler("quality", "measure_now")))
    assert "Pull to the right" in drawn
    assert "Pairs that need another opinion" in drawn


def test_a_measurement_that_does_not_settle_says_so(
    full_desk: tuple[Desk, Invented], monkeypatch: pytest.MonkeyPatch
) -> None:
    def restless(*_: Any) -> None:
        raise NoConvergence("The measurement did not settle.")

    desk, _ = full_desk
    monkeypatch.setattr("app.pages.quality.fit", restless)
    shown = desk.opened("quality")
    assert "Not measured." in shown
    assert "The measurement did not settle." in shown
    assert "In plain words" in shown


def test_the_quality_of_imported_ratings_and_rankings_is_shown(
    full_desk: tuple[Desk, Invented], shared_data: Path
) -> None:
    from app.importing import import_into

    desk, _ = full_desk
    file = shared_data / "both_sparse_feedback_sample.jsonl.gz"
    import_into(desk.database, file, project="sparse", now=datetime.now(UTC))
    shown = desk.opened("quality", "?project=sparse")
    assert "against their own ratings" in shown
    assert "How each annotator uses the scales" in shown
    assert "t-refusal" not in shown
