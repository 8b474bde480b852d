"""Export, then import: every format gives back what it can hold, and says what it cannot.

`WAYS` has a row for each format. What "the same" means is written there: `kept` takes out of what a
project holds the rows that the report counts as left out, and `holds` what the file has no place
for. What comes back must be exactly that, and all that is missing must have been said.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exported_records import (
    Answer,
    Asked,
    Choice,
    Fact,
    Rated,
    Sitting,
    facts,
    held,
    keep,
    projects,
)
from exported_rows import rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.exporters import EXPORTERS, ExportReport, export
from feedback.exporters.best import Best, best_answer
from feedback.exporters.parts import Part
from feedback.exporters.source import Source
from feedback.importers.store import import_file
from storage.database import Database
from storage.errors import InvalidData, TooLittleData
from storage.projects import projects as stored
from storage.records import Kind, Project, Split, split_of

FILE_TYPES = ("jsonl", "jsonl.gz", "json", "csv", "parquet")
Kept = tuple[list[Asked], Counter[str]]
Rows = list[dict[str, Any]]
Bests = Mapping[tuple[tuple[str, str], ...], Best | str]
UNJUDGED = "prompts whose answers nobody judged"
OTHER_TURNS = "rows whose turns are not user and assistant in turn"
SEVERAL_TURNS = "prompts that are more than one turn of a user"


# --- what of a project is left out, and counted


def everything(asked: list[Asked], bests: Bests) -> Kept:
    return asked, Counter()


def _choices(asked: list[Asked], reason: Callable[[Asked, Sitting, Choice], str]) -> Kept:
    """Without the choices for which there is a reason."""
    left_out: Counter[str] = Counter()
    kept = []
    for one in asked:
        sittings = []
        for said in one.sittings:
            reasons = [reason(one, said, each) for each in said.choices]
            left_out.update(filter(None, reasons))
            fine = [each for each, why in zip(said.choices, reasons, strict=True) if not why]
            if fine or said.ratings:
                sittings.append(replace(said, choices=tuple(fine)))
        kept.append(replace(one, sittings=tuple(sittings)))
    return kept, left_out


def without_ties(asked: list[Asked], bests: Bests) -> Kept:
    return _choices(asked, lambda _, __, each: "" if each.better else "ties")


def graded(asked: list[Asked], bests: Bests) -> Kept:
    ungraded = "comparisons of which only the direction is known"
    return _choices(
        asked, lambda _, __, each: "ties" if not each.better else "" if each.graded else ungraded
    )


def with_gap(asked: list[Asked], bests: Bests) -> Kept:
    def reason(_: Asked, said: Sitting, each: Choice) -> str:
        if not each.better:
            return "ties"
        gap = _gap(said, each)
        if gap is None:
            return "comparisons whose answers were not both rated in the same sitting"
        return "comparisons that the ratings of the same sitting contradict" if gap < 0 else ""

    return _choices(asked, reason)


def _gap(said: Sitting, each: Choice) -> float | None:
    better, worse = (
        [one.value for one in said.ratings if one.text == text]
        for text in (each.better, each.worse)
    )
    return sum(better) / len(better) - sum(worse) / len(worse) if better and worse else None


def in_turn(asked: list[Asked], bests: Bests) -> Kept:
    return _choices(
        asked,
        lambda one, __, each: (
            "ties" if not each.better else "" if _alternates(one) else OTHER_TURNS
        ),
    )


def _alternates(one: Asked) -> bool:
    roles = "".join(role[0] for role, _ in one.messages).removeprefix("s")
    return roles in ("u", "uau", "uauau")


def with_best(asked: list[Asked], bests: Bests) -> Kept:
    found = [one for one in asked if isinstance(bests[one.messages], Best)]
    return found, Counter(str(why) for why in bests.values() if not isinstance(why, Best))


def with_best_in_turn(asked: list[Asked], bests: Bests) -> Kept:
    found, left_out = with_best(asked, bests)
    fine = [one for one in found if _alternates(one)]
    return fine, left_out + Counter({OTHER_TURNS: len(found) - len(fine)})


def _is_single(one: Asked) -> bool:
    return [role for role, _ in one.messages] == ["user"]


def outputs(asked: list[Asked], bests: Bests) -> Kept:
    left_out: Counter[str] = Counter()
    kept = []
    for one in asked:
        if not _is_single(one):
            left_out[SEVERAL_TURNS] += 1
            continue
        if not one.answers:
            left_out["prompts without answers"] += 1
        first: dict[str, Answer] = {}
        for answer in one.answers:
            if not answer.policy:
                left_out["answers of which it is not known what wrote them"] += 1
            elif answer.policy in first:
                left_out["further answers of the same policy to the same prompt"] += 1
            first.setdefault(answer.policy, answer)
        first.pop("", None)
        if first:
            kept.append(replace(one, answers=tuple(first.values())))
    return kept, left_out


def decided_by_majority(asked: list[Asked], bests: Bests) -> Kept:
    undecided = {
        (one.messages, pair)
        for one in asked
        for pair, balance in _balances(one).items()
        if not balance
    }
    several = sum(not _is_single(one) and bool(_balances(one)) for one in asked)
    left_out = Counter({SEVERAL_TURNS: several})
    single = [one for one in asked if _is_single(one)]
    left_out["pairs of answers of which no majority preferred one"] = sum(
        (one.messages, pair) in undecided for one in single for pair in _balances(one)
    )
    kept, _ = _choices(
        [one for one in asked if _is_single(one) or not _balances(one)],
        lambda one, _, each: (
            "no majority" if (one.messages, frozenset((each.left, each.right))) in undecided else ""
        ),
    )
    return kept, left_out


def _balances(one: Asked) -> dict[frozenset[str], Counter[str]]:
    """Of each pair that was compared, the answer that won more often, with its lead."""
    won: dict[frozenset[str], Counter[str]] = {}
    for each in (each for said in one.sittings for each in said.choices):
        balance = won.setdefault(frozenset((each.left, each.right)), Counter())
        if each.better is not None and each.worse is not None:
            balance[each.better] += 1
            balance[each.worse] -= 1
    return {pair: +balance for pair, balance in won.items()}


def answered(asked: list[Asked], bests: Bests) -> Kept:
    found = [one for one in asked if one.answers]
    return found, Counter({"prompts without responses": len(asked) - len(found)})


# --- what a file has a place for


def whole(asked: list[Asked], bests: Bests) -> list[Asked]:
    return [
        replace(one, sittings=tuple(replace(said, comment="") for said in one.sittings))
        for one in asked
    ]


def judged_alone(asked: list[Asked], bests: Bests) -> list[Asked]:
    """Everything said, comments too, but of the prompts and answers only the texts and writers."""
    told = []
    for one in asked:
        named = {text for said in one.sittings for text in _named(said)}
        answers = tuple(answer for answer in one.answers if answer.text in named)
        if one.sittings:
            told.append(replace(one, answers=answers, tags=(), source=""))
    return told


def _named(said: Sitting) -> set[str]:
    return {text for each in said.choices for text in (each.left, each.right)} | {
        rated.text for rated in said.ratings
    }


def _single(
    asked: list[Asked],
    split: Callable[[Sitting], Iterator[Sitting]],
    *,
    policies: bool = False,
) -> list[Asked]:
    """Judgements one by one, with the answers they name."""
    found = []
    for one in asked:
        alone = tuple(part for said in one.sittings for part in split(said))
        named = {text for part in alone for text in _named(part)}
        answers = [
            Answer(answer.text, answer.policy if policies else "")
            for answer in one.answers
            if answer.text in named
        ]
        if alone:
            found.append(Asked(one.messages, tuple(answers), alone))
    return found


def pairs(asked: list[Asked], bests: Bests, *, grades: bool = True) -> list[Asked]:
    def split(said: Sitting) -> Iterator[Sitting]:
        for each in said.choices:
            strength = abs(each.choice) if grades and each.graded else 1
            choice = Choice(
                str(each.better), str(each.worse), -strength, graded=grades and each.graded
            )
            yield Sitting(said.who, said.kind, (choice,))

    return _single(asked, split)


def ungraded_pairs(asked: list[Asked], bests: Bests) -> list[Asked]:
    return pairs(asked, bests, grades=False)


def single_ratings(asked: list[Asked], bests: Bests) -> list[Asked]:
    return _single(
        asked,
        lambda said: (Sitting(said.who, said.kind, (), (one,)) for one in said.ratings),
        policies=True,
    )


def labels(asked: list[Asked], bests: Bests) -> list[Asked]:
    """Good is the best rating there is, and bad the worst."""

    def split(said: Sitting) -> Iterator[Sitting]:
        for text, label in _labels(said):
            if label is not None:
                rated = Rated(text, "overall", 7 if label else 1)
                yield Sitting(said.who, said.kind, (), (rated,))

    return _single(asked, split)


def _labels(said: Sitting) -> Iterator[tuple[str, bool | None]]:
    rated: dict[str, list[float]] = {}
    for one in said.ratings:
        rated.setdefault(one.text, []).append(one.value)
    for text, values in rated.items():
        mean = sum(values) / len(values)
        yield text, True if mean >= 5 else False if mean <= 3 else None
    for each in said.choices:
        for text in {each.left, each.right} - rated.keys():
            yield text, False if each.both_bad else None if not each.better else text == each.better


def labelled(asked: list[Asked], bests: Bests) -> Kept:
    found = [label for one in asked for said in one.sittings for _, label in _labels(said)]
    return asked, Counter({"responses that were neither good nor bad": found.count(None)})


def best_alone(asked: list[Asked], bests: Bests, *, policies: bool = True) -> list[Asked]:
    told = []
    for one in asked:
        best = bests[one.messages]
        assert isinstance(best, Best)
        policy = best.response.policy if policies else ""
        told.append(Asked(one.messages, (Answer(best.response.text, policy),)))
    return told


def best_unnamed(asked: list[Asked], bests: Bests) -> list[Asked]:
    return best_alone(asked, bests, policies=False)


def prompts_alone(asked: list[Asked], bests: Bests) -> list[Asked]:
    return [Asked(one.messages, tags=one.tags, source=one.source) for one in asked]


def first_tags(asked: list[Asked], bests: Bests) -> list[Asked]:
    return [Asked(one.messages, tags=one.tags[:1]) for one in asked]


def answers_alone(asked: list[Asked], bests: Bests) -> list[Asked]:
    return [
        Asked(
            one.messages,
            tuple(Answer(answer.text, answer.policy) for answer in one.answers),
            source=one.source,
        )
        for one in asked
    ]


def majorities(asked: list[Asked], bests: Bests) -> list[Asked]:
    """One choice for each pair, by nobody in particular."""
    told = []
    for one in asked:
        said = []
        for pair, balance in _balances(one).items():
            [winner] = balance
            [loser] = pair - {winner}
            choice = Choice(winner, loser, -1, graded=False)
            said.append(Sitting("unknown", Kind.PERSON, (choice,)))
        named = {text for sitting in said for text in _named(sitting)}
        answers = tuple(Answer(a.text, a.policy) for a in one.answers if a.text in named)
        if said:
            told.append(Asked(one.messages, answers, tuple(said), tags=one.tags[:1]))
    return told


# --- the way back


def raw_rows(rows: Rows, project: str) -> list[Asked]:
    told = []
    for row in rows:
        texts = {one["response_id"]: one["text"] for one in row["responses"]}
        said = Sitting(
            row["annotator"],
            Kind(row["annotator_kind"]),
            tuple(
                Choice(texts[c["left"]], texts[c["right"]], c["choice"], c["graded"], c["both_bad"])
                for c in row["comparisons"]
            ),
            tuple(Rated(texts[r["response"]], r["aspect"], r["value"]) for r in row["ratings"]),
            row.get("comment") or "",
        )
        answers = [
            Answer(one["text"], one.get("policy") or "", json.loads(one.get("sampling") or "{}"))
            for one in row["responses"]
        ]
        told.append(Asked(_messages(row["prompt"]), tuple(answers), (said,)))
    return together(told)


def input_rows(rows: Rows, project: str) -> list[Asked]:
    return [
        Asked(
            _messages(row["input"]),
            tags=() if row["datasource"] == "default" else (row["datasource"],),
        )
        for row in rows
    ]


def sharegpt_rows(rows: Rows, project: str) -> list[Asked]:
    names = {"human": "user", "gpt": "assistant"}
    told = []
    for row in rows:
        turns = [(names[turn["from"]], turn["value"]) for turn in row["conversations"]]
        if row.get("system"):
            turns.insert(0, ("system", row["system"]))
        ends = [row[key]["value"] for key in ("chosen", "rejected") if key in row]
        said: tuple[Sitting, ...] = ()
        if ends:
            choice = Choice(ends[0], ends[1], -1, graded=False)
            said = (Sitting(row["annotator"], Kind(row["annotator_kind"]), (choice,)),)
        else:
            ends = [turns.pop()[1]]
        told.append(Asked(tuple(turns), tuple(Answer(text) for text in ends), said))
    return together(told)


def _messages(turns: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((turn["role"], turn["content"]) for turn in turns)


def together(told: list[Asked]) -> list[Asked]:
    """Rows about the same prompt as one."""
    found: dict[Any, Asked] = {}
    for one in told:
        known = found.setdefault(one.messages, replace(one, answers=(), sittings=()))
        texts = {answer.text for answer in known.answers}
        new = tuple(answer for answer in one.answers if answer.text not in texts)
        found[one.messages] = replace(
            known, answers=known.answers + new, sittings=known.sittings + one.sittings
        )
    return list(found.values())


def dataset_is_the_source(asked: list[Asked], project: str) -> list[Asked]:
    """AlpacaEval's `dataset` is read as a tag; here it was the source, or else the project."""
    return [
        replace(one, tags=(), source="" if one.tags == (project,) else one.tags[0]) for one in asked
    ]


