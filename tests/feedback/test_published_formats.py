"""What a line of each published data set and tool says, worked out by hand from its description."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.importers.lines import read_lines
from feedback.importers.reading import choose, detect, judged_rows, read_judged_prompts, rows_of
from feedback.importers.records import JudgedPrompt
from storage.errors import InvalidData, InvalidOption
from storage.records import Kind

same_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
SKY = "What colour is the sky?"


@pytest.fixture
def read(write_lines: Callable[..., Path]) -> Any:
    def read(
        *lines: Any, format_name: str | None = None, name: str = "file.jsonl", **options: Any
    ) -> list[JudgedPrompt]:
        path = write_lines(*lines, name=name)
        return list(read_judged_prompts(path, *choose(path, format_name, options)))

    return read


def turns(*said: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(said)
    ]


def ordered(judged: JudgedPrompt) -> Counter[tuple[str, str]]:
    """(better, worse) of each comparison that is not a tie."""
    return Counter(
        (judged.responses[v.left].text, judged.responses[v.right].text)
        if v.choice < 0
        else (judged.responses[v.right].text, judged.responses[v.left].text)
        for v in judged.verdicts
        if v.choice
    )


def rated(judged: JudgedPrompt) -> dict[tuple[str, str], float]:
    return {(judged.responses[s.response].text, s.aspect): s.value for s in judged.scores}


# --- Open Assistant


def message(text: str, role: str, *replies: Any, **more: Any) -> dict[str, Any]:
    return {"text": text, "role": role, "replies": list(replies), **more}


def quality(value: float) -> dict[str, Any]:
    return {"labels": {"quality": {"value": value, "count": 3}, "toxicity": {"value": 0.5}}}


TREE = {
    "message_tree_id": "t",
    "tree_state": "ready_for_export",
    "prompt": message(
        SKY,
        "prompter",
        message(
            "Blue.",
            "assistant",
            message("Always?", "prompter", message("No.", "assistant", **quality(1.0))),
            rank=0,
            **quality(0.75),
        ),
        message("Green.", "assistant", rank=2, **quality(0.0)),
        message("Grey.", "assistant", rank=1, labels=None),
        message("Unranked.", "assistant", rank=None),
        message("Spam.", "assistant", rank=3, deleted=True),
        lang="en",
    ),
}


def test_every_turn_of_a_tree_that_was_answered_is_a_prompt(read: Any) -> None:
    first, second = read(TREE)
    assert [m["content"] for m in first.messages] == [SKY]
    assert [m["content"] for m in second.messages] == [SKY, "Blue.", "Always?"]
    assert [m["role"] for m in second.messages] == ["user", "assistant", "user"]
    assert [r.text for r in first.responses] == ["Blue.", "Green.", "Grey.", "Unranked."]
    assert [r.text for r in second.responses] == ["No."]
    assert (first.tags, first.left_out) == (("en",), ("deleted replies",))


def test_ranks_of_siblings_are_comparisons_and_labels_are_ratings(read: Any) -> None:
    first, second = read(TREE)
    assert ordered(first) == Counter(
        {("Blue.", "Grey."): 1, ("Blue.", "Green."): 1, ("Grey.", "Green."): 1}
    )
    assert (len(first.verdicts), second.verdicts) == (3, ())
    # 1 + 6 * 0.75
    assert rated(first) == {("Blue.", "quality"): 5.5, ("Green.", "quality"): 1.0}
    assert rated(second) == {("No.", "quality"): 7.0}
    assert {score.scale for score in first.scores} == {(0.0, 1.0)}


def test_other_labels_are_read_when_they_are_named(read: Any) -> None:
    first, _ = read(TREE, labels="quality, toxicity")
    assert rated(first)["Blue.", "toxicity"] == 4.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"role": "robot"}, "prompter or assistant; got 'robot'"),
        (
            {"replies": [message("Blue.", "assistant", **quality(2))]},
            "goes from 0 to 1 here; got 2",
        ),
        ({"replies": [message("Blue.", "assistant", rank="first")]}, "'rank' needs to be a number"),
        ({"replies": "none"}, "'replies' needs to be a list"),
        ({"text": " "}, "a message needs some text"),
    ],
)
def test_a_broken_tree_is_refused(read: Any, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidData, match=f"line 2: .*{sentence}"):
        read(TREE, TREE | {"prompt": TREE["prompt"] | change})  # type: ignore[operator]


def test_single_messages_of_open_assistant_are_refused(write_lines: Callable[..., Path]) -> None:
    with pytest.raises(InvalidData, match="download the file of trees instead"):
        detect(write_lines({"message_id": "a", "parent_id": None, "text": "x", "role": "prompter"}))


# --- UltraFeedback, RLHFlow, HelpSteer

ULTRA = {
    "source": "flan_v2",
    "instruction": SKY,
    "models": ["m1", "m2"],
    "completions": [
        {
            "model": "m1",
            "response": "Blue.",
            "custom_system_prompt": "Be brief.",
            "annotations": {
                "helpfulness": {"Type": ["1"], "Rating": "4", "Rationale": "Right."},
                "honesty": {"Rating": "N/A", "Rationale": ""},
            },
            "overall_score": 10,
            "fine-grained_score": 4.25,
        },
        {"model": "m2", "response": "Green.", "annotations": {}, "overall_score": 5.5},
    ],
    "correct_answers": ["None"],
}


def test_ultrafeedback_is_rated_in_aspects_and_overall(read: Any) -> None:
    [judged] = read(ULTRA)
    # 4 of 1..5 is 1 + 6 * 3/4; 5.5 of 1..10 is 1 + 6 * 4.5/9.
    assert rated(judged) == {
        ("Blue.", "helpfulness"): 5.5,
        ("Blue.", "overall"): 7.0,
        ("Green.", "overall"): 4.0,
    }
    assert judged.left_out == ("ratings that are N/A",)
    assert [r.policy for r in judged.responses] == ["m1", "m2"]
    assert judged.responses[0].sampling == {"system_prompt": "Be brief."}
    assert {(s.annotator, s.kind) for s in judged.scores} == {("gpt-4", Kind.PROGRAM)}
    assert judged.source == "flan_v2"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"overall_score": 11}, "the overall of completion 1 goes from 1 to 10 here; got 11"),
        ({"annotations": {"honesty": {"Rating": "good"}}}, "needs to be a number; got 'good'"),
        ({"annotations": {"honesty": "5"}}, "needs to be an object with a 'Rating'"),
        ({"response": None}, "completion 1 needs some text"),
    ],
)
def test_broken_ultrafeedback_is_refused(read: Any, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidData, match=f"line 1: .*{sentence}"):
        read(ULTRA | {"completions": [ULTRA["completions"][0] | change]})  # type: ignore[operator]


BINARIZED = {
    "prompt": SKY,
    "chosen": turns(SKY, "Blue."),
    "rejected": turns(SKY, "Green."),
    "score_chosen": 8.5,
    "score_rejected": 1,
}


@pytest.mark.parametrize("prompt", [True, False])
def test_a_binarized_pair_keeps_the_scores_it_was_made_from(read: Any, prompt: bool) -> None:
    [judged] = read({k: v for k, v in BINARIZED.items() if prompt or k != "prompt"})
    assert ordered(judged) == Counter([("Blue.", "Green.")])
    # 8.5 of 1..10 is 1 + 6 * 7.5/9.
    assert rated(judged) == {("Blue.", "overall"): 6.0, ("Green.", "overall"): 1.0}
    assert judged.dependent == 1
    assert {(v.annotator, v.kind) for v in judged.verdicts} == {("gpt-4", Kind.PROGRAM)}


def test_equal_scores_are_a_tie(read: Any) -> None:
    [judged] = read(BINARIZED | {"score_rejected": 8.5})
    assert [verdict.choice for verdict in judged.verdicts] == [0]


@pytest.mark.parametrize(
    "names", [("chosen_score", "rejected_score"), ("chosen_rating", "rejected_rating")]
)
def test_scores_of_rlhflow_need_their_scale(read: Any, names: tuple[str, str]) -> None:
    line = {"chosen": BINARIZED["chosen"], "rejected": BINARIZED["rejected"]}
    line |= dict(zip(names, (5, 2), strict=True))
    [judged] = read(line)
    assert (ordered(judged), judged.scores) == (Counter([("Blue.", "Green.")]), ())
    assert judged.left_out[0].startswith("scores whose scale is not given")
    [scaled] = read(line, scale_min=1, scale_max=5)
    assert rated(scaled) == {("Blue.", "overall"): 7.0, ("Green.", "overall"): 2.5}
    with pytest.raises(InvalidData, match="the score of chosen goes from 0 to 4 here; got 5"):
        read(line, scale_min=0, scale_max=4)
    with pytest.raises(InvalidOption, match="belong together"):
        read(line, scale_min=0)


def test_helpsteer_is_rated_from_0_to_4(read: Any) -> None:
    line = {"prompt": SKY, "response": "Blue.", "helpfulness": 4, "correctness": 3, "coherence": 2,
            "complexity": 1, "verbosity": 0}  # fmt: skip
    [judged] = read(line)
    assert [score.value for score in judged.scores] == [7.0, 5.5, 4.0, 2.5, 1.0]
    assert len({score.sitting for score in judged.scores}) == 1
    with pytest.raises(InvalidData, match="'verbosity' goes from 0 to 4 here; got 5"):
        read(line | {"verbosity": 5})


def test_turns_of_helpsteer_are_told_apart(read: Any) -> None:
    said = f"{SKY}\n<extra_id_1>Assistant\nBlue.\n<extra_id_1>User\nAlways?"
    strength = {"response_1": "No.", "response_2": "Yes.", "preference_strength": 2}
    [judged] = read({"prompt": said} | strength)
    assert list(judged.messages) == turns(SKY, "Blue.", "Always?")
    [cued] = read({"prompt": f"{said}\n<extra_id_1>Assistant\n"} | strength)
    assert cued.messages == judged.messages


@pytest.mark.parametrize("strength", range(-3, 4))
def test_the_strength_of_a_preference_is_kept(read: Any, strength: int) -> None:
    lines = (
        {"prompt": SKY, "response_1": "a", "response_2": "b", "preference_strength": strength},
        {"context": turns(SKY), "response1": "a", "response2": "b", "overall_preference": strength},
    )
    for line in lines:
        [judged] = read(line)
        [verdict] = judged.verdicts
        assert (verdict.left, verdict.choice, verdict.graded) == (0, strength, True)
    for wrong in (4, 0.5, True, None, "1"):
        with pytest.raises(InvalidData, match="whole number from -3 to 3"):
            read(lines[0] | {"preference_strength": wrong}, format_name="helpsteer-preference")


# --- LMFlow


def test_scored_texts_are_compared_by_their_scores(read: Any) -> None:
    answers = [{"score": s, "text": t} for s, t in ((0.5, "b"), (1.0, "a"), (0.5, "c"))]
    whole = {"type": "text_to_scored_textlist", "instances": [{"input": SKY, "output": answers}]}
    [judged] = read(json.dumps(whole), name="file.json")
    assert ordered(judged) == Counter([("a", "b"), ("a", "c")])
    assert (len(judged.verdicts), judged.dependent) == (3, 3)


def test_what_lmflow_holds_without_judgements_is_refused(read: Any) -> None:
    whole = {"type": "text_only", "instances": [{"text": "x"}]}
    with pytest.raises(InvalidData, match=r"entry 1: LMFlow's type 'text_only' holds no responses"):
        read(json.dumps(whole), name="file.json")
    broken = {"type": "text_only", "instances": [{"positive": "Hi", "negative": "Ho"}]}
    with pytest.raises(InvalidData, match="'positive' needs the turns"):
        read(json.dumps(broken), name="file.json")


# --- AlpacaEval, arena

ANNOTATION = {"instruction": SKY, "output_1": "a", "output_2": "b", "annotator": "gpt",
              "generator_1": "m1", "generator_2": "m2"}  # fmt: skip


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        (1, ("a", "b")),
        (1.2, ("a", "b")),
        (2, ("b", "a")),
        (1.51, ("b", "a")),
        (1.5, None),
        (0, None),
    ],
)
def test_a_preference_of_alpaca_eval(read: Any, preference: float, expected: Any) -> None:
    [judged] = read(ANNOTATION | {"preference": preference})
    assert ordered(judged) == Counter([expected] if expected else [])
    assert len(judged.verdicts) == 1
    assert {r.text: r.policy for r in judged.responses} == {"a": "m1", "b": "m2"}


def test_alpaca_eval_without_a_preference_is_counted_and_beyond_refused(read: Any) -> None:
    [judged] = read(ANNOTATION | {"preference": None})
    assert (judged.verdicts, len(judged.left_out)) == ((), 1)
    for wrong in (3, 0.5, -1):
        with pytest.raises(InvalidData, match="a preference goes from 1 to 2"):
            read(ANNOTATION | {"preference": wrong})


VOTE = {"model_a": "m1", "model_b": "m2", "winner": "model_a", "judge": "j", "turn": 1,
        "conversation_a": turns(SKY, "a"), "conversation_b": turns(SKY, "b")}  # fmt: skip


@pytest.mark.parametrize(
    ("winner", "choice", "both_bad"),
    [("model_a", -1, False), ("model_b", 1, False), ("tie", 0, False), ("tie (bothbad)", 0, True)],
)
def test_a_vote_of_the_arena(read: Any, winner: str, choice: int, both_bad: bool) -> None:
    [judged] = read(VOTE | {"winner": winner})
    [verdict] = judged.verdicts
    assert (verdict.left, verdict.choice, verdict.both_bad) == (0, choice, both_bad)
    assert [(r.text, r.policy) for r in judged.responses] == [("a", "m1"), ("b", "m2")]


def test_conversations_of_the_arena_that_part_early_are_counted(read: Any) -> None:
    parted = {"conversation_a": turns(SKY, "a", "So?", "x"), "turn": 2,
              "conversation_b": turns(SKY, "b", "So?", "y")}  # fmt: skip
    [judged] = read(VOTE | parted)
    assert (judged.verdicts, judged.skipped, judged.responses) == ((), 1, ())
    # MT-Bench's vote after the first question is about the first answers, whatever follows.
    [first] = read(VOTE | parted | {"turn": 1})
    assert [r.text for r in first.responses] == ["a", "b"]


# --- rankings


@same_fixture
@given(ranks=st.lists(st.integers(1, 3), min_size=2, max_size=5))
def test_a_ranking_compares_every_two_responses_once(
    write_lines: Callable[..., Path], ranks: list[int]
) -> None:
    names = "abcde"[: len(ranks)]
    line = {
        "prompt": SKY,
        "responses": [{"rid": name, "text": f"text {name}"} for name in names],
        "rankings": [{"annotator": "ann", "rank": dict(zip(names, ranks, strict=True))}],
    }
    path = write_lines(line)
    [judged] = read_judged_prompts(path, *choose(path, None, {}))
    ranked = dict(zip((f"text {name}" for name in names), ranks, strict=True))
    expected = Counter(
        tuple(sorted(pair, key=ranked.__getitem__))
        for pair in combinations(ranked, 2)
        if len({ranked[text] for text in pair}) == 2
    )
    assert ordered(judged) == expected
    assert len(judged.verdicts) == len(ranks) * (len(ranks) - 1) / 2


def test_the_study_of_the_thesis_gives_the_comparisons_that_were_worked_out_elsewhere(
    shared_data: Path, write_lines: Callable[..., Path]
) -> None:
    path = shared_data / "both_thesis_user_study.jsonl.gz"
    lines = [dict(line.fields) for line in read_lines(path)]
    assert all(line.pop("preferences") for line in lines)
    comparisons, _ = rows_of(path)
    ours, _ = rows_of(write_lines(*lines))

    def told(rows: Any) -> Counter[Any]:
        return Counter(
            (r.prompt_id, r.annotator, *sorted([(r.left, r.choice), (r.right, -r.choice)]))
            for r in rows
        )

    # A line without rankings has preferences alone; none of these exists in the file.
    assert len(ours) == 360
    assert told(ours) == told(comparisons)


# --- annotation tools


def task(**more: Any) -> dict[str, Any]:
    result = {"from_name": "pw", "to_name": "answer1,answer2", "type": "pairwise"} | more
    return {
        "data": {"prompt": SKY, "answer1": "a", "answer2": "b"},
        "annotations": [
            {"completed_by": {"id": 7, "email": "x@y"}, "result": [result, {"type": "choices"}]},
            {"completed_by": 8, "was_cancelled": True, "result": [result]},
        ],
    }


@pytest.mark.parametrize(("selected", "choice"), [("left", -1), ("right", 1), (None, 0)])
def test_a_task_of_label_studio(read: Any, selected: str | None, choice: int) -> None:
    [judged] = read(task(value={"selected": selected}))
    [verdict] = judged.verdicts
    assert (verdict.left, verdict.choice, verdict.annotator) == (0, choice, "7")
    assert Counter(judged.left_out) == {
        "annotations that were cancelled": 1,
        "results that are not pairwise": 1,
    }


def test_fields_of_label_studio_can_be_named(read: Any) -> None:
    line = task(value={"selected": "left"}, to_name="t1,t2")
    with pytest.raises(InvalidData, match=r"fields are prompt, answer1, answer2\. Name them"):
        read(line)
    [judged] = read(line, left="answer2", right="answer1")
    assert [r.text for r in judged.responses] == ["b", "a"]
    with pytest.raises(InvalidData, match="no field 'question' with the prompt"):
        read(task(value={}), prompt="question")


FIELDS = {"instruction": SKY, "response-1": "a", "response-2": "b", "response-3": "c"}
RANKS = [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2},
         {"value": "response-3", "rank": 2}]  # fmt: skip
ARGILLA = {
    "argilla 2, records.to_json": {
        "fields": FIELDS,
        "responses": {"ranking": [{"value": RANKS, "user_id": "u"}]},
        "status": "completed",
    },
    "argilla 2, to_datasets": FIELDS
    | {
        "ranking.responses": [RANKS, RANKS[::-1]],
        "ranking.responses.users": ["u", "v"],
        "ranking.responses.status": ["submitted", "draft"],
    },
    "argilla 1": FIELDS
    | {
        "ranking": [
            {
                "user_id": "u",
                "status": "submitted",
                "value": {
                    "rank": [one["rank"] for one in RANKS],
                    "value": [one["value"] for one in RANKS],
                },
            },
            {"user_id": "v", "status": "discarded", "value": {"rank": [], "value": []}},
        ]
    },
}


@pytest.mark.parametrize("shape", ARGILLA)
def test_a_ranking_of_argilla(read: Any, shape: str) -> None:
    [judged] = read(ARGILLA[shape])
    assert ordered(judged) == Counter([("b", "a"), ("b", "c")])
    assert [v.annotator for v in judged.verdicts] == ["u"] * 3
    dropped = {"argilla 2, to_datasets": "answers that were draft",
               "argilla 1": "answers that were discarded"}  # fmt: skip
    assert judged.left_out == ((dropped[shape],) if shape in dropped else ())


def test_other_questions_of_argilla(read: Any) -> None:
    answers = {
        "better": [{"value": "response-2", "user_id": "u"}],
        "response-1 truth": [{"value": 5, "user_id": "u"}],
        "comment": [{"value": "Fine.", "user_id": "u"}],
    }
    fields = {name: FIELDS[name] for name in ("instruction", "response-1", "response-2")}
    line = {"fields": fields, "responses": answers}
    [judged] = read(line, scale_min=1, scale_max=5)
    assert ordered(judged) == Counter([("b", "a")])
    assert rated(judged) == {("a", "truth"): 7.0}
    assert judged.left_out == ("answers to 'comment', which are no judgement",)
    [unscaled] = read(line)
    assert (unscaled.scores, len(unscaled.left_out)) == ((), 2)
    [named] = read(line, responses="response-2", prompt="instruction")
    assert [r.text for r in named.responses] == ["b"]
    with pytest.raises(InvalidData, match="which field is the prompt cannot be told"):
        read({"fields": {"text": "x"}, "responses": {}})


def test_what_argilla_itself_writes_is_read(tmp_path: Path) -> None:
    import argilla
    from argilla.records._io import JsonIO

    record = argilla.Record(
        fields=dict(FIELDS),
        responses=[argilla.Response("ranking", ["response-3", "response-1", "response-2"],
                                    user_id="00000000-0000-0000-0000-000000000001")],
    )  # fmt: skip
    path = JsonIO.to_json([record], tmp_path / "records.json")
    [judged] = read_judged_prompts(path, *choose(path, None, {}))
    assert ordered(judged) == Counter([("c", "a"), ("c", "b"), ("a", "b")])


# --- unpaired, columns


def test_labels_are_ratings_where_a_person_says_so(read: Any) -> None:
    lines = [{"prompt": SKY, "completion": said, "label": label}
             for said, label in (("a", True), (turns("", "b")[1:], False))]  # fmt: skip
    good, bad = read(*lines, format_name="unpaired")
    assert (rated(good), rated(bad)) == ({("a", "overall"): 7.0}, {("b", "overall"): 1.0})
    for wrong in (None, "yes", 2):
        with pytest.raises(InvalidData, match="'label' is true or false"):
            read({"prompt": SKY, "completion": "a", "label": wrong}, format_name="unpaired")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_ratings(read: Any, separator: str) -> None:
    rows = ["prompt,response,rating,annotator", f"{SKY},Blue.,3,ann", f"{SKY},Green.,1,"]
    lines = [row.replace(",", separator) for row in rows]
    good, bad = read(*lines, name="file.csv", scale_min=1, scale_max=5)
    assert (rated(good), rated(bad)) == ({("Blue.", "overall"): 4.0}, {("Green.", "overall"): 1.0})
    assert [good.scores[0].annotator, bad.scores[0].annotator] == ["ann", "unknown"]


@pytest.mark.parametrize(
    ("header", "row", "options", "sentence"),
    [
        ("prompt,chosen,rejected", "p,c,", {}, "'rejected' needs some text; got ''"),
        ("prompt,response,rating", "p,r,", {}, "'rating' needs to be a number; got ''"),
        ("prompt,response,rating", "p,r,high", {}, "'rating' needs to be a number; got 'high'"),
        ("prompt,response,rating", "p,r,9", {}, "lies outside 1 to 7 and its scale is not given"),
        ("prompt,response", "p,r", {}, "'rating' needs to be a number"),
        ("prompt,response,rating", "p,r,nan", {}, "finite number"),
        ("q,chosen,rejected", "p,c,r", {"prompt": "question"}, "no column 'question', .* prompt"),
        ("prompt,chosen,rejected,response", "p,c,r,s", {}, "has columns of both"),
        ("q,a", "p,c", {}, "there is no prompt"),
    ],
)
def test_a_broken_row_is_refused(
    read: Any, header: str, row: str, options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InvalidData, match=f"file.csv, line 2: .*{sentence}"):
        read(header, row, name="file.csv", **options)


def test_columns_may_be_named_in_any_file(read: Any) -> None:
    line = {"q": SKY, "a": "Blue.", "b": "Green.", "who": "ann"}
    options = {"prompt": "q", "chosen": "a", "rejected": "b", "annotator": "who"}
    [judged] = read(line, format_name="columns", **options)
    assert ordered(judged) == Counter([("Blue.", "Green.")])


def test_training_reads_what_imports_read(write_lines: Callable[..., Path]) -> None:
    rows = judged_rows(write_lines(TREE))
    assert (len(rows.comparisons), len(rows.ratings)) == (3, 3)
    assert "1 deleted replies: left out" in rows.remarks
