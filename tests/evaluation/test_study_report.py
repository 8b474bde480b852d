"""The report of a study: its sentence, numbers, methods and examples, and nothing that can act."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import pytest
from made_study import ARMS, made_study

from evaluation.compared_arms import StudyVote
from evaluation.study_methods import methods, participants
from evaluation.study_reading import examples, reading, study_ranking
from evaluation.study_record import StudyRecord
from evaluation.study_report import study_html
from evaluation.verdict import votes_that_count
from storage.errors import NotAllowed
from storage.records import Kind

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Page(HTMLParser):
    """The text of a page outside of scripts and styles, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self._inside = ""
        self.feed(page)

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self._texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def page_of(record: StudyRecord) -> Page:
    return Page(html_of(record))


def html_of(record: StudyRecord) -> str:
    return study_html(record, reading(record), software="Tandem 1.2.3")


def methods_of(record: StudyRecord) -> str:
    return methods(record, reading(record), software="Tandem 1.2.3")


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return made_study(identical=2, rated=True)


@pytest.fixture(scope="module")
def page(record: StudyRecord) -> Page:
    return page_of(record)


def test_the_report_says_what_was_found(record: StudyRecord, page: Page) -> None:
    result = record.result
    assert result.design is not None
    for words in (
        record.study.name,
        result.verdict,
        *result.warnings,
        "Who won",
        str(result.comparisons[1].told),
        "Programs count in no win rate of people.",
        "longest answer",
        methods_of(record),
        result.design.digest,
        "14 March 2026, 15:09 UTC",
        *(one.prompt for one in examples(record)),
        *(" ".join(one.first.split()) for one in examples(record)),
    ):
        assert words in page.text, words
    # The sentence comes before everything else that was found.
    assert page.text.index(result.verdict) < page.text.index("Who won")


def test_three_arms_have_places_and_two_have_none(record: StudyRecord, page: Page) -> None:
    found = reading(record)
    assert found.ranking is not None
    assert [one.model for one in found.ranking.standings] == list(ARMS)
    assert "Places it may have" in page.text
    two = made_study(arms=ARMS[:2])
    assert reading(two).ranking is None
    assert reading(two).no_ranking == ""
    assert "ranking" not in page_of(two).text


def test_a_study_of_rankings_is_told_prompt_by_prompt() -> None:
    ranked = made_study(ranked=True, identical=3)
    found, text = reading(ranked), page_of(ranked).text
    assert found.orders is not None
    # Where two arms gave the same answer they are tied, and the third is before or behind both.
    assert (found.orders.prompts, found.orders.orders, found.orders.left_out) == (20, 60, 0)
    assert "Prompt by prompt" in text
    for one in found.orders.standings:
        value, low, high = one.points.value, one.points.low, one.points.high
        assert f"{one.first} of 20" in text
        assert f"{value:.2f} [{low:.2f}, {high:.2f}]" in text
    # Borda's share is the mean of the win rates, where everybody is asked of every pair.
    rates = {arm: [] for arm in ARMS}
    for pair in ranked.result.comparisons:
        rates[pair.arm].append(pair.win_rate.value)
        rates[pair.opponent].append(1 - pair.win_rate.value)
    for one in found.orders.standings:
        assert one.borda.value == pytest.approx(sum(rates[one.arm]) / 2)
    assert "ranked pairs (Tideman 1987)" in methods_of(ranked)
    assert found.as_json()["group_orders"]["standings"][0]["arm"] == found.orders.standings[0].arm
    # Pairs are no orders, whoever voted on them.
    paired = made_study()
    assert reading(paired).orders is None
    assert "Prompt by prompt" not in page_of(paired).text


def test_a_second_opinion_is_given_of_what_was_planned(record: StudyRecord) -> None:
    html = html_of(record)
    assert "A second opinion" in html
    for pair in record.result.comparisons:
        count = pair.by_prompt
        assert count.won + count.lost + count.tied == pair.prompts + pair.identical
        assert pair.resampled is not None
        low, high = round(100 * pair.resampled.low), round(100 * pair.resampled.high)
        cells = [f"[{low}, {high}]</span>", *map(str, (count.won, count.lost, count.tied))]
        assert '</td><td class="number">'.join(cells) in html
    # An interval or a p-value for the end would be too sure of a study that ended early.
    early = made_study(voted=0.7)
    assert not any(pair.planned for pair in early.result.comparisons)
    assert "A second opinion" not in page_of(early).text


def test_participants_are_told_one_by_one(record: StudyRecord, page: Page) -> None:
    found = reading(record)
    assert found.raters is not None
    assert "Participants one by one" in page.text
    assert {one.rater for one in found.raters.raters} == {f"amber-heron-{n:02d}" for n in range(10)}
    for one in found.raters.raters[:6]:
        follows = one.follows
        assert f"{follows.value:.2f} [{follows.low:.2f}, {follows.high:.2f}]" in page.text
    assert found.as_json()["raters"]["raters"][0]["rater"] == found.raters.raters[0].rater
    assert "random slope" in methods_of(record)
    few = made_study(people=7)
    assert reading(few).raters is None
    assert "one by one" not in page_of(few).text


def test_identical_answers_pull_the_arms_together_in_the_ranking() -> None:
    votes = votes_that_count(made_study().votes)
    pairs = list(combinations(ARMS, 2))
    gaps = []
    for same in ([], [f"same {n}" for n in range(20)]):
        found, _ = study_ranking(votes, arms=ARMS, identical=dict.fromkeys(pairs, same))
        assert found is not None
        gaps.append(found.standings[0].strength.value - found.standings[-1].strength.value)
    # Twenty prompts of ties beside twenty of votes.
    assert gaps[1] == pytest.approx(gaps[0] / 2, rel=0.05)


