"""Snapshots: the same rows are the same snapshot, no prompt leaks, and an edited one is refused."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from desk import MINUTE, Desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from storage import files, sorting
from storage import snapshots as module
from storage.errors import InvalidData, InvalidOption, NotFound, StorageFailed, TooLittleData
from storage.exclusions import exclude, lift
from storage.judgements import record_imported, retract
from storage.records import (
    Comparison,
    Kind,
    ProjectId,
    PromptId,
    Purpose,
    Rating,
    ResponseId,
    Split,
    as_messages,
    digest,
    split_of,
)
from storage.snapshots import (
    Changes,
    ComparisonRow,
    LeftOut,
    RatingRow,
    SnapshotData,
    difference,
    freeze,
    snapshot,
    snapshots,
    write_snapshot,
)

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def comparison(prompt: str = "Why?", **changes: Any) -> ComparisonRow:
    fields = {
        "prompt_id": PromptId("p"),
        "prompt": as_messages(prompt),
        "left_id": ResponseId("l"),
        "left": "Because.",
        "right_id": ResponseId("r"),
        "right": "For a reason.",
        "choice": -2,
        "graded": True,
        "both_bad": False,
        "annotator": "amber-heron-42",
        "kind": "person",
    }
    return ComparisonRow(**fields | changes)


def rating(prompt: str = "Why?", **changes: Any) -> RatingRow:
    fields = {
        "prompt_id": PromptId("p"),
        "prompt": as_messages(prompt),
        "response_id": ResponseId("l"),
        "response": "Because.",
        "aspect": "overall",
        "value": 5.0,
        "annotator": "amber-heron-42",
        "kind": "person",
    }
    return RatingRow(**fields | changes)


comparisons = st.builds(
    comparison,
    words.filter(str.strip),
    left=words,
    right=words,
    choice=st.integers(-3, 3),
    graded=st.booleans(),
    kind=st.sampled_from(Kind).map(str),
    left_policy=st.just("") | words,
    right_policy=st.just("") | words,
    tags=st.lists(words, max_size=2).map(tuple),
)
ratings = st.builds(
    rating,
    words.filter(str.strip),
    response=words,
    aspect=words,
    value=st.floats(1, 7),
    policy=st.just("") | words,
    tags=st.lists(words, max_size=2).map(tuple),
)


def key(row: Any) -> str:
    return repr(row)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    compared=st.lists(comparisons, min_size=1, max_size=6),
    rated=st.lists(ratings, max_size=6),
    rng=st.randoms(use_true_random=False),
)
def test_what_goes_in_comes_out_whatever_its_order(
    compared: list[ComparisonRow],
    rated: list[RatingRow],
    rng: random.Random,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("snapshots")
    written = write_snapshot(home / "a", compared, rated)
    mixed = write_snapshot(
        home / "b", rng.sample(compared, len(compared)), iter(rng.sample(rated, len(rated)))
    )
    assert written == mixed
    opened = SnapshotData.open(home / "a")
    assert (opened.id, opened.rows) == written
    got = [row for split in Split for row in opened.comparisons(split)]
    assert sorted(got, key=key) == sorted(compared, key=key)
    got_ratings = [row for split in Split for row in opened.ratings(split)]
    assert sorted(got_ratings, key=key) == sorted(rated, key=key)
    for split in Split:
        for row in [*opened.comparisons(split), *opened.ratings(split)]:
            assert split_of(row.prompt) is split
    for path in (home / "a").rglob("*.*"):
        assert path.read_bytes() == (home / "b" / path.relative_to(home / "a")).read_bytes()


def test_the_name_is_the_digest_of_the_rows(tmp_path: Path) -> None:
    # Worked out from the canonical JSON of the three rows, written out; the digests are ordered.
    row = (
        '{"annotator":"amber-heron-42","both_bad":false,"choice":%s,"graded":true,"kind":"person",'
        '"left":"Because.","left_id":"l","prompt":[{"content":"Why?","role":"user"}],'
        '"prompt_id":"p","right":"For a reason.","right_id":"r"}'
    )
    part = f"comparisons/{split_of(as_messages('Why?'))}".encode() + b"\0"
    digests = {sha256((row % choice).encode()).digest(): choice for choice in (-2, 1, 3)}
    expected = sha256(b"".join(part + one for one in sorted(digests))).hexdigest()
    backwards = [comparison(choice=digests[one]) for one in sorted(digests, reverse=True)]
    name, _ = write_snapshot(tmp_path / "a", backwards, [])
    assert name == expected


def test_every_part_of_a_row_and_its_number_count(tmp_path: Path) -> None:
    made = [
        [comparison()],
        [comparison(), comparison()],
        [comparison(choice=-1)],
        [comparison(left="because.")],
        [comparison(annotator="b")],
        [comparison(graded=False)],
        [comparison("why?")],
        [comparison(left_policy="small")],
        [comparison(right_policy="small")],
        [comparison(tags=("a", "b"))],
        [comparison(tags=("ab",))],
    ]
    names = {write_snapshot(tmp_path / str(n), rows, [])[0] for n, rows in enumerate(made)}
    assert len(names) == len(made)


def test_a_snapshot_from_before_there_were_tags_opens(tmp_path: Path) -> None:
    # The columns of such a snapshot, whose rows have the digests that they have today.
    name, _ = write_snapshot(tmp_path / "a", [comparison()], [])
    label, file = tmp_path / "a" / "snapshot.json", next((tmp_path / "a").rglob("*.parquet"))
    columns = parquet.read_table(file).drop_columns(["left_policy", "right_policy", "tags"])
    parquet.write_table(columns, file)
    said = json.loads(label.read_text())
    del said["check"]
    said["files"] = {
        file.relative_to(tmp_path / "a").as_posix(): sha256(file.read_bytes()).hexdigest()
    }
    label.write_text(json.dumps(said | {"check": digest(said)}))
    opened = SnapshotData.open(tmp_path / "a")
    assert opened.id == name
    assert opened.comparisons(split_of(as_messages("Why?"))) == [comparison()]


def test_a_whole_rating_is_the_same_in_either_spelling(tmp_path: Path) -> None:
    one = write_snapshot(tmp_path / "a", [], [rating(value=5)])
    assert one == write_snapshot(tmp_path / "b", [], [rating(value=5.0)])


def test_no_prompt_is_in_two_splits(tmp_path: Path) -> None:
    rows = [comparison(f"Prompt {n % 50}", choice=n % 4) for n in range(200)]
    marks = [rating(f"prompt {n}!", value=1 + n % 7) for n in range(50)]
    _, numbers = write_snapshot(tmp_path / "a", rows, marks)
    assert sum(numbers.values()) == 250
    opened = SnapshotData.open(tmp_path / "a")
    seen: dict[str, Split] = {}
    for split in Split:
        for row in [*opened.comparisons(split), *opened.ratings(split)]:
            asked = row.prompt[0]["content"].strip("!").lower()
            assert seen.setdefault(asked, split) is split
    assert len(seen) == 50


def test_datasets_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    rows = [comparison(f"Prompt {n}") for n in range(30)]
    _, numbers = write_snapshot(tmp_path / "a", rows, [rating("Prompt 0")])
    loaded = load_dataset(str(tmp_path / "a"), "comparisons", cache_dir=str(tmp_path / "cache"))
    assert {f"comparisons/{name}": len(part) for name, part in loaded.items()} == {
        part: number for part, number in numbers.items() if part.startswith("comparisons")
    }
    first = loaded["train"][0]
    assert first["prompt"][0]["role"] == "user"
    assert (first["choice"], first["graded"], first["both_bad"]) == (-2, True, False)
    only = load_dataset(str(tmp_path / "a"), "ratings", cache_dir=str(tmp_path / "cache"))
    assert [row["value"] for part in only.values() for row in part] == [5.0]


def test_the_card_says_when_judgements_are_simulated(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "a", [comparison()], [rating(kind="simulated")])
    write_snapshot(tmp_path / "b", [comparison()], [rating(kind="program")])
    cards = [(tmp_path / name / "README.md").read_text() for name in "ab"]
    assert "are **simulated**" in cards[0]
    assert "None of these judgements is simulated" in cards[1]
    assert [SnapshotData.open(tmp_path / name).simulated for name in "ab"] == [True, False]


def test_nothing_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(TooLittleData, match="at least one judgement"):
        write_snapshot(tmp_path / "a", [], [])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InvalidOption, match="already holds something"):
        write_snapshot(tmp_path, [comparison()], [])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("row", [comparison(left="\ud800"), rating(response="\udfff")])
def test_what_is_no_text_is_refused(row: Any, tmp_path: Path) -> None:
    rows = ([row], []) if isinstance(row, ComparisonRow) else ([], [row])
    with pytest.raises(InvalidData, match="not Unicode"):
        write_snapshot(tmp_path / "a", *rows)
    assert list(tmp_path.iterdir()) == []


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write_snapshot(
            tmp_path / "a", [comparison(f"Prompt {n}") for n in range(30)], [rating("Prompt 0")]
        )
        return tmp_path / "a"

    def test_a_folder_that_is_no_snapshot(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "none"):
            with pytest.raises(InvalidData, match=r"snapshot\.json is missing"):
                SnapshotData.open(folder)

    def test_a_missing_file_is_named(self, folder: Path) -> None:
        (folder / "comparisons" / "test.parquet").unlink()
        with pytest.raises(InvalidData, match=r"comparisons/test\.parquet is not as it was"):
            SnapshotData.open(folder)

    def test_a_half_written_file_is_named(self, folder: Path) -> None:
        path = folder / "comparisons" / "train.parquet"
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(InvalidData, match=r"train\.parquet is not as it was"):
            SnapshotData.open(folder)

    def test_an_edited_file_is_named(self, folder: Path) -> None:
        path = folder / "comparisons" / "train.parquet"
        changed = bytearray(path.read_bytes())
        changed[100] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InvalidData, match=r"train\.parquet is not as it was"):
            SnapshotData.open(folder)

    @pytest.mark.parametrize("changes", [{"id": "0" * 64}, {"simulated": True}, {"files": {}}])
    def test_an_edited_label_is_refused(self, changes: dict[str, Any], folder: Path) -> None:
        label = folder / "snapshot.json"
        label.write_text(json.dumps(json.loads(label.read_text()) | changes))
        with pytest.raises(InvalidData, match=r"snapshot\.json was edited"):
            SnapshotData.open(folder)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff"])
    def test_an_unreadable_label_is_refused(self, text: str, folder: Path) -> None:
        (folder / "snapshot.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidData, match=r"snapshot\.json is missing or unreadable"):
            SnapshotData.open(folder)

    def test_a_full_disk_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files, "bring_to_disk", refuse)
        with pytest.raises(StorageFailed, match="the disk is full"):
            write_snapshot(tmp_path / "a", [comparison()], [])
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_too_full_to_sort_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = sorting.RowSorter.__init__

        def cramped(self: Any, file: Any) -> None:
            made(self, file)
            file.execute("PRAGMA max_page_count = 3")

        monkeypatch.setattr(sorting.RowSorter, "__init__", cramped)
        rows = [comparison(f"Prompt {n}" * 50) for n in range(200)]
        with pytest.raises(StorageFailed, match="could not be sorted"):
            write_snapshot(tmp_path / "a", rows, [])
        assert list(tmp_path.iterdir()) == []


def test_differences_are_counted_in_rows(tmp_path: Path) -> None:
    first = [comparison(), comparison(), comparison(choice=1)]
    second = [comparison(), comparison(choice=2), comparison(choice=3)]
    write_snapshot(tmp_path / "a", first, [rating()])
    write_snapshot(tmp_path / "b", second, [])
    assert difference(tmp_path / "a", tmp_path / "b") == {
        "comparisons": Changes(added=0, superseded=2, withdrawn=0, unchanged=1),
        "ratings": Changes(added=0, superseded=0, withdrawn=1, unchanged=0),
    }


def test_rows_are_added_superseded_or_withdrawn(tmp_path: Path) -> None:
    ann, ben, cem = (comparison(annotator=name) for name in ("ann", "ben", "cem"))
    changed = comparison(
        annotator="ben", left_id="r", left="For a reason.", right_id="l", right="Because."
    )
    style = rating(aspect="style")
    write_snapshot(tmp_path / "a", [ann, ben], [rating(value=2), style])
    write_snapshot(
        tmp_path / "b",
        [changed, cem, comparison("How?", annotator="ann", prompt_id=PromptId("q"))],
        [rating(value=3), style],
    )
    found = difference(tmp_path / "a", tmp_path / "b")
    assert found == {
        "comparisons": Changes(added=2, superseded=1, withdrawn=1, unchanged=0),
        "ratings": Changes(added=0, superseded=1, withdrawn=0, unchanged=1),
    }
    back = difference(tmp_path / "b", tmp_path / "a")
    assert [(one.added, one.superseded, one.withdrawn) for one in back.values()] == [
        (one.withdrawn, one.superseded, one.added) for one in found.values()
    ]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3, 3)), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3, 3)), min_size=1, max_size=8),
)
@settings(max_examples=15, deadline=None)
def test_differences_add_up_and_match_counting_in_memory(
    tmp_path_factory: pytest.TempPathFactory,
    one: list[tuple[str, int]],
    other: list[tuple[str, int]],
) -> None:
    folder = tmp_path_factory.mktemp("difference")
    for name, said in (("a", one), ("b", other)):
        rows = [comparison(annotator=who, choice=choice) for who, choice in said]
        write_snapshot(folder / name, rows, [])
    found = difference(folder / "a", folder / "b")["comparisons"]
    same = Counter(one) & Counter(other)
    superseded = sum(
        min(
            sum(n for (w, _), n in (Counter(one) - same).items() if w == who),
            sum(n for (w, _), n in (Counter(other) - same).items() if w == who),
        )
        for who in "ab"
    )
    assert found == Changes(
        added=len(other) - same.total() - superseded,
        superseded=superseded,
        withdrawn=len(one) - same.total() - superseded,
        unchanged=same.total(),
    )


def test_background_makes_no_difference_to_what_was_said(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "a", [comparison()], [rating()])
    known = comparison(left_policy="small", tags=("code",)), rating(policy="small")
    write_snapshot(tmp_path / "b", known[:1], known[1:])
    assert difference(tmp_path / "a", tmp_path / "b") == {
        table: Changes(added=0, superseded=0, withdrawn=0, unchanged=1)
        for table in ("comparisons", "ratings")
    }


class TestFreezing:
    def judged(self, desk: Desk, count: int = 3) -> None:
        desk.tasks(count)
        ann = desk.person("Ann")
        for assignment in desk.lease(ann, count):
            desk.send(desk.answer(assignment))

    def test_what_was_said_is_frozen_with_what_was_shown(self, desk: Desk, data_dir: Path) -> None:
        task = desk.task("Why is the sky blue?")
        ann = desk.person("zacharias")
        (assignment,) = desk.lease(ann)
        left, right = assignment.shown
        desk.send(
            desk.answer(
                assignment,
                comparisons=(Comparison(left=left, right=right, choice=3),),
                ratings=(Rating(response=left, value=2), Rating(response=right, value=6)),
            )
        )
        frozen = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        opened = SnapshotData.open(data_dir / frozen.folder)
        split = split_of(as_messages("Why is the sky blue?"))
        texts = {r: f"Why is the sky blue? {'ab'[n]}" for n, r in enumerate(task.responses)}
        assert opened.comparisons(split) == [
            ComparisonRow(
                prompt_id=task.prompt,
                prompt=as_messages("Why is the sky blue?"),
                left_id=left,
                left=texts[left],
                right_id=right,
                right=texts[right],
                choice=3,
                graded=True,
                both_bad=False,
                annotator=ann.pseudonym,
                kind="person",
                left_policy=texts[left][-1],
                right_policy=texts[right][-1],
            )
        ]
        assert {(row.response, row.value) for row in opened.ratings(split)} == {
            (texts[left], 2.0),
            (texts[right], 6.0),
        }
        assert (frozen.rows[f"comparisons/{split}"], frozen.rows[f"ratings/{split}"]) == (1, 2)
        assert not frozen.simulated
        found = [path.read_bytes() for path in data_dir.rglob("*") if path.is_file()]
        assert not any(b"zacharias" in text for text in found)

    def test_freezing_again_finds_the_same(self, desk: Desk, data_dir: Path) -> None:
        self.judged(desk)
        frozen = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        later = desk.now + timedelta(days=1)
        assert freeze(desk.database, desk.project.id, data_dir=data_dir, now=later) == frozen
        with desk.database.read() as connection:
            assert snapshots(connection) == [frozen]
            assert snapshot(connection, frozen.id[:8]) == frozen
            assert snapshots(connection, ProjectId("another")) == []
            with pytest.raises(NotFound, match="no snapshot called"):
                snapshot(connection, "none")
        assert [path.name for path in (data_dir / "snapshots").iterdir()] == [frozen.id[:16]]

    def test_more_judgements_make_a_child(self, desk: Desk, data_dir: Path) -> None:
        self.judged(desk)
        first = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        desk.send(desk.imported("one more", desk.person(kind=Kind.SIMULATED)))
        later = desk.now + timedelta(days=1)
        second = freeze(desk.database, desk.project.id, data_dir=data_dir, now=later)
        assert (first.parent, second.parent) == (None, first.id)
        assert (first.simulated, second.simulated) == (False, True)
        assert difference(data_dir / first.folder, data_dir / second.folder) == {
            "comparisons": Changes(added=0, superseded=0, withdrawn=0, unchanged=3),
            "ratings": Changes(added=1, superseded=0, withdrawn=0, unchanged=3),
        }
        with desk.database.read() as connection:
            assert snapshots(connection, desk.project.id) == [second, first]

    def test_a_damaged_snapshot_is_made_anew(self, desk: Desk, data_dir: Path) -> None:
        self.judged(desk)
        frozen = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        (data_dir / frozen.folder / "snapshot.json").unlink()
        assert freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now) == frozen
        assert SnapshotData.open(data_dir / frozen.folder).id == frozen.id

    def test_votes_in_studies_never_enter(self, desk: Desk, data_dir: Path) -> None:
        study = desk.study()
        desk.task("voted on", study=study.id)
        ann = desk.person()
        desk.send(desk.answer(desk.lease(ann, study=study.id)[0]))
        with pytest.raises(TooLittleData, match="nothing to freeze"):
            freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        assert list((data_dir / "snapshots").iterdir()) == []
        desk.send(desk.imported("learned from", ann))
        frozen = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        assert sum(frozen.rows.values()) == 1

    def test_excluded_annotators_stay_out_until_the_exclusion_is_lifted(
        self, desk: Desk, data_dir: Path
    ) -> None:
        self.judged(desk)
        ann, boss = desk.people(2)
        for words in ("a prompt", "another prompt"):
            desk.send(desk.imported(words, ann))

        def frozen() -> tuple[int, SnapshotData]:
            desk.now += MINUTE
            found = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
            return sum(found.rows.values()), SnapshotData.open(data_dir / found.folder)

        whole, opened = frozen()
        assert opened.left_out is None
        with desk.database.write() as connection:
            exclude(
                connection, desk.project.id, ann.id, reason="Guesses.", by=boss.id, now=desk.now
            )
        rows, opened = frozen()
        assert rows == whole - 2
        assert opened.left_out == LeftOut(annotators=1, rows=2)
        card = (opened.folder / "README.md").read_text()
        assert (
            "Left out were 2 comparisons and ratings, because their annotators (1 in number)"
            in card
        )
        assert ann.pseudonym not in {
            row.annotator for split in Split for row in opened.ratings(split)
        }
        with desk.database.write() as connection:
            lift(connection, desk.project.id, ann.id, now=desk.now)
        assert frozen()[0] == whole

    def test_a_project_of_excluded_annotators_has_nothing_to_freeze(
        self, desk: Desk, data_dir: Path
    ) -> None:
        ann = desk.person()
        desk.send(desk.imported("a prompt", ann))
        with desk.database.write() as connection:
            exclude(connection, desk.project.id, ann.id, reason="Test.", by=ann.id, now=desk.now)
        with pytest.raises(TooLittleData, match="no judgements but those of excluded"):
            freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)

    def test_what_is_no_feedback_or_was_taken_back_stays_out(
        self, desk: Desk, data_dir: Path
    ) -> None:
        desk.tasks(20)
        desk.collect(gold_rate=0.5)
        desk.known(3)
        ann = desk.person()
        leased = desk.lease(ann, 15)
        for one in leased:
            desk.send(desk.answer(one))
        feedback = [one for one in leased if desk.purpose(one) == Purpose.FEEDBACK]
        assert 0 < len(feedback) < 15
        found = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        assert sum(found.rows.values()) == 2 * len(feedback)
        desk.send(last := desk.answer(desk.lease(ann)[0], received=desk.now + 2 * MINUTE))
        with desk.database.write() as connection:
            assert retract(connection, "undo", last.id, ann.id, now=desk.now + 3 * MINUTE)
        assert freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now) == found

    def test_nobody_who_judges_waits_for_it(
        self, desk: Desk, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.judged(desk)
        late = desk.imported("while it was written", desk.person())
        fill = module.fill

        def write_slowly(*arguments: Any, **more: Any) -> Any:
            assert desk.send(late)
            return fill(*arguments, **more)

        monkeypatch.setattr(module, "fill", write_slowly)
        frozen = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        assert sum(frozen.rows.values()) == 6

    def test_many_judgements_are_frozen_in_batches(self, desk: Desk, data_dir: Path) -> None:
        ann = desk.person()
        lines = [desk.imported(f"prompt {n}", ann) for n in range(60)]
        many = []
        for n in range(1100):
            line = lines[n % 60]
            fields = {name: getattr(line, name) for name in line.__dataclass_fields__}
            many.append(type(line)(**fields | {"id": f"s{n}"}))
        with desk.database.write() as connection:
            record_imported(connection, many)
        frozen = freeze(desk.database, desk.project.id, data_dir=data_dir, now=desk.now)
        assert sum(frozen.rows.values()) == 1100
