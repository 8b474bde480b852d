"""What TRL's trainers read is read here: its formats, and the folders that `datasets` writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.importers.reading import JudgedRows, choose, judged_rows, read_judged_prompts
from storage.dataset import SnapshotData, write_snapshot
from storage.errors import InvalidData
from storage.records import Split, split_of

Rows = list[dict[str, Any]]

same_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def turns(*contents: str, role: str = "user") -> list[dict[str, str]]:
    """Messages of user and assistant in turn."""
    roles = ("user", "assistant") if role == "user" else ("assistant", "user")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]


def told(path: Path) -> list[tuple[Any, str | None, str | None]]:
    """For each line: the prompt, what was preferred, and to what."""
    found: list[tuple[Any, str | None, str | None]] = []
    for judged in read_judged_prompts(path, *choose(path, None, {})):
        texts = [response.text for response in judged.responses]
        better, worse = texts if texts else (None, None)
        if judged.verdicts and judged.verdicts[0].choice > 0:
            better, worse = worse, better
        found.append((list(judged.messages), better, worse))
    return found


SKY = turns("What colour is the sky?")

# From TRL's page "Dataset formats and types", section Preference; the second implementation below
# holds them against its own reading.
DOCUMENTED: dict[str, dict[str, Any]] = {
    "plain, explicit prompt": {
        "prompt": "What colour is the sky?",
        "chosen": "It is blue.",
        "rejected": "It is green.",
    },
    "conversational, explicit prompt": {
        "prompt": SKY,
        "chosen": turns("It is blue.", role="assistant"),
        "rejected": turns("It is green.", role="assistant"),
    },
    "conversational, implicit prompt": {
        "chosen": [*SKY, *turns("It is blue.", role="assistant")],
        "rejected": [*SKY, *turns("It is green.", role="assistant")],
    },
    "with margin": {
        "prompt": SKY,
        "chosen": turns("It is blue.", role="assistant"),
        "rejected": turns("It is green.", role="assistant"),
        "margin": 0.7,
    },
    # HuggingFaceH4/ultrafeedback_binarized: the prompt as a text beside whole conversations.
    "prompt told twice, as a text": {
        "prompt": "What colour is the sky?",
        "chosen": [*SKY, *turns("It is blue.", role="assistant")],
        "rejected": [*SKY, *turns("It is green.", role="assistant")],
    },
    "prompt told twice, as messages": {
        "prompt": SKY,
        "chosen": [*SKY, *turns("It is blue.", role="assistant")],
        "rejected": [*SKY, *turns("It is green.", role="assistant")],
    },
    # Anthropic/hh-rlhf.
    "transcript": {
        "chosen": "\n\nHuman: What colour is the sky?\n\nAssistant: It is blue.",
        "rejected": "\n\nHuman: What colour is the sky?\n\nAssistant: It is green.",
    },
}


@pytest.mark.parametrize("line", DOCUMENTED.values(), ids=DOCUMENTED)
def test_each_form_of_a_preference_says_the_same(
    write_lines: Callable[..., Path], line: dict[str, Any]
) -> None:
    assert told(write_lines(line)) == [(SKY, "It is blue.", "It is green.")]


words = st.text("abc ", min_size=1, max_size=5).filter(str.strip)


@same_fixture
@given(
    begin=st.lists(words, min_size=1, max_size=5).filter(lambda said: len(said) % 2 == 1),
    answers=st.lists(words, min_size=2, max_size=2, unique=True),
    system=st.booleans(),
)
def test_the_prompt_of_whole_conversations_is_the_one_that_trl_extracts(
    write_lines: Callable[..., Path], begin: list[str], answers: list[str], system: bool
) -> None:
    from trl import extract_prompt

    said = [{"role": "system", "content": "Be brief."}] * system + turns(*begin)
    chosen, rejected = ([*said, *turns(text, role="assistant")] for text in answers)
    theirs = extract_prompt({"chosen": chosen, "rejected": rejected})
    [(prompt, better, worse)] = told(write_lines({"chosen": chosen, "rejected": rejected}))
    assert prompt == theirs["prompt"] == said
    assert [{"role": "assistant", "content": better}] == theirs["chosen"]
    assert [{"role": "assistant", "content": worse}] == theirs["rejected"]


@same_fixture
@given(
    said=st.lists(words.map(str.strip), min_size=2, max_size=6).filter(lambda s: len(s) % 2 == 0)
)
def test_a_transcript_holds_the_turns_that_were_written_into_it(
    write_lines: Callable[..., Path], said: list[str]
) -> None:
    names = ("Human", "Assistant")
    text = "".join(f"\n\n{names[n % 2]}: {content}" for n, content in enumerate(said))
    other = f"{text}, but otherwise"
    [(prompt, better, worse)] = told(write_lines({"chosen": text, "rejected": other}))
    assert prompt == turns(*said[:-1])
    assert (better, worse) == (said[-1], f"{said[-1]}, but otherwise")


def test_conversations_that_part_earlier_are_left_out_and_counted(
    write_lines: Callable[..., Path],
) -> None:
    one, other = turns("Hi", "Hello", "How?", "So."), turns("Hi", "What?", "How?", "So.")
    path = write_lines({"chosen": one, "rejected": other}, DOCUMENTED["transcript"])
    assert told(path)[0] == (turns("Hi"), None, None)
    rows = judged_rows(path)
    assert len(rows.comparisons) == 1
    assert rows.remarks == (
        "1 comparisons are not of two different answers to one prompt: left out",
    )
    longer = write_lines({"chosen": turns("Hi", "Hello"), "rejected": one})
    assert told(longer)[0][1:] == (None, None)


def test_a_margin_is_said_to_be_passed_over(write_lines: Callable[..., Path]) -> None:
    path = write_lines(DOCUMENTED["with margin"], DOCUMENTED["transcript"])
    assert judged_rows(path).remarks == (
        "1 lines have a margin, which is passed over: who was preferred counts",
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({"prompt": "p", "completion": "c", "label": True}, "unpaired or stepwise .*'absolute'"),
        ({"prompt": SKY, "completion": turns("c"), "label": False}, "no reward recipe learns"),
        ({"prompt": "p", "completions": ["a"], "labels": [True]}, "PRM trainers"),
        ({"prompt": "p", "completion": "c"}, "holds no judgement"),
        ({"chosen": "It is blue.", "rejected": "It is green."}, "line 1: there is no prompt;"),
        ({"chosen": turns("a"), "rejected": turns("b")}, "the last one is the assistant's"),
        ({"chosen": [], "rejected": turns("b")}, "at least one turn"),
        ({"chosen": [{"role": "tool", "content": "x"}], "rejected": SKY}, "needs a role"),
        (
            {"chosen": [*SKY, {"role": "assistant", "content": [{"text": "x"}]}], "rejected": SKY},
            "a text as content",
        ),
        (DOCUMENTED["conversational, implicit prompt"] | {"prompt": "And?"}, "not what chosen and"),
        (DOCUMENTED["conversational, implicit prompt"] | {"prompt": turns("x")}, "not what chosen"),
        ({"chosen": "\n\nHuman: Hi", "rejected": "\n\nHuman: Ho"}, "the last one is the assist"),
        ({"chosen": "\n\nAssistant: Hi", "rejected": "\n\nAssistant: Ho"}, "there is no prompt"),
        ({"prompt": "p", "chosen": turns("c", " "), "rejected": turns("c", "d")}, "'chosen' needs"),
    ],
)
def test_what_is_no_judgement_of_answers_is_refused_with_a_sentence(
    write_lines: Callable[..., Path], line: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidData, match=sentence):
        judged_rows(write_lines(line))


# --- folders


def preferences(number: int, first: int = 0) -> Rows:
    return [
        {
            "prompt": turns(f"Question {n}?"),
            "chosen": turns("good", role="assistant"),
            "rejected": turns("bad", role="assistant"),
            "margin": None if n % 2 else 1.5,
        }
        for n in range(first, first + number)
    ]


PARTS: dict[str, Rows] = {"train": preferences(60), "test": preferences(20, first=60)}


def saved(parts: Mapping[str, Rows], folder: Path) -> None:
    """As `DatasetDict.save_to_disk` writes it."""
    from datasets import Dataset, DatasetDict

    whole = DatasetDict({name: Dataset.from_list(rows) for name, rows in parts.items()})
    whole.save_to_disk(folder, num_shards=dict.fromkeys(parts, 2))


def published(parts: Mapping[str, Rows], folder: Path) -> None:
    """As the Hub lays out what `push_to_hub` sent."""
    from datasets import Dataset

    (folder / "data").mkdir(parents=True)
    for name, rows in parts.items():
        Dataset.from_list(rows).to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")


def described(parts: Mapping[str, Rows], folder: Path) -> None:
    """Under names that say nothing, with a README that does."""
    from datasets import Dataset

    folder.mkdir()
    files = []
    for number, (name, rows) in enumerate(parts.items()):
        Dataset.from_list(rows).to_json(folder / f"{number}.jsonl")
        files.append({"split": name, "path": f"{number}.jsonl"})
    head = json.dumps([{"config_name": "default", "data_files": files}])
    (folder / "README.md").write_text(f"---\nconfigs: {head}\n---\n", encoding="utf-8")


def cached(parts: Mapping[str, Rows], folder: Path) -> None:
    """As the Hub's cache keeps a download: links to files without a suffix."""
    published(parts, folder / "snapshots" / "a1")
    for number, file in enumerate(sorted(folder.rglob("*.parquet"))):
        blob = folder / f"{number}"
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, file.parent))


