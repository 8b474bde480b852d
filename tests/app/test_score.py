"""`tandem score`: every line again with its rewards, or one sentence and no file."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from app import scoring_files
from app.progress import ConsoleProgress
from app.scored_lines import AnswersInLine
from app.scoring_files import score_file
from feedback.importers.lines import Line, read_lines
from storage.database import Database
from storage.errors import InvalidData, InvalidOption, NotFound, TandemError
from storage.settings import Settings
from training.rewards.scoring import RewardScorer

Score = Callable[..., list[dict[str, Any]]]

TURNS = [{"role": "user", "content": "Which plan?"}]
SAID = {"role": "assistant", "content": "Plan 1, please."}


@pytest.fixture
def score(sqlite_url: str, data_dir: Path, reward_model: Path, tmp_path: Path) -> Iterator[Score]:
    """Score lines and read what was written."""
    database = Database(sqlite_url)
    places = Settings(data_dir=data_dir, device="cpu")

    def run(
        *lines: Any,
        source: str = "in.jsonl",
        target: str = "out.jsonl",
        read: bool = True,
        **more: Any,
    ) -> Any:
        path = tmp_path / source
        if lines:
            texts = (one if isinstance(one, str) else json.dumps(one) for one in lines)
            text = "".join(f"{one}\n" for one in texts).encode()
            path.write_bytes(gzip.compress(text) if source.endswith(".gz") else text)
        run.summary = score_file(  # type: ignore[attr-defined]
            database, places, model=str(reward_model), source=path, target=tmp_path / target, **more
        )
        return [dict(line.fields) for line in read_lines(tmp_path / target)] if read else None

    yield run
    database.close()


@pytest.fixture(scope="module")
def scorer(reward_model: Path) -> RewardScorer:
    return RewardScorer.load(reward_model, device="cpu")


def plain(prompt: Any, response: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "response": response, **more}


def reward_of(scorer: RewardScorer, turns: list[dict[str, str]], answer: str) -> float:
    return float(scorer.score([(turns, answer)])[0])  # type: ignore[list-item]


def test_every_line_comes_back_with_its_reward(score: Score, scorer: RewardScorer) -> None:
    lines = [plain(f"Case {n % 7}?", f"Plan {n}, please." * (n % 3), mark=n) for n in range(40)]
    written = score(*lines)
    rewards = scorer.score(
        [([{"role": "user", "content": one["prompt"]}], one["response"]) for one in lines]
    )
    assert len(set(rewards.tolist())) > 10
    for line, out, reward in zip(lines, written, rewards, strict=True):
        assert out.pop("reward") == pytest.approx(float(reward), abs=1e-5)
        standard = float(scorer.standardise([reward])[0])
        assert out.pop("reward_standardised") == pytest.approx(standard, abs=1e-4)
        assert out == line
    summary = score.summary  # type: ignore[attr-defined]
    assert (summary["lines"], summary["answers"], summary["too_long"]) == (40, 40, 0)
    assert summary["mean"] == pytest.approx(float(rewards.mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("line", "turns"),
    [
        ({"prompt": "Which plan?", "response": SAID["content"]}, TURNS),
        ({"prompt": TURNS, "completion": SAID["content"], "label": True}, TURNS),
        ({"prompt": TURNS, "completion": [SAID]}, TURNS),
        ({"messages": [*TURNS, SAID]}, TURNS),
        ({"prompt": "Which plan?", "completion": [SAID, *TURNS, SAID]}, [*TURNS, SAID, *TURNS]),
    ],
)
def test_an_answer_is_found_wherever_it_is_written(
    score: Score, scorer: RewardScorer, line: dict[str, Any], turns: list[dict[str, str]]
) -> None:
    [written] = score(line)
    expected = reward_of(scorer, turns, SAID["content"])
    assert written.pop("reward") == pytest.approx(expected, abs=1e-5)
    written.pop("reward_standardised")
    assert written == line


def test_both_answers_of_a_pair_are_scored(score: Score, scorer: RewardScorer) -> None:
    other = {"role": "assistant", "content": "No idea!!"}
    forms: list[dict[str, Any]] = [
        {"prompt": "Which plan?", "chosen": SAID["content"], "rejected": other["content"]},
        {"prompt": TURNS, "chosen": [SAID], "rejected": [other]},
        {"chosen": [*TURNS, SAID], "rejected": [*TURNS, other]},
    ]
    for line, written in zip(forms, score(*forms), strict=True):
        for name, said in (("chosen", SAID), ("rejected", other)):
            expected = reward_of(scorer, TURNS, said["content"])
            assert written[f"{name}_reward"] == pytest.approx(expected, abs=1e-5)
            assert f"{name}_reward_standardised" in written
        assert {name: written[name] for name in line} == line


def test_conversations_that_part_early_are_scored_each_as_a_whole(
    score: Score, scorer: RewardScorer
) -> None:
    long = [*TURNS, {"role": "assistant", "content": "No."}, *TURNS, SAID]
    [written] = score({"chosen": long, "rejected": [*TURNS, SAID]})
    expected = reward_of(scorer, long[:-1], SAID["content"])
    assert written["chosen_reward"] == pytest.approx(expected, abs=1e-5)
    expected = reward_of(scorer, TURNS, SAID["content"])
    assert written["rejected_reward"] == pytest.approx(expected, abs=1e-5)


def test_each_of_several_responses_is_scored(score: Score, scorer: RewardScorer) -> None:
    line = {
        "prompt": "Which plan?",
        "responses": [{"rid": "a", "text": "Plan 1.", "ratings": [{"rating": 5}]}, "Plan 2."],
        "preferences": [],
    }
    [written] = score(line)
    one, other = written["responses"]
    assert (one["rid"], one["ratings"], other["text"]) == ("a", [{"rating": 5}], "Plan 2.")
    assert one["reward"] == pytest.approx(reward_of(scorer, TURNS, "Plan 1."), abs=1e-5)
    assert other["reward"] == pytest.approx(reward_of(scorer, TURNS, "Plan 2."), abs=1e-5)
    assert "reward" not in written
    assert score.summary["answers"] == 2  # type: ignore[attr-defined]


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    answers=st.lists(words, min_size=1, max_size=4),
    more=st.dictionaries(words, words | st.integers() | st.none() | st.lists(words, max_size=2)),
)
def test_whatever_stands_beside_an_answer_stays(
    tmp_path: Path, answers: list[str], more: dict[str, Any]
) -> None:
    more = {name: value for name, value in more.items() if name not in ("prompt", "response")}
    lines = [{**more, "prompt": "p", "response": answer} for answer in answers]
    for line in lines:
        found = AnswersInLine.of(Line(tmp_path, 1, line))
        scored = found.scored([(1.5, -2.0)])
        assert (scored["reward"], scored["reward_standardised"]) == (1.5, -2.0)
        assert {name: scored[name] for name in line} == line | {
            name: value for name, value in scored.items() if name.startswith("reward")
            if name in line
        }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "this is not JSON"),
        ({"prompt": "p"}, "there is no response to score"),
        ({"response": "r"}, "there is no prompt"),
        ({"prompt": "p", "response": 7}, "the response needs to be a text; got 7"),
        ({"prompt": "p", "response": "a\ud800"}, r"U\+D800"),
        ({"prompt": "p", "responses": []}, "'responses' needs to be a list of answers"),
        ({"prompt": "p", "responses": [{"rid": "a"}]}, "response 1 needs to be a text"),
        ({"prompt": "p", "chosen": "c"}, "'rejected' needs some text"),
        ({"messages": TURNS}, "messages needs to end with the assistant's answer"),
        ({"messages": [SAID]}, "after a prompt"),
        ({"prompt": "p", "completion": TURNS}, "the completion needs to end with"),
        ({"prompt": [{"role": "tool", "content": "x"}], "response": "r"}, "needs a role"),
        (plain("p", "x" * 3000), r"Conversation 1 has \d+ tokens; the model reads at most \d+"),
    ],
)
def test_a_line_that_cannot_be_scored_leaves_no_file(
    score: Score, tmp_path: Path, line: Any, sentence: str
) -> None:
    fine = plain("p", "r")
    with pytest.raises(InvalidData, match=rf"in\.jsonl, line 3: .*{sentence}"):
        score(fine, fine, line, fine)
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_a_file_scored_before_stays_when_the_next_is_refused(score: Score, tmp_path: Path) -> None:
    score(plain("p", "r"))
    before = (tmp_path / "out.jsonl").read_bytes()
    with pytest.raises(InvalidData):
        score(plain("p", "r"), "nonsense")
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_nothing_is_scored_before_the_whole_file_was_read(
    score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RewardScorer, "score", lambda *_, **__: pytest.fail("too early"))
    with pytest.raises(InvalidData, match="line 1500"):
        score(*[plain("p", f"{n}") for n in range(1499)], {"prompt": "p"})


def test_answers_too_long_get_null_where_that_is_asked_for(score: Score) -> None:
    long = plain("p", "x" * 3000)
    several = {"prompt": "p", "responses": ["a", "y" * 3000]}
    one, two, three = score(plain("p", "r"), long, several, skip_too_long=True)
    assert isinstance(one["reward"], float)
    assert (two["reward"], two["reward_standardised"]) == (None, None)
    assert isinstance(three["responses"][0]["reward"], float)
    assert three["responses"][1]["reward"] is None
    summary = score.summary  # type: ignore[attr-defined]
    assert (summary["lines"], summary["answers"], summary["too_long"]) == (3, 4, 2)
    assert score(long, skip_too_long=True)[0]["reward"] is None
    assert score.summary["mean"] is None  # type: ignore[attr-defined]


def test_the_file_types_hold_the_same(score: Score, tmp_path: Path) -> None:
    lines = [plain("p", f"answer {n}", n=n) for n in range(5)]
    expected = score(*lines)
    assert score(*lines, source="in.jsonl.gz", target="out.jsonl.gz") == expected
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).count(b"\n") == 5
    assert score(*lines, target="out.parquet") == expected
    again = score(source="out.parquet", target="again.parquet")
    assert again == expected
    with pytest.raises(InvalidOption, match=r"output: it ends in one of \.jsonl, \.jsonl\.gz, "):
        score(*lines, target="out.csv")


def test_a_table_keeps_the_types_of_its_columns(score: Score, tmp_path: Path) -> None:
    table = pa.table(
        {
            "prompt": ["p"] * 3,
            "response": ["a", "b", "c"],
            "small": pa.array([1, None, 3], pa.int16()),
            "when": pa.array([0, 1, 2], pa.timestamp("ms")),
            "empty": pa.nulls(3),
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    score(source="in.parquet", target="out.parquet")
    written = parquet.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table)
    assert written.schema.field("reward").type == pa.float64()
    with pytest.raises(InvalidData, match=r"line 1: this is not for JSON lines .*parquet"):
        score(source="in.parquet", target="out.jsonl")


def test_lines_that_fit_into_no_columns_are_refused(score: Score) -> None:
    for odd in ("text", {}):
        with pytest.raises(InvalidData, match=r"do not fit into columns .* write JSON lines"):
            score(plain("p", "r", odd=1), plain("p", "r", odd=odd), target="out.parquet")
    written = score(plain("p", "r"), plain("p", "r", late=[{"a": 1}]), target="out.parquet")
    assert written[1]["late"] == [{"a": 1}]


def test_half_a_surrogate_pair_beside_an_answer_stays(score: Score) -> None:
    assert score('{"prompt": "p", "response": "r", "odd": "\\ud800"}')[0]["odd"] == "\ud800"


def test_batches_change_no_reward_and_the_bar_knows_the_whole(
    score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [plain(f"Case {n // 4}?", f"Plan {n}") for n in range(30)]
    expected = score(*lines)
    told: list[tuple[int, int | None]] = []

    def report(self: Any, step: int, *_: Any, total: int | None = None, **__: Any) -> None:
        told.append((step, total))

    monkeypatch.setattr(ConsoleProgress, "report", report)
    monkeypatch.setattr(scoring_files, "ANSWERS_AT_ONCE", 7)
    for one, other in zip(score(*lines), expected, strict=True):
        assert one["reward"] == pytest.approx(other["reward"], abs=1e-5)
    steps = [step for step, total in told if total == 30]
    assert steps == sorted(steps)
    assert steps[-1] == 30
    assert {total for _, total in told} == {None, 30}


def test_answers_to_one_prompt_are_read_after_it_once(
    score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    together = RewardScorer._rows

    def count(self: RewardScorer, *positional: Any) -> Any:
        found = together(self, *positional)
        rows.append(len(found[0]))
        return found

    monkeypatch.setattr(RewardScorer, "_rows", count)
    score(*[plain(f"Case {n // 4}?", f"Plan {n}") for n in range(40)])
    assert rows == [10]


def test_an_unknown_model_or_a_missing_file_is_named(
    score: Score, sqlite_url: str, data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match="There is no file"):
        score()
    database, places = Database(sqlite_url), Settings(data_dir=data_dir)
    (tmp_path / "in.jsonl").write_text("{}")
    with pytest.raises(NotFound, match="no reward model called 'polit'"):
        score_file(
            database,
            places,
            model="polit",
            source=tmp_path / "in.jsonl",
            target=tmp_path / "o.jsonl",
        )
    database.close()


@given(broken=st.binary(max_size=200))
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_file_holds_the_refusal_is_a_sentence(
    tmp_path: Path, scorer: RewardScorer, broken: bytes
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"prompt": "p", "response": "r"}\n' + broken)
    said = str(path)
    try:
        for batch in scoring_files._batches(path):
            scorer.score(scoring_files._conversations(batch))
    except TandemError as error:
        said = str(error)
    assert str(path) in said


def test_memory_does_not_grow_with_the_file(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_files, "ANSWERS_AT_ONCE", 20)

    def peak(lines: int) -> int:
        """Bytes that Python holds at most while a file of so many lines is scored."""
        rows = (plain(f"p{number % 50}", "r", pad="x" * 10_000) for number in range(lines))
        with gzip.open(tmp_path / "in.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        tracemalloc.start()
        try:
            score(source="in.jsonl.gz", target="out.jsonl.gz", read=False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(60)
    # 540 lines more are 5.4 MB.
    assert peak(600) - few < 300_000