def subset_may_be_the_project(asked: list[Asked], project: str) -> list[Asked]:
    return [replace(one, tags=() if one.tags == (project,) else one.tags) for one in asked]


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a format comes back."""

    kept: Callable[[list[Asked], Bests], Kept]
    holds: Callable[[list[Asked], Bests], list[Asked]]
    options: Mapping[str, Any] = field(default_factory=dict)
    format_name: str | None = None
    """Of the importer, where it is not told from the file."""
    csv_format_name: str | None = None
    """The same for CSV files without a conversation in them, where every cell is text."""
    mend: Callable[[list[Asked], str], list[Asked]] = lambda asked, _: asked
    rows: Callable[[Rows, str], list[Asked]] | None = None
    """Reads the rows themselves, where there is no way back."""
    why: str = ""
    """Why there is none, as whoever tries is told."""
    sides: bool = False
    file_types: Sequence[str] = FILE_TYPES


SHAREGPT = {
    "rows": sharegpt_rows,
    "file_types": ("jsonl", "parquet"),
}
WAYS: dict[str, tuple[str, Way]] = {
    "preference": ("preference", Way(kept=without_ties, holds=pairs)),
    "margin": ("margin", Way(kept=graded, holds=pairs)),
    "margin of ratings": (
        "margin",
        Way(kept=with_gap, holds=pairs, options={"of": "ratings"}),
    ),
    "ratings": ("ratings", Way(kept=everything, holds=single_ratings)),
    "unpaired": ("unpaired", Way(kept=labelled, holds=labels, format_name="unpaired")),
    "sft": ("sft", Way(kept=with_best, holds=best_alone)),
    "prompts": ("prompts", Way(kept=everything, holds=prompts_alone)),
    "openrlhf": ("openrlhf", Way(kept=without_ties, holds=ungraded_pairs)),
    "openrlhf_prompts": (
        "openrlhf_prompts",
        Way(
            kept=everything,
            holds=first_tags,
            rows=input_rows,
            why="the format cannot be told from the fields input, datasource, prompt_id",
            file_types=("jsonl", "parquet"),
        ),
    ),
    "llamafactory": (
        "llamafactory",
        Way(
            kept=in_turn,
            holds=ungraded_pairs,
            why="'chosen' needs some text; got {'from': 'gpt'",
            **SHAREGPT,
        ),
    ),
    "llamafactory_sft": (
        "llamafactory_sft",
        Way(
            kept=with_best_in_turn,
            holds=best_unnamed,
            why="the format cannot be told from the fields conversations",
            **SHAREGPT,
        ),
    ),
    "alpaca_eval": (
        "alpaca_eval",
        Way(
            kept=outputs,
            holds=answers_alone,
            csv_format_name="alpaca-outputs",
            mend=dataset_is_the_source,
        ),
    ),
    "reward_bench": (
        "reward_bench",
        Way(
            kept=decided_by_majority,
            holds=majorities,
            csv_format_name="pairs",
            mend=subset_may_be_the_project,
        ),
    ),
    "both": ("both", Way(kept=answered, holds=whole, sides=True)),
    "raw": (
        "raw",
        Way(
            kept=everything,
            holds=judged_alone,
            rows=raw_rows,
            why="Export the project as `both`, which is read back whole",
            sides=True,
            file_types=("jsonl", "parquet"),
        ),
    ),
}


def test_every_format_has_a_way_back_or_says_why_not() -> None:
    assert {name for name, _ in WAYS.values()} == EXPORTERS.keys()
    assert all(bool(way.rows) == bool(way.why) for _, way in WAYS.values())


@pytest.mark.parametrize("name", ["preference", "openrlhf", "raw"])
def test_answers_that_nobody_judged_are_told_apart_from_prompts(
    database: Database, tmp_path: Path, now: datetime, name: str
) -> None:
    answers = tuple(map(Answer, "abc"))
    said = Sitting("ann", Kind.PERSON, (Choice("a", "b", 1),))
    for judged, told in (((answers[:2]), False), (answers, True)):
        asked = [Asked((("user", "Why?"),), judged, (said,))]
        folder = tmp_path / f"{told}"
        report = export(database, keep(database, asked, now), name, folder=folder, now=now)
        assert (Part.UNJUDGED in report.no_place) is told


def test_csv_without_a_grade_is_as_good_as_json(
    database: Database, tmp_path: Path, now: datetime
) -> None:
    said = [Choice("a", "b", -1, graded=False), Choice("b", "a", 3)]
    sittings = tuple(Sitting("ann", Kind.PERSON, (one,)) for one in said)
    asked = [Asked((("user", "Why?"),), (Answer("a"), Answer("b")), sittings)]
    folder, here = tmp_path / "csv", keep(database, asked, now)
    report = export(database, here, "preference", folder=folder, file_type="csv", now=now)
    import_file(database, report.files[0], project="there", now=now)
    [there] = held(database, "there")
    kept = [one for sitting in there.sittings for one in sitting.choices]
    assert sorted((one.graded, one.better, abs(one.choice)) for one in kept) == [
        (False, "a", 1),
        (True, "a", 3),
    ]


# --- what must have been said of a piece that is missing


def explanations(fact: Fact, asked: Counter[Fact]) -> set[Part]:
    """The parts of which any one, when it is said to have no place, explains that this is lost."""
    kind = fact[0]
    if kind in ("prompt", "answer"):
        said = {one[0] for one in asked if _is_about(one, fact)}
        of = {"choice": {Part.COMPARISONS, Part.VOTES}, "rating": {Part.RATINGS}}
        why = {Part.ANSWERS, Part.OTHER_ANSWERS} if kind == "answer" else set()
        return why | (set().union(*(of[one] for one in said)) if said else {Part.UNJUDGED})
    return {
        "choice": {Part.COMPARISONS, Part.VOTES, Part.ANSWERS},
        "rating": {Part.RATINGS, Part.ANSWERS},
        "side": {Part.SIDES, Part.VOTES},
        "grade": {Part.GRADES, Part.VOTES},
        "who": {Part.ANNOTATORS, Part.VOTES},
        "sitting": {Part.SITTINGS, Part.VOTES},
        "comment": {Part.COMMENTS, Part.ANSWERS},
        "policy": {Part.POLICIES},
        "sampling": {Part.SAMPLING},
        "tags": {Part.TAGS, Part.FURTHER_TAGS},
        "source": {Part.SOURCES},
    }[kind]


def _is_about(said: Fact, thing: Fact) -> bool:
    if said[0] not in ("choice", "rating") or thing[0] not in ("prompt", "answer"):
        return False
    named = said[2] if said[0] == "choice" else {said[2]}
    return said[1] == thing[1] and (thing[0] == "prompt" or thing[2] in named)


def hangs_on(fact: Fact) -> list[Fact]:
    """The pieces without which this one is nothing."""
    match fact:
        case ("tags" | "source", q, _):
            return [("prompt", q)]
        case ("policy" | "sampling", q, text, _):
            return [("answer", q, text)]
        case ("side" | "grade" | "who", core, *_):
            return [core]
        case ("sitting", _, cores):
            return [core for core, _ in cores]
    return []


@pytest.mark.parametrize("name", WAYS)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=projects(), data=st.data())
def test_what_a_format_holds_comes_back_and_the_rest_is_told(
    *,
    database: Database,
    tmp_path: Path,
    now: datetime,
    name: str,
    asked: list[Asked],
    data: st.DataObject,
) -> None:
    format_name, way = WAYS[name]
    file_type = data.draw(st.sampled_from(way.file_types), label="file type")
    split = data.draw(st.none() | st.sampled_from(Split), label="part")
    here = keep(database, asked, now)
    known = [one for one in held(database, here.name) if split in (None, _split(one))]
    bests = {key: best for key, best in best_answers(database, here) if key in _keys(known)}
    kept, left_out = way.kept(known, bests)
    expected = way.holds(kept, bests)
    folder = tmp_path / secrets.token_hex(4)
    options = {"file_type": file_type, **way.options} | ({"split": split} if split else {})
    if not expected:
        with pytest.raises(TooLittleData):
            export(database, here, format_name, folder=folder, options=options, now=now)
        return
    report = export(database, here, format_name, folder=folder, options=options, now=now)
    assert report.left_out == +left_out

    came = came_back(database, report, way, file_type, here, now=now)
    assert without_sides(came, way) == without_sides(expected, way)

    all_there_was, there, fine = facts(known), without_sides(came, way), facts(kept)
    said = {Part(part) for part in report.no_place}
    for fact in fine - there:
        # What was said of a thing in the rows that were counted explains that it is missing.
        counted = any(_is_about(one, fact) for one in all_there_was - fine)
        if not counted and not any(one in fine - there for one in hangs_on(fact)):
            assert explanations(fact, fine) & said, (fact, said)
    lost = all_there_was - there
    if way.holds is labels:
        # A rating of 1 or 7 comes back as itself by chance: the file says bad and good.
        lost += Counter({fact: 1 for fact in all_there_was if fact[0] == "rating"})
    for part in said:
        assert any(part in explanations(fact, all_there_was) for fact in lost), part
    if Part.FURTHER_TAGS in said:
        assert any(len(one.tags) > 1 for one in known)
    for part in said:
        assert part in report.sentence()
        assert part in (report.folder / "README.md").read_text("utf-8")


def _split(one: Asked) -> Split:
    return split_of([{"role": role, "content": text} for role, text in one.messages])  # type: ignore[typeddict-item]


def _keys(asked: list[Asked]) -> set[tuple[tuple[str, str], ...]]:
    return {one.messages for one in asked}


def best_answers(database: Database, project: Project) -> list[tuple[Any, Best | str]]:
    """Which answer is best is tested elsewhere."""
    with database.read() as connection:
        source = Source(connection=connection, project=project)
        return [(_messages(one.prompt.messages), best_answer(one)) for one in source.prompt_files()]


def without_sides(asked: list[Asked], way: Way) -> Counter[Fact]:
    found = facts(asked)
    if way.sides:
        return found
    return Counter({fact: number for fact, number in found.items() if fact[0] != "side"})


def came_back(
    database: Database,
    report: ExportReport,
    way: Way,
    file_type: str,
    here: Project,
    *,
    now: datetime,
) -> list[Asked]:
    files = [path for path in report.files if path.name.endswith(f".{file_type}")]
    assert len(files) == len(+Counter(report.rows))
    if way.rows is not None:
        for path in files:
            with pytest.raises(InvalidData) as refused:
                import_file(database, path, project="refused", now=now)
            assert way.why in str(refused.value)
        with database.read() as connection:
            assert "refused" not in {one.name for one in stored(connection)}
        return way.rows([row for path in files for row in rows_of(path)], here.name)
    there = f"there {secrets.token_hex(8)}"
    named = way.format_name or (way.csv_format_name if file_type == "csv" else None)
    for path in files:
        import_file(database, path, project=there, format_name=named, now=now)
        again = import_file(database, path, project=there, format_name=named, now=now)
        assert (again.prompts, again.responses, again.comparisons, again.ratings) == (0, 0, 0, 0)
    came = held(database, there)
    # Where a line does not say where it is from, it is from its file.
    of_file = {path.name for path in files}
    return way.mend(
        [replace(one, source="" if one.source in of_file else one.source) for one in came],
        here.name,
    )
