"""Which answers of a snapshot are good enough to learn from, and files of such answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import planted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InvalidData, InvalidOption, TooLittleData
from storage.records import Message, PromptId, ResponseId, Split, split_of
from storage.snapshots import ComparisonRow, RatingRow, write_snapshot
from training.policies.config import SFTConfig
from training.policies.demonstrations import (
    Demonstration,
    good_answers,
    read_demonstrations,
    write_demonstrations,
)

ASKED = (Message(role="user", content="Why not?"),)


def compared(
    left: str, right: str, choice: int, *, both_bad: bool = False, prompt: str = "p"
) -> ComparisonRow:
    return ComparisonRow(
        prompt_id=PromptId(prompt),
        prompt=ASKED,
        left_id=ResponseId(f"{prompt}-{left}"),
        left=left,
        right_id=ResponseId(f"{prompt}-{right}"),
        right=right,
        choice=choice,
        graded=True,
        both_bad=both_bad,
        annotator="amber-heron-1",
        kind="person",
    )


def rated(text: str, value: float, *, aspect: str = "overall", prompt: str = "p") -> RatingRow:
    return RatingRow(
        prompt_id=PromptId(prompt),
        prompt=ASKED,
        response_id=ResponseId(f"{prompt}-{text}"),
        response=text,
        aspect=aspect,
        value=value,
        annotator="amber-heron-1",
        kind="person",
    )


def texts(
    comparisons: Sequence[ComparisonRow] = (), ratings: Sequence[RatingRow] = (), **options: object
) -> list[str]:
    config = SFTConfig.read({"answers_per_prompt": 9, **options})
    found = good_answers(comparisons, ratings, config, aspect="overall")
    assert all(one.prompt == ASKED for one in found)
    return [one.answer for one in found]


# --- what is good ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comparisons", "good"),
    [
        ([compared("a", "b", -2)], ["a"]),
        ([compared("a", "b", 1)], ["b"]),
        ([compared("a", "b", 0)], []),
        ([compared("a", "b", -1), compared("a", "b", 3)], []),
        ([compared("a", "b", -1, both_bad=True)], []),
        ([compared("a", "a", -1)], []),
        # Somebody chose a and then improved it: only the improved text is as good as it gets.
        ([compared("a", "b", -1), compared("better a", "b", -1), compared("better a", "a", -1)],
         ["better a"]),
        # Both won whatever they were in: the text settles it.
        ([compared("b", "a", 1), compared("b", "a", 2), compared("b", "c", 1)], ["a", "c"]),
    ],
)  # fmt: skip
def test_an_answer_that_won_more_than_it_lost_is_good(
    comparisons: list[ComparisonRow], good: list[str]
) -> None:
    assert texts(comparisons) == good
    assert texts(comparisons, preferred=False) == []


@pytest.mark.parametrize(
    ("ratings", "good"),
    [
        ([rated("a", 6), rated("b", 5.9)], ["a"]),
        ([rated("a", 7), rated("a", 5)], ["a"]),
        ([rated("a", 7), rated("a", 4)], []),
        ([rated("a", 6), rated("b", 7)], ["b", "a"]),
        ([rated("a", 7, aspect="kindness"), rated("b", 6)], ["b"]),
    ],
)
def test_an_answer_with_a_high_mean_rating_is_good(
    ratings: list[RatingRow], good: list[str]
) -> None:
    assert texts(ratings=ratings) == good
    assert texts(ratings=ratings, min_rating=None) == []


def test_both_signals_order_the_answers_of_a_prompt() -> None:
    # a: won 1 of 1 and rated 4, the middle: (1 + 0) / 2. b: rated 6, so 2/3. c: won 3 of 3.
    comparisons = [compared("a", "d", -1), *[compared("c", "d", -1)] * 3]
    ratings = [rated("a", 4), rated("b", 6)]
    assert texts(comparisons, ratings) == ["c", "b", "a"]
    assert texts(comparisons, ratings, answers_per_prompt=2) == ["c", "b"]
    assert texts(comparisons, ratings, min_rating=None, answers_per_prompt=2) == ["a", "c"]


def test_prompts_do_not_take_places_from_each_other() -> None:
    comparisons = [compared(text, "worse", -1, prompt=prompt) for prompt in "pq" for text in "ab"]
    assert texts(comparisons, answers_per_prompt=1) == ["a", "a"]


judgements = st.lists(
    st.one_of(
        st.builds(
            compared,
            st.sampled_from("abc"),
            st.sampled_from("abc"),
            st.integers(-3, 3),
            both_bad=st.booleans(),
        ),
        st.builds(rated, st.sampled_from("abc"), st.integers(1, 7).map(float)),
    ),
    max_size=20,
)


@given(judgements, st.randoms(use_true_random=False))
def test_neither_the_order_of_judgements_nor_the_sides_matter(
    said: list[ComparisonRow | RatingRow], rng: random.Random
) -> None:
    def mirrored(one: ComparisonRow) -> ComparisonRow:
        return compared(one.right, one.left, -one.choice, both_bad=one.both_bad)

    def good(rows: list[ComparisonRow | RatingRow]) -> list[str]:
        comparisons = [one for one in rows if isinstance(one, ComparisonRow)]
        return texts(comparisons, [one for one in rows if isinstance(one, RatingRow)])

    shuffled = [mirrored(one) if isinstance(one, ComparisonRow) else one for one in said]
    rng.shuffle(shuffled)
    assert good(said) == good(shuffled)


def test_something_must_count_as_good() -> None:
    with pytest.raises(InvalidOption, match="min_rating: with `preferred` off too, no answer"):
        SFTConfig.read({"preferred": False, "min_rating": None})


# --- where they come from -------------------------------------------------------------------------


def test_a_snapshot_gives_its_own_parts_and_never_what_models_are_tested_on(tmp_path: Path) -> None:
    folder = planted.snapshot(tmp_path / "snapshot", 60)
    found = read_demonstrations(folder, SFTConfig())
    assert all(planted.GOOD in one.answer for one in (*found.train, *found.validation))
    assert {split_of(one.prompt) for one in found.train} == {Split.TRAIN}
    assert {split_of(one.prompt) for one in found.validation} == {Split.VALIDATION}
    assert found.simulated
    assert found.snapshot


def test_ratings_of_another_aspect_are_not_taken_for_what_was_asked(tmp_path: Path) -> None:
    ratings = [rated("a", 7, aspect=aspect) for aspect in ("kindness", "truth")]
    write_snapshot(tmp_path / "snapshot", [], ratings)
    assert split_of(ASKED) is Split.TRAIN
    with pytest.raises(TooLittleData, match=r"'overall' are in .* Rated aspects: kindness, truth"):
        read_demonstrations(tmp_path / "snapshot", SFTConfig())
    truth = read_demonstrations(tmp_path / "snapshot", SFTConfig(aspect="truth"))
    assert [one.answer for one in truth.train] == ["a"]
    assert not read_demonstrations(tmp_path / "snapshot", SFTConfig(min_rating=None)).train


lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(lines.filter(str.strip), max_size=8))
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, said: list[str]
) -> None:
    path = tmp_path_factory.mktemp("shown") / "shown.jsonl"
    shown = [
        Demonstration(prompt=(Message(role="user", content=text),), answer=text) for text in said
    ]
    write_demonstrations(path, shown)
    found = read_demonstrations(path, SFTConfig())
    assert [one for one in shown if one in found.validation] == found.validation
    assert [one for one in shown if one in found.train] == found.train
    assert len(found.train) + len(found.validation) == len(shown)


@pytest.mark.parametrize(
    "text", ["nonsense", '{"prompt": "p"}', '{"prompt": "p", "completion": 3}']
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shown.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidData, match="holds no demonstrations"):
        read_demonstrations(path, SFTConfig())
    with pytest.raises(InvalidData, match="holds no demonstrations"):
        read_demonstrations(tmp_path / "nowhere.jsonl", SFTConfig())