def test_an_arm_that_never_won_has_no_strength_and_the_report_says_why() -> None:
    texts = {(n, "SFT"): "No." for n in range(12)}
    lost = made_study(prompts=12, ties=0, texts=texts, people=3, judge=None, seed=2)
    # As if everybody had preferred every other answer.
    votes = [
        vote if "SFT" not in (vote.left, vote.right) else _against_sft(vote) for vote in lost.votes
    ]
    found = reading(replace(lost, votes=tuple(votes)))
    assert found.ranking is None
    assert "SFT never won one" in found.no_ranking


def _against_sft(vote: StudyVote) -> StudyVote:
    return replace(vote, choice=1 if vote.left == "SFT" else -1)


def test_nothing_comes_from_elsewhere(record: StudyRecord, page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        assert not {"src", "href"} & set(attributes), (tag, attributes)
    written = html_of(record)
    assert "default-src 'none'" in written
    assert written.count("plotly.js v") == 1
    assert '<meta name="viewport"' in written
    assert "prefers-color-scheme: dark" in written


def test_what_people_and_models_wrote_is_escaped() -> None:
    texts = {(n, arm): f"{EVIL} {n} {arm[-1]}" for n in range(20) for arm in (EVIL, f"{EVIL} B")}
    evil = made_study(
        arms=(EVIL, f"{EVIL} B", f"{EVIL} C"),
        texts=texts,
        asked={n: f"{EVIL} {n}" for n in range(20)},
        judge=f"{EVIL} judge",
        name=EVIL,
    )
    written = html_of(evil)
    found = Page(written)
    assert "alert(1)" in found.text
    assert "{{ 7 * 7 }}" in found.text
    assert not any(tag == "img" for tag, _ in found.tags)
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", written, re.DOTALL)
    assert not any(one.startswith("alert") for one in scripts)


def test_simulated_votes_are_marked() -> None:
    words = "The figures show that the study works, not what people prefer."
    simulated = made_study(kind=Kind.SIMULATED, judge=None)
    assert words in page_of(simulated).text
    assert "Answers or votes were simulated" in methods_of(simulated)
    assert words not in page_of(made_study()).text


def test_an_open_study_has_no_report_and_no_examples() -> None:
    early = made_study(voted=0.6, closed=False)
    closed = reading(made_study())
    for refused in (
        lambda: reading(early),
        lambda: examples(early),
        lambda: methods(early, closed, software=""),
        lambda: study_html(early, closed, software=""),
    ):
        with pytest.raises(NotAllowed, match="still open, and only totals are told"):
            refused()


def test_a_study_that_was_closed_early_tells_the_interval_of_any_look_and_no_p_value() -> None:
    early = made_study(voted=0.6)
    text = page_of(early).text
    assert html_of(early).count('<td class="number"><span class="hint">–</span></td>') == 3
    first = early.result.comparisons[0]
    assert first.told != first.win_rate
    assert str(first.told) in text
    assert str(first.win_rate) not in text
    assert "The study was closed early." in text
    said = methods_of(early)
    assert "confidence sequence by betting" in said
    assert "p-values" not in said
    assert "Student's t" not in said


def test_all_ties_one_program_and_no_lengths_still_make_a_report() -> None:
    ties = made_study(ties=1)
    assert "cannot be told apart" in page_of(ties).text
    programs = made_study(people=1, kind=Kind.PROGRAM, judge=None)
    assert "Only programs voted here" in page_of(programs).text
    assert "1 program" in page_of(programs).text


def test_the_methods_say_how_the_study_was_done(record: StudyRecord) -> None:
    said = methods_of(record)
    cast = sum(vote.kind is Kind.PERSON for vote in record.votes)
    assert (cast, participants(record.votes)) == (174, "10 people and 1 program")
    for sentence in (
        "We compared Combined, Preference only and SFT on 20 prompts in a blinded study.",
        (
            "Asked “Which answer is better?”, participants saw two answers to a prompt side by"
            " side, and also rated each of them from 1 to 7."
        ),
        "Each pair of answers was to be judged by 3 participants, 174 votes in all.",
        (
            "174 votes by 10 people came between 14 March 2026 and 16 March 2026; 60 of them"
            " compared Combined with Preference only"
        ),
        "(prompts: 2 for Preference only and SFT) nobody was asked",
        (
            "Its 95 % interval uses Student's t, with standard errors clustered by prompt and by"
            " participant (two-way; Cameron, Gelbach and Miller 2011)."
        ),
        "corrected for 3 pairs of arms by Holm's method; intervals are not corrected.",
        "The study was planned to end when every task had all its votes.",
        "Excluded were votes that were taken back, and those of people who withdrew.",
        f"(SHA-256 {record.study.plan['digest']})",
        "All figures were computed with Tandem 1.2.3.",
    ):
        assert sentence in said, sentence


def test_few_people_are_said_to_speak_for_themselves() -> None:
    said = methods_of(made_study(people=5, arms=ARMS[:2], judge=None))
    assert "with fewer than 8 participants it says nothing of other people" in said
    assert "Holm" not in said
    assert "Programs" not in said
    assert "rated" not in said


def test_examples_are_the_prompts_that_split_the_votes(record: StudyRecord) -> None:
    found = examples(record)
    assert 1 <= len(found) <= 5
    for one, disputed in zip(found, record.result.disputed, strict=True):
        assert (one.won, one.tied, one.lost) == (disputed.won, disputed.tied, disputed.lost)
        assert min(one.won, one.lost) > 0
        answers = {
            record.key[id_]: response.text
            for id_, response in record.responses.items()
            if response.prompt == disputed.prompt
        }
        assert (one.first, one.second) == (answers["Combined"], answers["Preference only"])
