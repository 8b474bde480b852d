"""What a study asks of its participants, by its pages and its JSON interface, without a browser."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import ARMS, Web, answer, open_plain_web
from sqlalchemy import select
from voting import NAME, Opened, Person, for_first_arm, opened_study

from app.cli import main, make_app
from app.commands.options import read_options
from app.consent import consent_text
from app.kinds import StudyJob
from evaluation.judges import JUDGES, vote
from evaluation.participants import sent_by_panel
from evaluation.studies import results
from feedback.assignment import next_tasks
from feedback.attention import MOST_CHECKS
from feedback.participation import AboutYou, Participation
from storage import tables
from storage.errors import InvalidOption, TooLittleData
from storage.participants import participants
from storage.records import Collecting, Purpose, digest
from storage.studies import close_study, study_key
from storage.tasks import tasks

AGE = "Your age? | under 30 | 30 or more"
WORK = "What is your <work>?"


@pytest.fixture
def web(database: Any, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    return open_plain_web(database, data_dir, now, monkeypatch)


def people(opened: Opened) -> list[Any]:
    with opened.web.database.read() as connection:
        return participants(connection, opened.study.id)


def every_value(opened: Opened) -> str:
    """Everything that the database holds, as one text."""
    with opened.web.database.read() as connection:
        rows = [connection.execute(select(one)).all() for one in tables.metadata.sorted_tables]
    return repr(rows)


def closed(opened: Opened) -> Opened:
    with opened.web.database.write() as connection:
        close_study(connection, opened.study.id, opened.web.now)
    return opened


# --- Consent ---


def test_the_researchers_words_stand_beside_what_is_kept(web: Web) -> None:
    own = "We are <b>the Lab</b>.\r\nAsk us.\n\n \nNobody is harmed & all is well."
    opened = opened_study(web, consent=own)
    page = Person(opened).browser.get(opened.path).text
    assert "<p>We are &lt;b&gt;the Lab&lt;/b&gt;.\nAsk us.</p>" in page
    assert "<p>Nobody is harmed &amp; all is well.</p>" in page
    for told in ("made-up name", "One cookie", "voluntary", "withdraw", "Prolific", "erased"):
        assert told in page
    assert consent_text(opened.asked).version in page


def test_what_somebody_agreed_to_is_kept_word_by_word_with_the_moment(web: Web) -> None:
    opened = opened_study(web, consent="Our own words.", about_you=[AGE])
    Person(opened).enter()
    (kept,) = people(opened)
    assert kept.agreed == web.now
    with web.database.read() as connection:
        row = connection.execute(select(tables.consents)).one()
    assert kept.consent == row.version == digest(row.text)
    assert "Our own words." in row.text
    assert "What you say about yourself" in row.text


def test_the_version_changes_with_every_word() -> None:
    texts = [
        Participation(),
        Participation(consent="We are the Lab."),
        Participation(consent="We are the lab."),
        Participation(about_you=(WORK,)),
    ]
    assert len({consent_text(asked).version for asked in texts}) == 4
    same = Participation(consent=" We are the Lab.\n", attention_checks=2, completion_code="X")
    assert consent_text(same).version == consent_text(texts[1]).version


def test_nobody_agrees_to_a_text_that_has_changed(web: Web) -> None:
    opened = opened_study(web)
    reply = Person(opened).post("enter", {"consent": True, "version": "0123456789abcdef"})
    assert reply.status_code == 409
    assert "load the page again" in reply.json()["error"]
    assert people(opened) == []


# --- Before the first vote ---


def test_questions_and_instructions_come_before_the_first_vote(web: Web) -> None:
    opened = opened_study(web, instructions="Read *both*.\n\n<i>x</i>", about_you=[AGE, WORK])
    person = Person(opened)
    person.browser.get(opened.path)
    person.post("enter", {"consent": True})
    early = person.browser.get("/api/v1/tasks", params={"study": opened.study.code})
    assert early.status_code == 403
    page = person.browser.get(opened.path).text
    assert "<em>both</em>" in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert '<legend dir="auto">Your age?</legend>' in page
    assert "What is your &lt;work&gt;?" in page
    assert "data-state" not in page
    assert person.post("begin", {"answers": [None, None]}).json() == {"saved": True}
    assert "data-state" in person.browser.get(opened.path).text
    # The instructions can be read again beside the votes.
    assert "<em>both</em>" in person.work()["project"]["guidelines"]["html"]


def test_each_question_may_be_left_open_but_not_answered_otherwise(web: Web) -> None:
    opened = opened_study(web, about_you=[AGE, WORK])
    person = Person(opened)
    person.post("enter", {"consent": True})
    for wrong, why in (
        (["40", None], "under 30, 30 or more"),
        ([None], "2 questions; got 1"),
        ([None, "x" * 201], "at most 200"),
    ):
        refused = person.post("begin", {"answers": wrong})
        assert refused.status_code == 409
        assert why in refused.json()["error"]
    assert person.post("begin", {"answers": [" under 30 ", " "]}).json()["saved"]
    assert not person.post("begin", {"answers": ["30 or more", "Baker"]}).json()["saved"]
    (kept,) = people(opened)
    assert kept.answers == {"Your age?": "under 30"}


def test_results_show_what_people_are_only_as_counts(web: Web) -> None:
    opened = opened_study(web, about_you=[AGE, WORK])
    for about in (("under 30", "Baker"), ("under 30", None), ("30 or more", "Baker"), (None, None)):
        Person(opened, about=about).enter().go_through()
    found = results(web.database, closed(opened).study)
    assert found.people is not None
    assert found.people.about == {
        "Your age?": {"under 30": 2, "30 or more": 1, "not said": 1},
        "What is your <work>?": {"Baker": 2, "not said": 2},
    }
    told = json.dumps(found.as_json())
    assert not any(person.annotator in told for person in people(opened))
    assert "Your age?: under 30 2, 30 or more 1, not said 1." in found.people.sentences()


def test_questions_that_make_no_sense_are_refused() -> None:
    for wrong in ("", " | a | b", "Age | one", "Age | a | a", "Age | a |"):
        with pytest.raises(InvalidOption, match="about_you"):
            Participation.read({"about_you": [wrong]})
    with pytest.raises(InvalidOption, match="twice"):
        Participation.read({"about_you": ["Age", "Age | a | b"]})
    assert AboutYou.of("Age | a | b") == AboutYou(text="Age", choices=("a", "b"))


# --- Sides and order ---


@pytest.mark.parametrize("arms", [2, 3])
def test_everybody_meets_each_arm_on_the_left_as_often_as_on_the_right(web: Web, arms: int) -> None:
    opened = opened_study(web, prompts=14, arms=arms)
    firsts = []
    for _ in range(3):
        person = Person(opened).enter().go_through()
        lefts = opened.lefts(person)
        counts = Counter(lefts)
        pairs = arms * (arms - 1) // 2
        assert len(lefts) == 14 * pairs
        for name in opened.study.arms:
            # Each arm stands in arms - 1 pairs of 14 prompts, on the left in half of them, but for
            # 2 / 2 in each pair.
            assert abs(counts[name] - 7 * (arms - 1)) <= arms - 1
        # A fair coin decides, so the order cannot be learned: neither fixed nor alternating.
        changes = sum(one != other for one, other in pairwise(lefts))
        assert 0 < changes < len(lefts) - 1
        firsts.append(tuple(lefts))
    assert len(set(firsts)) == 3


def test_participants_meet_the_prompts_in_orders_of_their_own(web: Web) -> None:
    opened = opened_study(web, prompts=12)
    orders = set()
    for _ in range(3):
        person = Person(opened).enter()
        orders.add(tuple(one["prompt"][0]["text"] for one in person.work(20)["tasks"]))
    assert len(orders) == 3
    assert all(len(set(order)) == 12 for order in orders)


def test_nobody_gives_more_votes_than_the_study_asks_of_each(web: Web) -> None:
    opened = opened_study(web, prompts=12, overlap=2, votes_each=4, attention_checks=1)
    page = Person(opened).browser.get(opened.path).text
    assert "<dd>5</dd>" in page
    person = Person(opened).enter()
    assert len(person.work(20)["tasks"]) <= 5
    person.go_through()
    said = web.kept(opened.project, opened.study)
    assert len(said) == 4
    assert person.work()["progress"] == {"done": 5, "open": 0, "total": 5}


# --- Attention checks ---


def test_everybody_meets_each_check_once_at_a_place_of_its_own(web: Web) -> None:
    opened = opened_study(web, prompts=10, overlap=6, attention_checks=2)
    places = []
    for _ in range(6):
        person = Person(opened).enter()
        met = []
        for shown in person.one_by_one():
            met.append(opened.purpose(shown))
            person.say(shown, 1)
        assert Counter(met) == {Purpose.FEEDBACK: 10, Purpose.ATTENTION: 2}
        places.append(tuple(at for at, one in enumerate(met) if one is Purpose.ATTENTION))
    assert len(set(places)) > 3


def test_each_place_is_as_likely_for_a_check_as_any_other(web: Web) -> None:
    # 60 participants, one check among 5 + 1 places: 10 at each are expected. A chi-square of 5
    # degrees above 25.7 happens once in 10,000 runs.
    opened = opened_study(web, prompts=5, overlap=60, attention_checks=1)
    places: Counter[int] = Counter()
    for _ in range(60):
        order = Person(opened).enter().work(20)["tasks"]
        places[[opened.purpose(one) for one in order].index(Purpose.ATTENTION)] += 1
    assert sum((places[at] - 10) ** 2 / 10 for at in range(6)) < 25.7


def test_a_check_cannot_be_told_from_a_vote_but_by_reading_it(web: Web) -> None:
    """Fields, their kinds, identifiers and progress are those of a vote."""
    opened = opened_study(web, prompts=8, attention_checks=3)
    person = Person(opened).enter()
    prompts = {f"Tip {n + 1} for tomatoes, please." for n in range(8)}
    totals, seen = set(), set()
    left = 11
    for shown in person.one_by_one():
        seen.add(opened.purpose(shown))
        assert shown.keys() == {"assignment", "type", "prompt", "responses", "qualifying"}
        assert re.fullmatch("[0-9a-f]{16}", shown["assignment"])
        assert (shown["type"], shown["qualifying"]) == ("pair", False)
        assert {turn["text"] for turn in shown["prompt"]} <= prompts
        assert [one.keys() for one in shown["responses"]] == [{"html", "text"}] * 2
        reply = person.say(shown, 2).json()
        assert reply.keys() == {"saved", "progress", "qualification"}
        assert reply["qualification"] is None
        left -= 1
        assert reply["progress"]["open"] == left
        totals.add(reply["progress"]["total"])
    assert seen == {Purpose.FEEDBACK, Purpose.ATTENTION}
    assert totals == {11}


def test_the_right_answer_of_a_check_is_what_it_says(web: Web) -> None:
    opened = opened_study(web, prompts=6, attention_checks=MOST_CHECKS)
    found = 0
    for shown in Person(opened).enter().work(20)["tasks"]:
        if opened.purpose(shown) is not Purpose.ATTENTION:
            continue
        found += 1
        right = shown["responses"][0 if opened.right(shown) < 0 else 1]["text"]
        wrong = shown["responses"][1 if opened.right(shown) < 0 else 0]["text"]
        assert "other" in wrong or "beside" in wrong
        assert "the other answer" not in right
        assert right[:40] == wrong[:40]
        assert abs(len(right) - len(wrong)) < 50
    assert found == MOST_CHECKS


@pytest.mark.parametrize("policy", ["leave-out", "keep"])
def test_whoever_fails_is_reported_and_left_out_or_kept_as_planned(web: Web, policy: str) -> None:
    opened = opened_study(web, attention_checks=2, failed_checks=policy)
    for _ in range(2):
        Person(opened).enter().go_through()
    Person(opened).enter().go_through(
        check=lambda shown: -opened.right(shown), vote=lambda shown: -for_first_arm(shown)
    )
    found = results(web.database, closed(opened).study)
    facts = found.people
    assert facts is not None
    assert (facts.agreed, facts.finished, facts.withdrew) == (3, 3, 0)
    assert (facts.checks, facts.passed, facts.failed, facts.unchecked) == (2, 2, 1, 0)
    assert (facts.failed_votes, facts.failed_are_left_out) == (12, policy == "leave-out")
    left_out = policy == "leave-out"
    assert found.votes == (24 if left_out else 36)
    assert found.win_rate.value == pytest.approx(1.0 if left_out else 2 / 3)
    assert found.participants == (2 if left_out else 3)
    (sentence,) = [one for one in facts.sentences() if "Attention" in one]
    assert sentence == (
        "Attention checks: 2 passed, 1 failed, 0 answered none. The 12 votes of those who failed"
        f" are {'left out' if left_out else 'kept'}, as planned."
    )


def test_half_of_the_checks_wrong_is_failed() -> None:
    asked = Participation()
    assert [asked.failed(answered, right) for answered, right in (
        (0, 0), (1, 1), (1, 0), (2, 1), (3, 2), (3, 1), (4, 2))
    ] == [False, False, True, True, False, True, True]  # fmt: skip


def test_checks_reach_no_annotator_no_program_and_no_list_of_votes(web: Web) -> None:
    opened = opened_study(web, attention_checks=3)
    with web.database.read() as connection:
        assert len(tasks(connection, opened.project.id, study=opened.study.id)) == 12
        assert tasks(connection, opened.project.id) == []
    longest = JUDGES["longest"]
    config = longest.config.read({})
    voted = vote(web.database, opened.study, longest, config, now=lambda: web.now)
    assert voted.votes == 12
    # Known items of the project are mixed in for annotators; those of its studies are not.
    project = web.project(collecting=Collecting(task_types=("pair",), gold_rate=0.5), prompts=4)
    with web.database.write() as connection:
        moved = tables.tasks.c.purpose == str(Purpose.ATTENTION)
        connection.execute(tables.tasks.update().where(moved).values(project=project.id))
    mira = web.person("Mira")
    shown = next_tasks(
        web.database, mira, project, count=20, now=web.now, rng=np.random.default_rng(0)
    )
    assert len(shown) == 4


def test_more_checks_than_prompts_are_refused(web: Web) -> None:
    with pytest.raises(TooLittleData, match="3 attention checks need as many prompts"):
        opened_study(web, prompts=2, attention_checks=3)


def test_whoever_comes_when_all_is_taken_is_not_asked_to_pay_attention(web: Web) -> None:
    opened = opened_study(web, prompts=3, overlap=1, attention_checks=2)
    Person(opened).enter().go_through()
    late = Person(opened).enter().work()
    assert late["tasks"] == []
    assert late["progress"]["open"] == 0
    assert late["completion"] is None


# --- The end ---


def test_the_code_is_given_at_the_end_and_never_before(web: Web) -> None:
    url = "https://app.prolific.com/submissions/complete?cc=C0DE42"
    opened = opened_study(web, attention_checks=1, completion_code="C0DE42", completion_url=url)
    person = Person(opened, pid="5f0a").enter().go_through()
    last = person.received.pop()
    assert last.json()["completion"] == {"code": "C0DE42", "url": url}
    assert not any("C0DE42" in one.text + str(one.headers) for one in person.received)
    (kept,) = people(opened)
    assert kept.finished == web.now


def test_whoever_has_finished_is_given_no_more_when_seats_become_free(web: Web) -> None:
    opened = opened_study(web, prompts=4, overlap=1)
    other = Person(opened).enter()
    for shown in other.work(2)["tasks"]:
        other.say(shown, 1)
    person = Person(opened).enter().go_through()
    done = person.work()
    assert done["progress"]["done"] == 2
    other.post("withdraw", {"withdraw": True})
    assert person.work() == done
    assert len(Person(opened).enter().work()["tasks"]) == 2


def test_a_code_is_drawn_where_none_is_set_and_only_secure_addresses_are_taken(web: Web) -> None:
    codes = {opened_study(web, prompts=n).asked.completion_code for n in (2, 3, 4)}
    assert len(codes) == 3
    assert all(re.fullmatch("[A-HJ-NP-Z2-9]{8}", code) for code in codes)
    for wrong in ("http://a.example/", "//a.example", "javascript:alert(1)", "https://"):
        with pytest.raises(InvalidOption, match="completion_url"):
            Participation.read({"completion_url": wrong})


def test_the_options_of_a_study_job_are_those_of_its_participants() -> None:
    job = StudyJob.read(
        {"title": "t", "policies": ["a", "b"], "about_you": [AGE], "attention_checks": 2}
    )
    assert Participation.among(job) == Participation(about_you=(AGE,), attention_checks=2)
    assert all(field.description for field in Participation.model_fields.values())


def test_the_document_tells_every_option_in_a_command_that_is_understood() -> None:
    text = (Path(__file__).parents[2] / "docs/participants.md").read_text("utf-8")
    told = re.findall(r"^\| `--([a-z-]+)`", text, re.MULTILINE)
    assert told == [name.replace("_", "-") for name in Participation.model_fields]
    (block,) = re.findall(r"```bash\ntandem (.*?)```", text, re.DOTALL)
    tokens = shlex.split(block.replace("\\\n", " "))
    _, bound, _ = make_app().parse_args(tokens, print_error=False, exit_on_error=False)
    typed = {name: value for name, value in bound.arguments.items() if value is not None}
    typed = {name: typed[name] for name in typed.keys() & StudyJob.model_fields.keys()}
    asked = Participation.among(read_options(StudyJob, typed))
    assert [len(one.choices) for one in asked.questions] == [3, 0]
    assert asked.completion_url.endswith(asked.completion_code)
    assert asked.completion_code


# --- Panels ---


def test_a_person_with_the_same_pid_goes_on_as_the_same_participant(web: Web) -> None:
    opened = opened_study(web, prompts=6, about_you=[AGE])
    first = Person(opened, pid="5f0a", about=("under 30",)).enter()
    for shown in first.work(2)["tasks"]:
        first.say(shown, 1)
    held = [one["assignment"] for one in first.work(3)["tasks"]]
    again = Person(opened, pid="5f0a")
    agreed = {"consent": True, "panel": {"pid": "5f0a"}}
    assert again.post("enter", agreed).json()["annotator"] == first.pseudonym
    again.pseudonym = first.pseudonym
    assert "data-state" in again.browser.get(again.link).text  # no question is asked twice
    work = again.work(3)
    assert [one["assignment"] for one in work["tasks"]] == held
    assert work["progress"]["done"] == 2
    assert len(people(opened)) == 1


def test_another_pid_in_the_same_browser_is_another_person(web: Web) -> None:
    opened = opened_study(web)
    first = Person(opened, pid="5f0a").enter()
    assert "data-state" in first.browser.get(first.link).text
    assert "voluntary" in first.browser.get(f"{opened.path}?PROLIFIC_PID=5f0b").text
    second = first.post("enter", {"consent": True, "panel": {"pid": "5f0b"}}).json()["annotator"]
    assert second != first.pseudonym
    assert {one.pid for one in people(opened)} == {"5f0a", "5f0b"}


@pytest.mark.parametrize("wrong", ["{{%25PROLIFIC_PID%25}}", "<script>", "a b", "x" * 101])
def test_a_link_that_a_panel_has_not_filled_in_is_refused(web: Web, wrong: str) -> None:
    opened = opened_study(web)
    reply = Person(opened).browser.get(f"{opened.path}?PROLIFIC_PID={wrong}")
    assert reply.status_code == 400
    assert "does not say who you are" in reply.text
    assert "<script>" not in reply.text.split("</head>")[1]


def test_the_pid_is_for_paying_people_and_nowhere_else(web: Web) -> None:
    opened = opened_study(web, attention_checks=2)
    one = Person(opened, pid="zz-pid-1").enter().go_through()
    Person(opened, pid="aa-pid-2").enter().go_through(check=lambda shown: -opened.right(shown))
    Person(opened, pid="mm-pid-3").enter()
    Person(opened).enter().go_through()
    with web.database.read() as connection:
        paid = sent_by_panel(connection, opened.study)
    assert paid == [
        {"pid": "aa-pid-2", "finished": True, "attention": "failed"},
        {"pid": "mm-pid-3", "finished": False, "attention": "none"},
        {"pid": "zz-pid-1", "finished": True, "attention": "passed"},
    ]
    found = json.dumps(results(web.database, closed(opened).study).as_json())
    said = repr(web.kept(opened.project, opened.study))
    pages = "".join(reply.text for reply in one.received[1:])  # after the consent page
    assert not any("-pid-" in text for text in (found, said, pages))


def test_a_command_lists_whom_to_pay(
    web: Web, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = opened_study(web, prompts=3, completion_code="C0DE42")
    person = Person(opened, pid="zz-pid-1").enter().go_through()
    name = web.database.name
    monkeypatch.setenv("TANDEM_DATABASE_URL", name if "://" in name else f"sqlite:///{name}")
    typed = ["study", "participants", opened.study.code, "--data-dir", str(web.settings.data_dir)]
    assert main([*typed, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "study": opened.study.id,
        "completion_code": "C0DE42",
        "participants": [{"pid": "zz-pid-1", "finished": True, "attention": "none"}],
    }
    assert main(typed) == 0
    told = capsys.readouterr().out
    assert "zz-pid-1" in told
    assert person.pseudonym not in told


# --- Withdrawing ---


def test_withdrawing_takes_votes_out_and_erases_what_leads_to_the_person(web: Web) -> None:
    opened = opened_study(web, prompts=4, overlap=2, about_you=[AGE, WORK], attention_checks=1)
    stays = Person(opened, pid="5f0a").enter().go_through()
    leaves = Person(opened, pid="pid-of-leaver", about=("under 30", "Lighthouse keeper")).enter()
    for shown in leaves.one_by_one():
        leaves.say(shown, -1, comment="I keep lighthouses")
    assert len(web.kept(opened.project, opened.study)) == 8
    page = leaves.browser.get(f"{opened.path}/withdraw").text
    for told in (
        "None of your choices counts",
        "are erased",
        "cannot be taken back",
        "stay stored",
    ):
        assert told in page
    assert leaves.post("withdraw", {"withdraw": True}).json() == {"votes": 4}
    assert leaves.post("withdraw", {"withdraw": True}).json() == {"votes": 0}

    counted = web.kept(opened.project, opened.study)
    assert {one.annotator for one in counted} == {stays.pseudonym}
    with web.database.read() as connection:
        rows = connection.execute(select(tables.submissions)).all()
        seats = connection.scalars(select(tables.tasks.c.free_seats)).all()
    assert len(rows) == 10, "history is never edited"
    assert sum(row.retracted is not None for row in rows) == 5
    everything = every_value(opened)
    for gone in ("pid-of-leaver", "Lighthouse", "lighthouses", "s-1", "e-1"):
        assert (gone in everything) == (gone in ("s-1", "e-1")), gone  # those of who stays
    assert seats.count(1) == 5  # four votes are wanted again; the check has room anyway
    (_, gone) = sorted(people(opened), key=lambda one: one.withdrawn is not None)
    assert (gone.withdrawn, gone.pid, gone.answers) == (web.now, None, {})
    assert gone.agreed == web.now

    assert "You have withdrawn" in leaves.browser.get(opened.path).text
    assert "You have withdrawn" in leaves.browser.get(leaves.link).text
    assert leaves.browser.get(
        "/api/v1/tasks", params={"study": opened.study.code}
    ).status_code == 401  # fmt: skip
    other = Person(opened).enter().go_through()
    assert len(opened.lefts(other)) == 4
    facts = results(web.database, closed(opened).study).people
    assert facts is not None
    assert (facts.agreed, facts.withdrew, facts.about["Your age?"]["under 30"]) == (3, 1, 0)


def test_whoever_had_finished_keeps_the_code_and_may_withdraw_after_the_end(web: Web) -> None:
    opened = opened_study(web, prompts=3, completion_code="C0DE42")
    done, stays = (Person(opened).enter().go_through() for _ in range(2))
    begun = Person(opened).enter()
    closed(opened)
    assert "withdraw from the" in done.browser.get(opened.path).text
    assert Person(opened).browser.get(opened.path).status_code == 410
    for person in (done, begun):
        assert person.post("withdraw", {"withdraw": True}).status_code == 200
    assert "C0DE42" in done.browser.get(opened.path).text
    assert "C0DE42" not in begun.browser.get(opened.path).text
    assert {one.annotator for one in web.kept(opened.project, opened.study)} == {stays.pseudonym}


def test_only_the_person_themselves_withdraws(web: Web) -> None:
    opened = opened_study(web)
    Person(opened).enter().go_through()
    stranger = Person(opened)
    assert stranger.post("withdraw", {"withdraw": True}).status_code == 401
    assert stranger.browser.get(f"{opened.path}/withdraw").status_code == 404
    person = Person(opened).enter()
    assert person.post("withdraw", {}).status_code == 422
    person.browser.headers.pop("X-Requested-With")
    assert person.post("withdraw", {"withdraw": True}).status_code == 403
    assert len(web.kept(opened.project, opened.study)) == 12


def test_a_vote_that_comes_after_the_withdrawal_is_not_kept(web: Web) -> None:
    opened = opened_study(web)
    person = Person(opened).enter()
    shown = person.work()["tasks"][0]
    person.post("withdraw", {"withdraw": True})
    assert person.say(shown, 1).status_code == 401
    assert web.kept(opened.project, opened.study) == []


# --- Twice at once ---


def test_of_two_tabs_that_vote_on_the_same_task_one_vote_counts(web: Web) -> None:
    opened = opened_study(web, prompts=4, overlap=3)
    tab = Person(opened, pid="5f0a").enter()
    other = Person(opened, pid="5f0a").enter()  # another browser, the same person
    for mine, same in zip(tab.work()["tasks"], other.work()["tasks"], strict=True):
        assert mine["assignment"] == same["assignment"]
        first = answer(mine, choice=-2)
        replies = [
            who.browser.post("/api/v1/submissions", params={"study": opened.study.code}, json=said)
            for who, said in ((tab, first), (other, answer(same, choice=2)), (tab, first))
        ]
        assert [one.status_code for one in replies] == [200, 409, 200]
        assert replies[2].json()["saved"] is False
    said = web.kept(opened.project, opened.study)
    assert [one.comparisons[0].choice for one in said] == [-2] * 4
    assert tab.work()["progress"] == {"done": 4, "open": 0, "total": 4}


# --- Blinding ---


def test_nothing_that_a_browser_receives_tells_the_arms_apart(web: Web) -> None:
    opened = opened_study(
        web, prompts=16, overlap=4, attention_checks=2, about_you=[AGE], instructions="Read."
    )
    with web.database.read() as connection:
        key = study_key(connection, opened.study.id, for_totals=True)
        votes = tasks(connection, opened.project.id, study=opened.study.id, everything=True)
    secret = [*ARMS, NAME, opened.study.id, opened.project.id, opened.project.name]
    secret += ["sealed", "leave-out"]
    secret += [*key, *(one.id for one in votes), *(one.prompt for one in votes)]
    secret += [one for task in votes for one in task.responses]
    left: Counter[bool] = Counter()
    for number in range(4):
        person = Person(opened, pid=f"5f0{number}").enter()
        for shown in person.one_by_one():
            if opened.purpose(shown) is Purpose.FEEDBACK:
                left[for_first_arm(shown) < 0] += 1
            person.say(shown, 1)
        person.browser.get(opened.path)
        person.browser.get(f"{opened.path}/withdraw")
        assert len(person.received) > 30
        for reply in person.received:
            told = f"{reply.headers}{reply.text}"
            assert not [one for one in secret if str(one) in told], reply.url
            if reply.url.path.endswith(("/tasks", "/submissions")):
                # No moment, duration or probability is told of a task.
                assert not re.search(r"\d{4}-\d\d-\d\dT", reply.text)
                assert numbers(reply.json()) <= {"done", "open", "total", "break_after_minutes"}
    assert left.total() == 64
    assert abs(left[True] - left[False]) <= 4 * 2


def numbers(told: Any, name: str = "") -> set[str]:
    """The names under which a reply holds numbers."""
    if isinstance(told, dict):
        return {one for key, value in told.items() for one in numbers(value, key)}
    if isinstance(told, list):
        return {one for value in told for one in numbers(value, name)}
    return {name} if isinstance(told, int | float) and not isinstance(told, bool) else set()
