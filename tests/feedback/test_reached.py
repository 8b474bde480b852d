"""What annotators are told of how far they are gives no known item away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feedback.reached import as_participant, as_told
from storage.participants import Quota
from storage.records import Collecting
from storage.tasks import Progress

ASKED = Collecting(gold_rate=0.1, repeat_rate=0.1)


def exact(*, feedback_done: int, left: int, mixed_done: int, mixed_held: int = 0) -> Progress:
    """Somebody with nothing on the screen but perhaps known items."""
    return Progress(
        done=feedback_done + mixed_done,
        open=left + mixed_held,
        total=feedback_done + left + mixed_done + mixed_held,
        held=mixed_held,
        mixed_in=mixed_done + mixed_held,
    )


def test_what_will_be_mixed_in_counts_from_the_start() -> None:
    # 80 tasks to learn from are 80 % of 100; of known items there are only 4, so 80 + 4 + 10.
    start = exact(feedback_done=0, left=80, mixed_done=0)
    assert as_told(start, ASKED, mixable=50) == Progress(done=0, open=100, total=100)
    assert as_told(start, ASKED, mixable=4) == Progress(done=0, open=94, total=94)


@given(st.integers(0, 100), st.integers(0, 9), st.integers(20, 200))
def test_neither_giving_out_nor_judging_tells_one_from_another(
    done: int, mixed: int, left: int
) -> None:
    before = as_told(exact(feedback_done=done, left=left, mixed_done=mixed), ASKED, mixable=50)
    holds = as_told(
        exact(feedback_done=done, left=left, mixed_done=mixed, mixed_held=1), ASKED, mixable=50
    )
    judged_known, judged_feedback = (
        as_told(exact(feedback_done=f, left=n, mixed_done=m), ASKED, mixable=50)
        for f, n, m in ((done, left, mixed + 1), (done + 1, left - 1, mixed))
    )
    assert holds == before
    assert judged_known == judged_feedback


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 5))
def test_the_end_is_told_when_it_is_there_and_not_before(
    done: int, left: int, mixed: int, held: int
) -> None:
    told = as_told(
        exact(feedback_done=done, left=left, mixed_done=mixed, mixed_held=held), ASKED, mixable=50
    )
    assert (told.open == 0) == (left + held == 0)
    assert told.open >= held
    assert told.done == done + mixed
    assert told.total >= told.done + told.open


def in_study(*, votes: int, checks: int, left: int, held_votes: int, held_checks: int) -> Progress:
    """A participant's exact progress: what they judged, hold, and could be given."""
    held = held_votes + held_checks
    mixed_in = checks + held_checks
    return Progress(
        done=votes + checks,
        open=left + held,
        total=votes + held_votes + left + mixed_in,
        held=held,
        mixed_in=mixed_in,
    )


counts = st.integers(0, 30)
SO_FAR = ("votes", "checks", "left", "held_votes", "held_checks")


@given(st.fixed_dictionaries(dict.fromkeys(SO_FAR, counts)), counts, st.none() | st.integers(1, 60))
def test_participants_are_told_the_same_whether_a_vote_or_a_check_was_given_or_judged(
    so_far: dict[str, int], to_come: int, most: int | None
) -> None:
    so_far["left"] += 1
    asked = so_far["checks"] + so_far["held_checks"] + 1 + to_come

    def told(**more: int) -> Progress:
        now = {name: value + more.get(name, 0) for name, value in so_far.items()}
        met = now["checks"] + now["held_checks"]
        quota = Quota(votes=most, checks=asked, met=met, finished=False)
        return as_participant(in_study(**now), quota)

    has_room = most is None or so_far["votes"] + so_far["held_votes"] < most
    given_check, given_vote = told(held_checks=1), told(held_votes=1, left=-1)
    assert given_check == told()
    assert given_vote == told() or not has_room
    judged_check, judged_vote = told(checks=1), told(votes=1, left=-1)
    assert judged_check.done == judged_vote.done == told().done + 1
    assert judged_check.open == told().open - 1
    assert judged_vote.open == told().open - 1 or not has_room
    assert judged_check.total == judged_vote.total == told().total


def test_a_participant_is_told_of_no_more_than_the_study_asks_of_each() -> None:
    start = Progress(done=0, open=60, total=60)
    asked = Quota(votes=10, checks=2, met=0, finished=False)
    assert as_participant(start, asked) == Progress(done=0, open=12, total=12)
    over = Progress(done=12, open=50, total=62, mixed_in=2)
    done = Quota(votes=10, checks=2, met=2, finished=False)
    assert as_participant(over, done) == Progress(done=12, open=0, total=12)
    # Nothing to vote on: no check either. And whoever has finished stays so.
    none = Progress(done=0, open=0, total=60)
    assert as_participant(none, asked).open == 0
    undone = Progress(done=9, open=51, total=60)
    assert as_participant(undone, Quota(votes=None, checks=0, met=0, finished=True)).open == 0
