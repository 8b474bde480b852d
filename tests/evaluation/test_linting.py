"""The data checks: what each finds by hand, and laws that hold whatever the rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.linting.check import CheckReport, check
from evaluation.linting.entries import Entry, RawRating, Refused
from evaluation.linting.findings import Severity, percent
from evaluation.linting.languages import language
from evaluation.linting.lengths import Lengths
from evaluation.linting.scales import detected_scale, formula
from feedback.importers.records import Score, Verdict
from storage.errors import TooLittleData
from storage.records import Kind, Split, as_messages, split_of

WORDS = [
    *("balcony", "basil", "copper", "drizzle", "ember", "fennel", "garnet", "harbor", "indigo"),
    *("jasmine", "kettle", "lantern", "meadow", "nectar", "orchard", "pepper", "quartz", "raven"),
    *("saffron", "thistle", "umber", "velvet", "willow", "yarrow", "zephyr"),
]


def entry(
    number: int,
    *,
    prompt: str = "",
    answers: tuple[str, ...] = (),
    choice: int | None = -1,
    annotator: str = "anna",
    rating: float | None = None,
    **more: Any,
) -> Entry:
    """A comparison of two answers that nothing is wrong with, changed by what is given."""
    rng = np.random.default_rng(number)
    messages = as_messages(prompt or f"What of {' '.join(rng.choice(WORDS, 12))}?")
    drawn = tuple(f"{' '.join(rng.choice(WORDS, 12))} {number}." for _ in range(2))
    verdict = Verdict(left=0, right=1, choice=choice or 0, annotator=annotator, kind=Kind.PERSON)
    score = Score(response=0, aspect="overall", value=rating or 1, annotator=annotator,
                  kind=Kind.PERSON)  # fmt: skip
    given: dict[str, Any] = {
        "place": f"line {number}",
        "prompt": messages,
        "responses": answers or drawn,
        "verdicts": () if choice is None else (verdict,),
        "scores": () if rating is None else (score,),
        "split": split_of(messages),
        "sides": False,
    }
    return Entry(**given | more)


def looked(*entries: Entry | Refused, **options: Any) -> CheckReport:
    return check(entries, name="made up", **options)


def found(report: CheckReport, *, but: tuple[str, ...] = ("length-bias",)) -> dict[str, int]:
    """Name and count of each finding; how long answers are is told of all data."""
    return {one.name: one.count for one in report.findings if one.name not in but}


CLEAN = [entry(number) for number in range(40)]


def test_data_without_fault_have_no_finding() -> None:
    report = looked(*CLEAN)
    assert found(report) == {}
    assert (report.rows, report.prompts, report.answers, report.comparisons) == (40, 40, 80, 40)
    assert report.verdict == "Nothing found in 40 rows that would hurt."
    assert report.choices == {"decided": 40, "tie": 0}


@settings(max_examples=12, deadline=None)
@given(again=st.integers(0, 39), at=st.integers(0, 40))
def test_one_exact_duplicate_is_exactly_one_finding(again: int, at: int) -> None:
    rows = [*CLEAN[:at], dataclasses.replace(CLEAN[again], place="line 99"), *CLEAN[at:]]
    report = looked(*rows)
    assert found(report) == {"repeated-rows": 1}
    (finding,) = [one for one in report.findings if one.name == "repeated-rows"]
    assert finding.share == pytest.approx(1 / 41)
    (example,) = finding.examples
    assert {f"line {again}", "line 99"} == set(example.place.split(" and "))


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(14)))
def test_the_order_of_rows_changes_no_number(order: list[int]) -> None:
    rows = [
        *CLEAN[:5], CLEAN[0], entry(6, choice=0), entry(7, same=1),
        entry(8, prompt="Same question here?"), entry(9, prompt="same question, here"),
        entry(10, annotator="bert"), entry(10, annotator="bert", choice=1),
        entry(11, rating=6), entry(12, prompt="Write to jo@example.org, please."),
    ]  # fmt: skip
    one, other = looked(*rows), looked(*(rows[place] for place in order))
    assert found(one) == found(other)
    assert [f.sentence for f in one.findings] == [f.sentence for f in other.findings]
    assert {"repeated-rows", "same-question", "contradictory-verdicts"} <= found(one).keys()


def test_a_prompt_written_twice_is_one_question() -> None:
    report = looked(entry(1, prompt="How tall is Mont Blanc?"), *CLEAN[4:],
                    entry(3, prompt="how tall is  mont blanc"))  # fmt: skip
    assert found(report) == {"same-question": 1}
    (example,) = next(one for one in report.findings if one.name == "same-question").examples
    assert example.place == "line 1 and line 3"


def test_one_answer_under_two_prompts_is_told_and_two_under_one_prompt_are_not() -> None:
    canned = ("I cannot help with that, sorry about it.", "Something else entirely is said here.")
    odd = looked(*CLEAN, entry(50, answers=canned), entry(51, answers=(canned[0], "Yes, yes.")))
    assert found(odd) == {"one-answer-to-several-prompts": 2}
    fine = looked(*CLEAN, *(entry(50, prompt="The same?", answers=(canned[0], f"Other {n}."))
                            for n in (1, 2)))  # fmt: skip
    assert found(fine) == {}


def test_an_answer_against_itself_is_an_error() -> None:
    report = looked(*CLEAN, entry(50, same=1, choice=None, answers=("The very same.",) * 2))
    assert found(report) == {"chosen-equals-rejected": 1}
    assert report.number(Severity.ERROR) == 1
    assert report.verdict.startswith("Mend this first: 1 error")


def test_both_directions_by_one_annotator_contradict_whichever_stands_left() -> None:
    answers = ("The first of two answers.", "The second one, not alike.")

    def said(number: int, choice: int, who: str, *, turned: bool = False) -> Entry:
        shown = answers[::-1] if turned else answers
        return entry(number, prompt="Which?", answers=shown, choice=choice, annotator=who)

    both = looked(*CLEAN, said(50, -1, "anna"), said(51, 1, "anna"))
    assert found(both) == {"contradictory-verdicts": 1}
    assert found(looked(*CLEAN, said(50, -1, "anna"), said(51, -1, "anna", turned=True))) == {
        "contradictory-verdicts": 1
    }
    # The same verdict from the other side is a copy, and somebody else may differ.
    assert found(looked(*CLEAN, said(50, -1, "anna"), said(51, 1, "anna", turned=True))) == {
        "repeated-rows": 1
    }
    assert found(looked(*CLEAN, said(50, -1, "anna"), said(51, 1, "bert"))) == {}
    assert found(looked(*CLEAN, said(50, -1, "unknown"), said(51, 1, "unknown"))) == {}


def test_a_prompt_in_two_parts_leaks_and_so_does_an_evaluation_set() -> None:
    text = "Who wrote the novel about the white whale and its captain?"
    rows = [
        *CLEAN,
        entry(50, prompt=text, split=Split.TRAIN),
        entry(51, prompt=text, split=Split.TEST),
    ]
    report = looked(*rows)
    assert found(report) == {"leakage": 1}
    system = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": text.upper()})
    report = looked(*rows, against={"bench": [as_messages(system), as_messages("Not in here?")]})
    assert found(report) == {"leakage": 1, "evaluation-leakage": 1}
    (finding,) = [one for one in report.findings if one.name == "evaluation-leakage"]
    assert (finding.share, finding.severity) == (0.5, Severity.ERROR)
    assert "1 prompt of bench (50 % of its 2) is in this data." in finding.sentence


def test_a_prompt_with_one_changed_word_leaks_nearly() -> None:
    words = WORDS[:20]
    near = [*words[:10], "changed", *words[11:]]  # 15 of 21 runs of three words: 0.71
    far = [*words[:10], "changed", *words[11:15], "again", *words[16:]]  # 12 of 24: 0.5
    for other, expected in ((near, {"near-leakage": 1, "near-duplicate-prompts": 1}), (far, {})):
        report = looked(
            *CLEAN,
            entry(50, prompt=" ".join(words), split=Split.TRAIN),
            entry(51, prompt=" ".join(other), split=Split.TEST),
        )
        assert found(report) == expected
    report = looked(
        *CLEAN,
        entry(50, prompt=" ".join(words)),
        against={"bench": [as_messages(" ".join(near))]},
    )
    assert found(report) == {"near-evaluation-leakage": 1}


def test_the_longer_answer_wins_as_often_as_counted_by_hand() -> None:
    # 3 of 4 unequal pairs of 4 prompts, one tie in length: mean 3/4, deviations 1/4 and -3/4, so
    # V = 4/3 (3/16 + 9/16) / 16 = 1/16; one differing prompt of 4 takes the guard in, whose upper
    # end of Clopper and Pearson for 1 of 4 is 0.8058796.
    lengths = Lengths()
    pairs = [("a" * 9, "b"), ("a" * 8, "b"), ("a" * 7, "b"), ("a", "b" * 5), ("a", "b")]
    for number, answers in enumerate(pairs):
        lengths.look(entry(number, answers=answers))
    longer = lengths.longer_chosen()
    assert longer is not None
    assert (longer.value, longer.n) == (0.75, 4)
    assert longer.low == pytest.approx(max(0, min(0.75 - 3.1824463 / 4, 1 - 0.8058796)), abs=1e-6)
    biased = looked(*(entry(n, answers=("Long and longer words are said here.", f"{n}."))
                      for n in range(30)))  # fmt: skip
    (finding,) = [one for one in biased.findings if one.name == "length-bias"]
    assert (finding.severity, finding.share) == (Severity.WARNING, 1.0)


def test_ratings_that_rise_with_length_are_told_with_their_rank_correlation() -> None:
    rows = [
        entry(n, answers=("x" * (n + 30), "y."), choice=None, rating=1 + n * 6 / 29)
        for n in range(30)
    ]
    (finding,) = [one for one in looked(*rows).findings if one.name == "rating-follows-length"]
    assert finding.share == pytest.approx(1, abs=1e-5)
    assert finding.severity is Severity.WARNING
    assert "rating-follows-length" not in found(looked(*(entry(n, rating=4) for n in range(30))))


def test_sides_and_habits_are_told_where_sides_are_of_a_screen() -> None:
    def rows(sides: bool, choices: list[int]) -> list[Entry]:
        return [entry(n, choice=choice, sides=sides) for n, choice in enumerate(choices)]

    assert found(looked(*rows(True, [-1] * 40))) == {
        "one-side-preferred": 40, "always-one-choice": 1
    }  # fmt: skip
    assert found(looked(*rows(False, [-1] * 40))) == {}
    assert found(looked(*rows(True, [-1, 1] * 20))) == {}
    assert found(looked(*rows(True, [0] * 15 + [-1, 1] * 5))) == {"many-ties": 15}
    balanced = looked(*rows(True, [-1, 1, 0, 1, -1, 0])).choices
    assert balanced == {"left": 2, "tie": 2, "right": 2}


def test_always_the_same_rating_is_a_habit_from_twenty_on() -> None:
    rows = [entry(n, choice=None, rating=4) for n in range(20)]
    assert found(looked(*rows)) == {"always-one-rating": 1}
    assert found(looked(*rows[:19])) == {}
    varied = looked(*rows[:19], entry(19, choice=None, rating=5))
    assert "always-one-rating" not in found(varied)


@pytest.mark.parametrize(
    ("values", "scale", "words"),
    [
        ([0, 0.25, 1], (0, 1), "r becomes 1 + 6 r"),
        ([0, 3, 4], (0, 4), "r becomes 1 + 1.5 r"),
        ([1, 2, 5], (1, 5), "r becomes 1 + 1.5 (r - 1)"),
        ([1, 6], (1, 7), "r becomes 1 + 1 (r - 1)"),
        ([0, 9], (0, 10), "r becomes 1 + 0.6 r"),
        ([1, 10], (1, 10), "r becomes 1 + 0.666667 (r - 1)"),
        ([0, 73], (0, 100), "r becomes 1 + 0.06 r"),
        ([-1, 1], (-1, 1), "r becomes 1 + 3 (r + 1)"),
    ],
)
def test_scales_are_detected_and_the_way_to_1_to_7_is_said(
    values: list[float], scale: tuple[float, float], words: str
) -> None:
    from collections import Counter

    assert detected_scale(Counter(values)) == scale
    assert formula(*scale) == words


def test_ratings_without_a_scale_and_out_of_it_are_told_apart() -> None:
    def rated(
        number: int, value: float, low: float | None = None, high: float | None = None
    ) -> Any:
        return entry(number, raw=(RawRating(value=value, low=low, high=high),))

    five = looked(*(rated(n, 1 + n % 5) for n in range(10)))
    (finding,) = [one for one in five.findings if one.name == "scale-not-given"]
    assert finding.severity is Severity.WARNING
    assert '"scale_min": 1, "scale_max": 5' in finding.advice
    hundred = looked(*(rated(n, n * 10) for n in range(10)))
    (finding,) = [one for one in hundred.findings if one.name == "scale-not-given"]
    assert finding.severity is Severity.ERROR
    assert "an import refuses 10 lines" in finding.sentence
    assert found(looked(*(rated(n, 1 + n % 7) for n in range(10)))) == {}
    declared = looked(rated(1, 4, 0, 10), rated(2, 11, 0, 10), rated(3, 3, 1, 7))
    assert found(declared) == {"rating-out-of-scale": 1, "scale-mapped": 2}


def test_cut_answers_open_blocks_and_a_common_greatest_length_are_seen() -> None:
    prose = "These are words of a sentence that goes on and on without ever coming to any end " * 2
    cut = looked(*CLEAN, entry(50, answers=(prose + "and then", "Fine as it is.")))
    assert found(cut) == {"cut-answers": 1}
    for whole in (prose + "there.", prose + "\n- a list item", "Paris", prose + "(so).”"):
        assert found(looked(*CLEAN, entry(50, answers=(whole, "Fine as it is.")))) == {}
    block = looked(*CLEAN, entry(50, answers=("See:\n```python\nprint(1)", "Fine as it is.")))
    assert found(block) == {"open-code-block": 1}
    limited = [
        entry(100 + n, answers=((f"{n} " + prose)[:120], f"Quite short, but whole, number {n}."))
        for n in range(10)
    ]
    assert found(looked(*CLEAN, *limited))["common-greatest-length"] == 10


def test_refused_lines_are_counted_and_empty_answers_named() -> None:
    report = looked(
        *CLEAN,
        Refused(place="line 7", reason="this is not JSON, says jo.doe@example.org"),
        Refused(place="line 9", reason="'chosen' needs some text; got ' '.", empty=True),
    )
    assert found(report) == {"refused-lines": 2, "empty-answers": 1}
    (finding,) = [one for one in report.findings if one.name == "refused-lines"]
    assert [shown.place for shown in finding.examples] == ["line 7", "line 9"]
    assert "jo.doe" not in finding.examples[0].text


def test_no_example_of_any_finding_tells_personal_data() -> None:
    secret = "jane.roe@example.org"
    rows = [entry(n, prompt=f"Please write to {secret} today.") for n in (1, 1)]
    report = looked(*rows, entry(2, prompt=f"please write to {secret.upper()} today"))
    assert {"repeated-rows", "same-question", "personal-data-e-mail-address"} <= found(
        report
    ).keys()
    assert secret not in str(report.as_json())
    assert secret.upper() not in str(report.as_json())


def test_languages_are_told_and_answers_in_another_one_found() -> None:
    german = "Wie weit ist es von hier bis zum nächsten Bahnhof, und wann fährt der Zug?"
    english = "It is about ten minutes on foot, and the train leaves at a quarter past nine."
    assert (language(german), language(english), language("Ja.")) == ("German", "English", None)
    report = looked(entry(1, prompt=german, answers=(english, "Kurz.")))
    assert found(report) == {"answer-in-another-language": 1}
    assert report.languages.prompts == {"German": 1}


def test_of_more_rows_than_are_kept_a_sample_is_taken_and_said() -> None:
    rows = [entry(number) for number in range(30)]
    report = looked(*rows, rows[0], kept=10)
    assert found(report) == {"repeated-rows": 1}
    assert "among 10 of 31 rows" in report.sampled[0]
    assert looked(*rows[:10], kept=10).sampled == ()


def test_nothing_is_refused() -> None:
    with pytest.raises(TooLittleData, match="made up holds nothing to check"):
        looked()


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "0 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.995, "over 99 %")]
)
def test_little_is_not_nothing(share: float, words: str) -> None:
    assert percent(share) == words