def compressed(parts: Mapping[str, Rows], folder: Path) -> None:
    """As `Anthropic/hh-rlhf`: subsets in folders, each with its parts."""
    from datasets import Dataset

    for half in (0, 1):
        (folder / f"subset-{half}").mkdir(parents=True)
        for name, rows in parts.items():
            path = folder / f"subset-{half}" / f"{name}.jsonl.gz"
            Dataset.from_list(rows[half::2]).to_json(path, compression="gzip")


def with_column(parts: Mapping[str, Rows], folder: Path) -> None:
    """One file whose lines say where they belong."""
    from datasets import Dataset

    rows = [{**row, "split": name} for name, part in parts.items() for row in part]
    folder.mkdir()
    Dataset.from_list(rows).to_parquet(folder.with_suffix(".parquet"))


LAYOUTS = [saved, published, described, cached, compressed, with_column]


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` keeps nothing where it usually does."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def there(folder: Path) -> Path:
    table = folder.with_suffix(".parquet")
    return table if table.exists() else folder


def by_part(rows: JudgedRows) -> dict[str, set[str]]:
    """The questions in each part."""
    found: dict[str, set[str]] = {}
    for row in rows.comparisons:
        part = rows.splits.get(row.prompt_id) or split_of(row.prompt)
        found.setdefault(part, set()).add(row.prompt[0]["content"])
    return found


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_holds_the_same_rows_in_the_same_parts(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write(PARTS, tmp_path / "dataset")
    rows = judged_rows(there(tmp_path / "dataset"))
    assert len(rows.comparisons) == 80
    assert rows.remarks == (
        "40 lines have a margin, which is passed over: who was preferred counts",
        "parts as the data has them: test, train; validation drawn from train",
    )
    found = by_part(rows)
    asked = {name: {row["prompt"][0]["content"] for row in part} for name, part in PARTS.items()}
    assert found[Split.TEST] == asked["test"]
    assert found[Split.TRAIN] | found[Split.VALIDATION] == asked["train"]
    assert found[Split.VALIDATION] == {
        question
        for question in asked["train"]
        if split_of(SKY[:0] + turns(question)) is Split.VALIDATION  # type: ignore[arg-type]
    }
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("write", LAYOUTS)
def test_data_with_train_alone_is_divided_as_without_parts(
    write: Callable[..., None], tmp_path: Path, write_lines: Callable[..., Path]
) -> None:
    write({"train": PARTS["train"]}, tmp_path / "dataset")
    plain = judged_rows(write_lines(*PARTS["train"]))
    assert plain.splits == {}
    assert by_part(judged_rows(there(tmp_path / "dataset"))) == by_part(plain)


@same_fixture
@given(
    said=st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from(["train", "validation", "test", "train_prefs", "dev", "eval", None]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_prompt_is_in_two_parts_and_what_was_held_out_stays_so(
    write_lines: Callable[..., Path], said: list[tuple[int, str | None]]
) -> None:
    lines = [
        {"prompt": f"Question {n}?", "chosen": f"good {place}", "rejected": "bad", "split": part}
        for place, (n, part) in enumerate(said)
    ]
    rows = judged_rows(write_lines(*lines))
    found = by_part(rows)
    assert sum(map(len, found.values())) == len({n for n, _ in said})
    for n, part in said:
        if part in ("test", "eval"):
            assert f"Question {n}?" in found[Split.TEST]
        if part in ("validation", "dev"):
            assert f"Question {n}?" not in found.get(Split.TRAIN, set())


def test_a_prompt_in_several_parts_is_told(write_lines: Callable[..., Path]) -> None:
    line = DOCUMENTED["plain, explicit prompt"]
    rows = judged_rows(write_lines(*(line | {"split": part} for part in ("train", "test"))))
    assert list(rows.splits.values()) == [Split.TEST]
    assert rows.remarks[-1] == "1 prompts are in several parts: kept in the last of them alone"


def test_a_snapshot_keeps_the_parts_it_is_given(tmp_path: Path) -> None:
    published(PARTS, tmp_path / "dataset")
    rows = judged_rows(tmp_path / "dataset")
    name, numbers = write_snapshot(
        tmp_path / "kept", rows.comparisons, rows.ratings, splits=rows.splits
    )
    test = SnapshotData.open(tmp_path / "kept").comparisons(Split.TEST)
    assert {row.prompt_id for row in test} == {
        prompt for prompt, part in rows.splits.items() if part is Split.TEST
    }
    assert numbers["comparisons/test"] == 20
    # In other parts it is another snapshot, so that no run goes on with the wrong ones.
    other, _ = write_snapshot(tmp_path / "other", rows.comparisons, rows.ratings)
    assert other != name


def test_a_split_of_another_name_is_refused(write_lines: Callable[..., Path]) -> None:
    line = DOCUMENTED["plain, explicit prompt"]
    for name in ("helpful", 7, ["train"]):
        with pytest.raises(InvalidData, match=r"line 1: the split .* is none of train, validation"):
            judged_rows(write_lines(line | {"split": name}))
    assert told(write_lines(line | {"split": "helpful"}))  # which matters to no import


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("train_prefs", "train_sft", "test_prefs"), "at most one may be for each of train"),
        (("train", "harmless"), "has the parts harmless, train"),
    ],
)
def test_folders_whose_parts_cannot_be_told_are_refused(
    tmp_path: Path, parts: tuple[str, ...], sentence: str
) -> None:
    published(dict.fromkeys(parts, PARTS["test"]), tmp_path / "dataset")
    with pytest.raises(InvalidData, match=sentence):
        judged_rows(tmp_path / "dataset")


def test_folders_that_hold_no_dataset_are_refused(tmp_path: Path) -> None:
    empty, text, two, outside = (tmp_path / name for name in ("empty", "text", "two", "outside"))
    for folder in (empty, text, two, outside):
        folder.mkdir()
    (text / "notes.txt").write_text("x", encoding="utf-8")
    configs = [{"config_name": name, "data_files": f"{name}.jsonl"} for name in "ab"]
    for config in configs:
        (two / config["data_files"]).write_text("{}", encoding="utf-8")
    (tmp_path / "elsewhere.jsonl").write_text("{}", encoding="utf-8")
    away = [{"config_name": "default", "data_files": str(tmp_path / "elsewhere.jsonl")}]
    for folder, said in ((two, configs), (outside, away)):
        (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(said)}\n---\n", "utf-8")
    for folder, sentence in (
        (empty, "empty cannot be read as a dataset: .*doesn't contain any data files. Name one"),
        (text, "notes.txt is none of the file types"),
        (two, r"Config name is missing.*\['a', 'b'\]. Name one file"),
        (outside, "names .*elsewhere.jsonl, outside of it"),
    ):
        with pytest.raises(InvalidData, match=sentence):
            judged_rows(folder)


def test_half_an_arrow_file_is_refused(tmp_path: Path) -> None:
    saved({"train": PARTS["train"]}, tmp_path / "dataset")
    file = sorted((tmp_path / "dataset").rglob("*.arrow"))[-1]
    whole = file.read_bytes()
    for kept in (len(whole) - 8, len(whole) // 2, 7, 0):
        file.write_bytes(whole[:kept])
        with pytest.raises(InvalidData, match=r"arrow is not a whole Arrow file \(it breaks off"):
            judged_rows(tmp_path / "dataset")


def test_an_error_in_a_folder_names_file_and_line(tmp_path: Path) -> None:
    rows = [*PARTS["train"][:2], PARTS["train"][2] | {"rejected": turns("x")}]
    published({"train": rows, "test": PARTS["test"]}, tmp_path / "dataset")
    with pytest.raises(InvalidData, match=r"train-00000-of-00001\.parquet, line 3: rejected needs"):
        judged_rows(tmp_path / "dataset")
