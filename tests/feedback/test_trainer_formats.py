"""The exports for particular trainers and benchmarks, row by row, opened by what reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import datasets
import pytest
from exported_rows import rows
from hypothesis import given
from hypothesis import strategies as st

import feedback.exporters
from feedback.exporters import EXPORTERS, export, export_file
from feedback.exporters.best import NOT_GOOD, UNJUDGED, Best, best_answer
from feedback.exporters.source import PromptFile
from feedback.importers.demonstrations import read_demonstrations
from storage.database import Database
from storage.errors import InvalidOption, TooLittleData
from storage.judgements import Judgement
from storage.prompts import add_prompts, add_responses, responses
from storage.records import (
    Comparison,
    Kind,
    Project,
    ProjectId,
    Prompt,
    PromptId,
    Purpose,
    Rating,
    Response,
    Split,
    SubmissionId,
)

ALPHA, BETA = "Why? alpha", "Why? beta"
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "And now?"},
]


@pytest.fixture
def conversation(database: Database, project: Project) -> None:
    """A prompt of several turns with the answers X and Y, whose writers nobody knows."""
    prompt = Prompt.of(project.id, CONVERSATION)
    answers = [Response.of(prompt.id, text) for text in "XY"]
    with database.write() as connection:
        add_prompts(connection, [prompt])
        add_responses(connection, answers)


# --- margins


def test_the_margin_of_a_choice_is_its_grade(say: Any, write: Any) -> None:
    say(-1)
    say(3, (7, 1))
    say(1, graded=False)
    say(0)
    report = write("margin")
    assert [(row["margin"], row["strength"]) for row in rows(report)] == [(1, 1), (3, 3)]
    assert report.left_out == {"ties": 1, "comparisons of which only the direction is known": 1}
    assert "table 27" in (report.folder / "README.md").read_text("utf-8")


def test_the_margin_of_ratings_is_their_difference(say: Any, write: Any) -> None:
    say(-1, (6.5, 3))
    say(1, (4, 4), graded=False)
    say(1, (6, 3))
    say(1, (None, 3))
    report = write("margin", of="ratings")
    assert [row["margin"] for row in rows(report)] == [3.5, 0]
    assert report.left_out == {
        "comparisons that the ratings of the same sitting contradict": 1,
        "comparisons whose answers were not both rated in the same sitting": 1,
    }


def test_trl_takes_margins_labels_completions_and_prompts_as_they_are(
    say: Any, write: Any, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl.data_utils import apply_chat_template, is_conversational

    say(-2, (6, 2))
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, unk_token="x")),
        chat_template=template,
    )
    texts = {
        "preference": {"prompt", "chosen", "rejected"},
        "margin": {"prompt", "chosen", "rejected"},
        "unpaired": {"prompt", "completion", "label"},
        "sft": {"prompt", "completion"},
        "prompts": {"prompt"},
    }
    for name, keys in texts.items():
        opened = datasets.load_dataset(
            str(write(name).folder), cache_dir=str(tmp_path / "cache"), split="all"
        )
        row = next(one for one in opened if one["prompt"][0]["content"] == "Why?")
        example = {key: row[key] for key in keys}
        assert is_conversational(example)
        said = apply_chat_template(example, tokenizer)
        assert said["prompt"] == "<user>Why?<assistant>"
        assert said.get("chosen", ALPHA) == ALPHA
        assert said.get("rejected", BETA) == BETA
        if name == "unpaired":
            assert (said["completion"], said["label"]) == (ALPHA, True)
        if name == "sft":
            assert said["completion"] == ALPHA
        if name == "margin":
            assert row["margin"] == 2


# --- the best answer


def file(judgements: Sequence[tuple[int | None, float | None, float | None]]) -> PromptFile:
    """A prompt with the answers A and B, judged: choice (A left), rating of A, rating of B."""
    prompt = Prompt.of(ProjectId("p"), "Why?")
    a, b = (Response.of(prompt.id, text) for text in "AB")

    def judgement(choice: int | None, *values: float | None) -> Judgement:
        unknown: dict[str, Any] = dict.fromkeys(
            ("task", "assignment", "shown", "probability", "study", "active_seconds", "retracted")
        )
        compared = () if choice is None else (Comparison(left=a.id, right=b.id, choice=choice),)
        return Judgement(
            submission=SubmissionId("s"),
            prompt=PromptId(prompt.id),
            annotator="x",
            kind=Kind.PERSON,
            comparisons=compared,
            ratings=tuple(
                Rating(response=one.id, value=value)
                for one, value in zip((a, b), values, strict=True)
                if value is not None
            ),
            interface="",
            received=datetime(2026, 1, 1, tzinfo=UTC),
            purpose=Purpose.FEEDBACK,
            correct=None,
            comment="",
            contradiction="",
            **unknown,
        )

    return PromptFile(
        prompt=prompt, responses=(a, b), judgements=tuple(judgement(*one) for one in judgements)
    )


@pytest.mark.parametrize(
    ("judgements", "expected"),
    [
        ([], UNJUDGED),
        ([(None, 6, 7), (None, 7, 5)], ("A", 6.5, None)),  # 6.5 and 6
        ([(None, 4.9, 2)], NOT_GOOD),
        ([(3, 5, None)], ("A", 5, 0)),  # rated beats preferred
        ([(-1, None, None), (0, None, None)], ("A", None, 0.75)),
        ([(0, None, None)], NOT_GOOD),
        ([(2, None, None)], ("B", None, 1)),
        ([(1, 6, 6)], ("B", 6, 1)),  # equal ratings: wins decide
    ],
)
def test_the_best_answer_by_hand(judgements: Any, expected: Any) -> None:
    found = best_answer(file(judgements))
    if isinstance(found, Best):
        assert (found.response.text, found.rating, found.wins) == expected
    else:
        assert found == expected


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.none() | st.floats(1, 7), st.none() | st.floats(1, 7)),
        max_size=6,
    ),
    st.randoms(),
)
def test_the_order_of_judgements_does_not_matter(judgements: list[Any], random: Any) -> None:
    shuffled = random.sample(judgements, len(judgements))
    assert best_answer(file(judgements)) == best_answer(file(shuffled))


def test_sft_holds_the_best_answers_and_is_read_back(
    say: Any, write: Any, conversation: None
) -> None:
    say(None, (6, 7))
    say(-1, of=("How? gamma", "How? alpha"))
    say(0, of=("X", "Y"))
    report = write("sft")
    said = {
        (turns[-1]["content"], answer)
        for path in report.files
        if path.suffix == ".jsonl"
        for turns, answer in read_demonstrations(path)
    }
    assert said == {("Why?", BETA), ("How?", "How? gamma")}
    assert report.left_out == {NOT_GOOD: 1}
    assert "How the best is chosen" in (report.folder / "README.md").read_text("utf-8")


# --- OpenRLHF and LLaMA-Factory


def test_openrlhf_finds_conversations_that_differ_in_the_last_turn(
    say: Any, write: Any, conversation: None
) -> None:
    say(2, (2, 4), of=("X", "Y"))
    say(-1)
    long, short = sorted(rows(write("openrlhf")), key=lambda row: -len(row["chosen"]))
    assert long["chosen"] == [*CONVERSATION, {"role": "assistant", "content": "Y"}]
    assert long["rejected"] == [*CONVERSATION, {"role": "assistant", "content": "X"}]
    assert (long["margin"], short["margin"]) == (2, None)
    asked = rows(write("openrlhf_prompts"))
    assert sorted(len(row["input"]) for row in asked) == [1, 1, 4]
    assert sorted(row["datasource"] for row in asked) == ["default", "explain", "explain"]


def as_llama_factory_reads(folder: Path, name: str) -> list[tuple[Any, ...]]:
    """What `SharegptDatasetConverter` makes of the lines: (system, turns, answers)."""
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))[name]
    columns = info["columns"]
    assert info["formatting"] == "sharegpt"
    found = []
    for line in (folder / info["file_name"]).read_text("utf-8").splitlines():
        row = json.loads(line)
        turns = row[columns["messages"]]
        assert [turn["from"] for turn in turns] == ["human", "gpt", "human", "gpt"][: len(turns)]
        assert len(turns) % 2 == info.get("ranking", False)
        answers = [row[columns[key]] for key in ("chosen", "rejected") if key in columns]
        assert all(answer["from"] == "gpt" for answer in answers)
        found.append(
            (
                row[columns["system"]],
                [turn["value"] for turn in turns],
                [answer["value"] for answer in answers],
            )
        )
    return found


def test_llama_factory_finds_its_columns(
    database: Database, project: Project, say: Any, write: Any, conversation: None
) -> None:
    prompt = Prompt.of(project.id, [*CONVERSATION, {"role": "assistant", "content": "Well,"}])
    with database.write() as connection:
        add_prompts(connection, [prompt])
        add_responses(connection, [Response.of(prompt.id, text) for text in ("go on", "stop")])
    say(2, (None, 6), of=("X", "Y"))
    say(-1, (7, None), of=("go on", "stop"))
    report = write("llamafactory")
    [part] = [split for split, number in report.rows.items() if number]
    turns = ["Hello?", "Hello!", "And now?"]
    assert as_llama_factory_reads(report.folder, f"tandem_{part}") == [
        ("Be brief.", turns, ["Y", "X"])
    ]
    assert report.left_out == {"rows whose turns are not user and assistant in turn": 1}
    best = write("llamafactory_sft")
    assert as_llama_factory_reads(best.folder, f"tandem_{part}") == [
        ("Be brief.", [*turns, "Y"], [])
    ]
    with pytest.raises(InvalidOption, match=r"file_type: .*'csv'"):
        write("llamafactory", file_type="csv")


# --- AlpacaEval and RewardBench


def test_alpaca_eval_reads_the_answers_of_one_policy(
    database: Database, project: Project, say: Any, write: Any, conversation: None
) -> None:
    from alpaca_eval.utils import load_or_convert_to_dataframe

    with database.write() as connection:
        [prompt] = [
            one for one in responses(connection, project.id)
            if any(r.text == ALPHA for r in responses(connection, [one])[one])
        ]  # fmt: skip
        twice = Response.of(prompt, "another", policy="model-alpha")
        add_responses(connection, [twice])
    report = write("alpaca_eval", policy="model-alpha")
    assert report.left_out == {
        "answers of other policies": 4,
        "further answers of the same policy to the same prompt": 1,
        "prompts that are more than one turn of a user": 1,
    }
    found: dict[str, str] = {}
    for path in report.files:
        if path.suffix == ".json":
            table = load_or_convert_to_dataframe(path)
            assert set(table["generator"]) == {"model-alpha"}
            assert set(table["dataset"]) == {"here"}
            found |= dict(zip(table["instruction"], table["output"], strict=True))
    first = min((twice, Response.of(prompt, ALPHA, policy="model-alpha")), key=lambda one: one.id)
    assert found == {"Why?": first.text, "How?": "How? alpha"}


def test_reward_bench_reads_pairs_that_a_majority_decided(
    say: Any, write: Any, conversation: None
) -> None:
    from evaluation.reward_bench_files import read_benchmark

    say(-1)
    say(2, who="Ben")
    say(-3, who="Cem")
    say(1, of=("How? alpha", "How? beta"))
    say(-1, of=("How? alpha", "How? beta"), who="Ben")
    say(0, of=("How? gamma", "How? beta"))
    say(1, of=("X", "Y"))
    report = write("reward_bench")
    [row] = rows(report)
    assert row == {
        "prompt": "Why?",
        "chosen": ALPHA,
        "chosen_model": "model-alpha",
        "rejected": BETA,
        "rejected_model": "model-beta",
        "subset": "explain",
        "id": 0,
    }
    assert report.left_out == {
        "pairs of answers of which no majority preferred one": 2,
        "prompts that are more than one turn of a user": 1,
    }
    [path] = [path for path in report.files if path.suffix == ".jsonl"]
    [question] = read_benchmark(path).questions
    assert (question.chosen, question.rejected, question.subset) == ((ALPHA,), (BETA,), "explain")


# --- parts, one file, file types, card


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "csv", "parquet"])
def test_one_file_holds_one_part_and_datasets_opens_it(
    *, database: Database, project: Project, say: Any, tmp_path: Path, now: datetime, ending: str
) -> None:
    say(-2, (6, 2.5))
    say(1)
    path = tmp_path / f"pairs.{ending}"
    report = export_file(database, project, "preference", path=path, now=now)
    assert report.files == (path, tmp_path / f"pairs.{ending}.md")
    assert sorted(one.name for one in tmp_path.glob("*pairs*")) == [
        f"pairs.{ending}",
        f"pairs.{ending}.md",
    ]
    # As the head of the card describes it.
    (tmp_path / "set").mkdir()
    path.rename(tmp_path / "set" / path.name)
    report.files[1].rename(tmp_path / "set" / "README.md")
    opened = datasets.load_dataset(
        str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"), split="all"
    )
    found = [
        [json.loads(row[key]) if ending == "csv" else row[key] for key in ("chosen", "rejected")]
        for row in opened
    ]
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in (ALPHA, BETA))
    assert found == [[chosen, rejected], [rejected, chosen]]
    assert opened["margin"][:] == [3.5, None]
    assert opened["strength"][:] == [2, 1]


def test_one_file_is_refused_where_it_cannot_be_one(
    database: Database, project: Project, say: Any, tmp_path: Path, now: datetime
) -> None:
    asked = [Prompt.of(project.id, f"{number}?") for number in range(20)]
    with database.write() as connection:
        add_prompts(connection, asked)
    write = tmp_path / "prompts.jsonl"
    with pytest.raises(InvalidOption, match="split: there are rows of"):
        export_file(database, project, "prompts", path=write, now=now)
    assert not list(tmp_path.glob("*prompts*"))
    report = export_file(
        database, project, "prompts", path=write, options={"split": "test"}, now=now
    )
    assert report.rows[Split.TRAIN] == 0 < report.rows[Split.TEST]
    with pytest.raises(InvalidOption, match="there is a file of that name"):
        export_file(database, project, "prompts", path=write, now=now)
    say(1)
    with pytest.raises(InvalidOption, match="'llamafactory' is several files"):
        export_file(database, project, "llamafactory", path=tmp_path / "x.jsonl", now=now)
    with pytest.raises(InvalidOption, match="says no type"):
        export_file(database, project, "prompts", path=tmp_path / "x.txt", now=now)
    with pytest.raises(InvalidOption, match="licence: "):
        export(
            database, project, "prompts", folder=tmp_path / "x", options={"licence": "\n"}, now=now
        )


def test_an_empty_part_is_said_to_be_empty(say: Any, write: Any) -> None:
    say(1)
    part = next(split for split, number in write("preference").rows.items() if not number)
    with pytest.raises(TooLittleData, match=f"as 'preference' yet in {part}"):
        write("preference", split=part)


def test_the_card_says_who_judged_by_what_rules_and_under_which_licence(
    *,
    database: Database,
    project: Project,
    person: Any,
    say: Any,
    write: Any,
    tmp_path: Path,
    now: datetime,
) -> None:
    from dataclasses import replace

    say(1, who="Ann Example")
    say(1, who="Ben Example")
    guided = replace(project, guidelines="Be kind.\n# And just")
    folder = tmp_path / "card"
    export(database, guided, "preference", folder=folder, options={"licence": "cc-by-4.0"}, now=now)
    card = (folder / "README.md").read_text("utf-8")
    assert 'license: "cc-by-4.0"' in card
    assert "Judged by 2 people." in card
    assert "> Be kind.\n> # And just\n" in card
    assert "Example" not in card
    plain = (write("preference").folder / "README.md").read_text("utf-8")
    assert 'license: "unknown"' in plain
    assert "The licence of these data is not known." in plain
    assert "There were no guidelines." in plain


def test_every_exporter_is_in_the_table_and_in_the_document_under_its_own_name() -> None:
    modules = [
        import_module(f"feedback.exporters.{found.name}")
        for found in iter_modules(feedback.exporters.__path__)
    ]
    exporters = {
        made
        for module in modules
        for made in vars(module).values()
        if isfunction(made) and made.__annotations__.get("return") == "Table"
    }
    assert {name: recipe.run for name, recipe in EXPORTERS.items()} == {
        made.__name__: made for made in exporters
    }
    document = (Path(__file__).parents[2] / "docs/exporting.md").read_text("utf-8")
    table = document.partition("| format |")[2].partition("\n\n")[0]
    named = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert {name for cell in named for name in re.findall(r"`(\w+)`", cell)} == EXPORTERS.keys()
