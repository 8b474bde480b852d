"""States of the screen that a server reaches slowly: hints, practice, messages, breaks, layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from browsing import PHONE, WIDE, Open, press, remark, shown_answers
from mocked import Mocked, task, text
from served import Web

from evaluation.studies import open_study
from storage.prompts import prompts

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")

LONG = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(40))


def several(number: int = 3, **said: Any) -> list[dict[str, Any]]:
    return [task(one, **said) for one in range(1, number + 1)]


def said(page: Any) -> str:
    return str(page.inner_text("[data-part=said]"))


def speak(page: Any, language: str) -> None:
    page.locator("summary").click()
    page.locator("[data-part=language] select").select_option(language)
    page.locator("summary").click()


def test_a_contradiction_is_asked_about_once_and_its_answer_recorded(unserved: Open) -> None:
    mocked = Mocked(unserved(), several(4))
    page = mocked.open()
    hint = page.locator("[data-part=hint]")
    press(page, "3", "Shift+Digit6", "ArrowLeft", "Enter")
    sync_api.expect(hint).to_contain_text("You prefer A but rated B higher.")
    assert mocked.sent("submissions") == []
    press(page, "Enter")  # meant
    press(page, "3", "Shift+Digit6", "ArrowLeft", "Enter", "ArrowRight", "ArrowRight")
    sync_api.expect(hint).to_be_hidden()
    press(page, "Enter")  # changed
    press(page, "b", "6", "Shift+Digit2", "Enter")
    sync_api.expect(hint).to_contain_text("You call both answers bad but rated A as good.")
    page.get_by_role("button", name="Change it").click()
    sync_api.expect(hint).to_be_hidden()
    press(page, "Enter")  # asked once: what stays as it was is meant
    press(page, "ArrowLeft", "6", "Shift+Digit3", "Enter")  # agrees: nothing to ask
    page.wait_for_selector(".tandem[data-state=finished]")
    kept = [one.get("contradiction", "") for one in mocked.sent("submissions")]
    assert kept == ["meant", "changed", "meant", ""]


@pytest.mark.parametrize(
    ("kind", "answers", "keys", "sent"),
    [
        ("pair", 2, ["t"], {"choice": 0, "both_bad": False, "ratings": None}),
        ("single_rating", 1, ["6"], {"choice": None, "ratings": [6]}),
        ("ranking", 3, ["1", "3", "1"], {"ranks": [1, 2, 1]}),
        ("ranking", 4, ["ArrowRight", "1", "2", "4", "4"], {"ranks": [2, 1, 3, 3]}),
        (
            "aspects",
            2,
            ["5", "Shift+Digit3", "6", "Shift+Digit4", "ArrowLeft"],
            {"choice": -1, "aspects": {"helpful": [5, 3], "honest": [6, 4]}},
        ),
    ],
)
def test_every_kind_of_task_by_keys(
    unserved: Open, kind: str, answers: int, keys: list[str], sent: dict[str, Any]
) -> None:
    texts = [f"Answer number {number}." for number in range(answers)]
    project = {"aspects": ["helpful", "honest"] if kind == "aspects" else ["overall"]}
    mocked = Mocked(unserved(), several(2, answers=texts, kind=kind), project=project)
    page = mocked.open()
    press(page, "Enter")
    assert "Still to do" in page.inner_text("[data-part=announce]")
    press(page, *keys, "Enter")
    sync_api.expect(page.locator("[data-part=sync]")).to_have_text("All saved")
    (kept,) = mocked.sent("submissions")
    assert {key: kept[key] for key in sent} == sent


def test_every_language_says_everything_and_is_remembered(unserved: Open) -> None:
    mocked = Mocked(unserved(**WIDE, locale="de-AT"), several())
    page = mocked.open()
    assert said(page) == "Welche Antwort ist besser?", "the browser's own language comes first"
    press(page, "6")
    for language, question in (
        ("es", "¿Qué respuesta es mejor?"),
        ("fr", "Quelle réponse est la meilleure ?"),
        ("zh", "哪个回答更好？"),
        ("en", "Which answer is better?"),
    ):
        speak(page, language)
        sync_api.expect(page.locator("[data-part=said]")).to_have_text(question)
        assert page.locator("[data-rating=left] input:checked").get_attribute("value") == "6"
        assert page.locator(".tandem").get_attribute("lang").startswith(language)
    speak(page, "fr")
    page.reload()
    page.wait_for_selector(".tandem[data-state=task]")
    assert said(page) == "Quelle réponse est la meilleure ?"


def test_a_practice_task_is_answered_before_the_next_one(unserved: Open) -> None:
    tasks = [task(1, qualifying=True), task(2)]
    standing = {"left": 1, "done": 0, "correct": 0, "passed": None}
    mocked = Mocked(unserved(), tasks, qualification=standing)
    page = mocked.open()
    assert "Practice: 1 task" in page.inner_text("[data-part=notices]")
    lesson = {"correct": False, "explanation": text("A is **right**."), "left": 0, "passed": True}
    mocked.replies["submissions"] = {"qualification": lesson}
    before = page.inner_text("[data-part=prompt]")
    press(page, "ArrowRight", "4", "Shift+Digit6", "Enter")
    hint = page.locator("[data-part=hint]")
    sync_api.expect(hint).to_contain_text("We see this one differently")
    assert hint.locator("strong").inner_text() == "right"
    assert "The real ones begin now" in hint.inner_text()
    assert page.inner_text("[data-part=prompt]") == before
    press(page, "ArrowLeft")  # too late to change one's mind
    assert page.locator("[name=verdict]:checked").get_attribute("value") == "1"
    press(page, "Enter")
    assert page.inner_text("[data-part=prompt]") != before
    sync_api.expect(hint).to_be_hidden()
    press(page, "z")
    assert remark(page) == "There is nothing to take back."


def test_messages_are_shown_until_they_are_read(unserved: Open) -> None:
    message = {"id": "m1", "text": "Mind the <b>units</b>.", "at": "2026-01-01", "from": "Ada"}
    mocked = Mocked(unserved(), several(), messages=[message])
    page = mocked.open()
    notice = page.locator("[data-notice=message-m1]")
    assert "Message from Ada" in notice.inner_text()
    assert "Mind the <b>units</b>." in notice.inner_text()
    notice.get_by_role("button", name="I have read it").click()
    sync_api.expect(notice).to_have_count(0)
    assert [path for path, _ in mocked.posted] == ["messages/m1/read"]


def test_a_break_is_suggested_after_long_work_and_the_task_waits(unserved: Open) -> None:
    page = unserved()
    page.clock.install()
    mocked = Mocked(page, several(4), project={"break_after_minutes": 1})
    mocked.open()
    for _ in range(3):
        page.clock.run_for(25_000)
        press(page, "ArrowRight", "4", "Shift+Digit6", "Enter")
    notice = page.locator("[data-notice=break]")
    sync_api.expect(notice).to_contain_text("A few minutes away")
    notice.get_by_role("button", name="Take a break").click()
    assert "Time for a break" in page.inner_text(".pause")
    press(page, "Enter")
    assert page.locator(".tandem").get_attribute("data-state") == "task"
    # On a slow machine the page may have sent one twice, under the same name.
    assert len({body["submission"] for body in mocked.sent("submissions")}) == 3


def test_own_statistics_are_shown_when_asked_for(unserved: Open) -> None:
    mocked = Mocked(unserved(), several())
    mocked.replies["statistics"] = {
        "judgements": 412,
        "today": 38,
        "median_seconds": 41.5,
        "per_hour": 71.2,
        "agreement": {"value": 0.823, "others": 9},
        "skipped": 3,
    }
    page = mocked.open()
    page.locator("summary").click()
    page.get_by_role("button", name="My statistics").click()
    panel = page.get_by_role("dialog", name="My statistics")
    sync_api.expect(panel).to_contain_text("412")
    assert "82 %" in panel.inner_text()
    assert "most of the 9 others" in panel.inner_text()


def test_differences_are_marked_word_by_word_and_go_again(unserved: Open) -> None:
    answers = ("Water in the **early morning** at `root` level.", "Water in the evening at `root`.")
    mocked = Mocked(unserved(), several(answers=answers))
    page = mocked.open()
    before = page.inner_html("[data-part=left]")
    press(page, "d")
    marked = [page.locator(f"[data-part={side}] mark") for side in ("left", "right")]
    assert marked[0].all_inner_texts() == ["early morning", "level"]
    assert marked[1].all_inner_texts() == ["evening"]
    press(page, "d")
    assert page.inner_html("[data-part=left]") == before


def test_code_is_copied_as_it_was_written(unserved: Open) -> None:
    code = 'if a < b:\n    print("&")\n'
    answers = (f"```python\n{code}```", "No code.")
    allowed = ["clipboard-read", "clipboard-write"]
    page = Mocked(unserved(**WIDE, permissions=allowed), several(answers=answers)).open()
    page.locator("[data-part=left] .code").hover()
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == code


def test_guidelines_stand_beside_the_task(unserved: Open) -> None:
    page = Mocked(unserved(), several()).open()
    panel = page.locator("[data-part=guidelines]")
    assert not panel.is_visible()
    press(page, "g")
    assert "Judge helpfulness first." in panel.inner_text()
    pair, beside = page.locator(".pair").bounding_box(), panel.bounding_box()
    assert pair["x"] + pair["width"] <= beside["x"]
    press(page, "g")
    assert not panel.is_visible()


def test_a_short_answer_on_a_phone_is_reached_by_swiping(unserved: Open) -> None:
    mocked = Mocked(unserved(**PHONE), several(answers=(LONG, "Short.")))
    page = mocked.open()
    left, right = (page.locator(f"[data-side={side}]") for side in ("left", "right"))
    assert left.bounding_box()["y"] < right.bounding_box()["y"]
    page.locator("summary").tap()
    page.locator("[data-part=layout] select").select_option("swipe")
    page.locator("summary").tap()
    assert left.bounding_box()["y"] == right.bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Answer B").tap()
    page.wait_for_function(
        "document.querySelector('[data-side=right]').getBoundingClientRect().x < 30"
    )
    sync_api.expect(page.get_by_role("button", name="Answer B")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.reload()
    page.wait_for_selector(".tandem[data-state=task]")
    assert page.locator(".tandem").get_attribute("data-layout") == "swipe"


def test_every_action_is_within_reach_of_a_thumb(unserved: Open) -> None:
    mocked = Mocked(unserved(**PHONE), several())
    page = mocked.open()
    before = shown_answers(page)
    for act in ("undo", "skip", "flag", "comment", "difference"):
        assert not page.locator(f".tools [data-act={act}]").is_visible()
    page.get_by_role("button", name="More actions").tap()
    for act in ("undo", "skip", "flag", "comment", "difference"):
        assert page.locator(f".tools [data-act={act}]").bounding_box()["height"] >= 44
    page.locator(".tools [data-act=skip]").tap()
    page.get_by_role("dialog").get_by_role("button", name="Skip").tap()
    sync_api.expect(page.locator("[data-part=sync]")).to_have_text("All saved")
    assert len(mocked.sent("skip")) == 1
    assert page.inner_text("[data-part=prompt]") != before


def test_text_from_right_to_left_stands_on_the_right(unserved: Open) -> None:
    answers = ("أفضل وقت للري هو الصباح.\n\n`drip = True`", "Water it in the morning.")
    page = Mocked(unserved(), several(answers=answers)).open()
    direction = "getComputedStyle(document.querySelector('[data-part=%s]')).direction"
    assert page.evaluate(direction % "left") == "rtl"
    assert page.evaluate(direction % "right") == "ltr"
    assert page.evaluate(direction % "left] code, [data-part=none") == "ltr"


def test_a_refused_skip_says_so_and_the_task_comes_again(unserved: Open) -> None:
    mocked = Mocked(unserved(), several(2))
    page = mocked.open()
    prompt = page.inner_text("[data-part=prompt]")
    mocked.replies["skip"] = (409, {"error": "Practice tasks cannot be skipped."})
    press(page, "s", "Enter")
    page.wait_for_function(
        "document.querySelector('[data-part=toast]').textContent.includes('cannot be skipped')"
    )
    press(page, "ArrowRight", "4", "Shift+Digit6", "Enter")
    page.wait_for_selector(".tandem[data-state=task]")
    assert page.inner_text("[data-part=prompt]") == prompt


def test_a_study_asks_in_its_own_words_in_every_language(unserved: Open) -> None:
    ranked = task(2, ["One", "Two", "Three"], kind="ranking")
    mocked = Mocked(
        unserved(), [task(1, kind="pair"), ranked], project={"question": "Which is <i>kinder</i>?"}
    )
    mocked.study = True
    page = mocked.open()
    assert said(page) == "Which is <i>kinder</i>?"
    group = page.get_by_role("radiogroup", name="Which is <i>kinder</i>?")
    sync_api.expect(group).to_be_visible()
    press(page, "ArrowLeft", "Enter")
    standing = page.locator("[data-part=standing]")
    sync_api.expect(standing).to_contain_text("Which is <i>kinder</i>? Give each answer its place")
    press(page, "1")
    sync_api.expect(standing).to_have_text("Which is <i>kinder</i>? A")
    press(page, "z")
    speak(page, "de")
    sync_api.expect(page.locator("[data-part=said]")).to_have_text("A ist etwas besser")
    sync_api.expect(group).to_be_visible()


def test_the_places_to_give_fill_their_row_where_no_inline_style_is_allowed(
    visit: Open, running_web: Web
) -> None:
    project = running_web.project("ranked in a study", prompts=2)
    with running_web.database.read() as connection:
        asked = prompts(connection, project.id)
    study = open_study(
        running_web.database,
        name="Three",
        project=project,
        arms={arm: [f"{arm} answer", f"{arm} reply"] for arm in ("one", "other", "third")},
        prompts=asked,
        overlap=1,
        now=running_web.now,
        rng=np.random.default_rng(0),
        form="ranking",
    )
    page = visit(**WIDE)
    page.goto(f"/study/{study.code}")
    page.get_by_label("I have read this").check()
    page.get_by_role("button").last.click()
    page.wait_for_selector(".tandem[data-state=task]")
    widths = page.evaluate(
        "[...document.querySelectorAll('.rank .scale')].map(row => [row.offsetWidth,"
        " [...row.querySelectorAll('label')].reduce((all, one) => all + one.offsetWidth, 0)])"
    )
    assert len(widths) == 3
    assert all(whole - filled <= 4 for whole, filled in widths), widths
