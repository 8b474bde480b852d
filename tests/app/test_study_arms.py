"""Who answers in a study: registered policies with their starts, imported answers, endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openai_server import FakeServer, completion, echo, openai_server
from sqlalchemy import select

from app.answer_files import answers_to, keep_answers, keep_prompts, kept_prompts
from app.arms import AnswersArm, EndpointArm, ModelArm, read_arm
from app.queue import enqueue
from app.sources import start_of
from app.study_arms import refuse_paths, starts_left_out
from app.work import perform
from storage import models, tables
from storage.database import Database
from storage.errors import (
    InvalidData,
    InvalidOption,
    NotAllowed,
    NotFound,
    ServiceFailed,
    TandemError,
    TooLittleData,
)
from storage.projects import ensure_project
from storage.prompts import add_prompts, prompts_by_id, responses
from storage.prompts import prompts as stored_prompts
from storage.recipes import Silent
from storage.records import Model, ModelId, Project, Prompt, Split
from storage.settings import Settings
from storage.studies import close_study, study, study_key


@pytest.fixture
def endpoint() -> Iterator[FakeServer]:
    with openai_server(echo) as server:
        yield server


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, device="cpu")


@pytest.fixture
def project(database: Database, now: datetime) -> Project:
    with database.write() as connection:
        return ensure_project(connection, "held out", now=now)


@pytest.fixture
def prompts(database: Database, project: Project) -> list[Prompt]:
    made = [Prompt.of(project.id, f"Question number {n}?") for n in range(60)]
    chosen = [prompt for prompt in made if prompt.split is Split.TEST][:6]
    with database.write() as connection:
        add_prompts(connection, chosen)
    return sorted(chosen, key=lambda prompt: prompt.id)


@pytest.fixture
def register(database: Database, settings: Settings, now: datetime) -> Callable[..., Model]:
    def add(name: str, *, purpose: Any = "policy", **config: Any) -> Model:
        folder = settings.folder("models", name)
        model = Model(
            id=ModelId(f"id of {name}"),
            name=name,
            purpose=purpose,
            recipe="ppo",
            base="tiny",
            folder=str(folder.relative_to(settings.data_dir.resolve())),
            config=config,
            created=now,
        )
        with database.write() as connection:
            models.add_model(connection, model)
        return model

    return add


@pytest.fixture
def queue(
    database: Database, settings: Settings, project: Project, now: datetime
) -> Callable[..., Any]:
    def add(*policies: str, **more: Any) -> Any:
        return enqueue(
            database,
            settings,
            kind="study",
            recipe="study",
            config={"title": "t", "policies": list(policies), **more},
            project=project.id,
            now=now,
        )

    return add


@pytest.fixture
def open_one(
    database: Database, settings: Settings, queue: Callable[..., Any]
) -> Callable[..., Any]:
    def work(*policies: str, recorded: bool = True, **more: Any) -> Any:
        result = perform(
            queue(*policies, **more),
            database=database,
            settings=settings,
            progress=Silent(),
            recorded=recorded,
        )
        with database.read() as connection:
            return study(connection, result["study"])

    return work


def answer_file(folder: Path, prompts: list[Prompt], name: str, text: str = "Imported") -> Path:
    path = folder / f"{name}.jsonl"
    lines = [
        {"prompt": one.messages[0]["content"], "response": f"{text} {n}"}
        for n, one in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def arms_texts(database: Database, made: Any, now: datetime) -> dict[str, dict[str, str]]:
    """Each arm's answers by prompt, once the study is closed."""
    with database.write() as connection:
        close_study(connection, made.id, now)
        key = study_key(connection, made.id)
        known = responses(connection, made.plan["prompts"])
    found: dict[str, dict[str, str]] = {arm: {} for arm in made.arms}
    for prompt, given in known.items():
        for one in given:
            found[key[one.id]][prompt] = one.text
    return found


# --- How an arm is written ---


@pytest.mark.parametrize(
    ("written", "arm"),
    [
        ("ppo-1", ModelArm(label="ppo-1")),
        ("HuggingFaceTB/SmolLM2", ModelArm(label="HuggingFaceTB/SmolLM2")),
        (
            "answers:gpt-4 (v2)@0123456789abcdef",
            AnswersArm(label="gpt-4 (v2)", digest="0123456789abcdef"),
        ),
        (
            "openai:gpt-4o@https://api.openai.com/v1/",
            EndpointArm(label="gpt-4o", address="https://api.openai.com/v1"),
        ),
        (
            "openai:@cf/meta/llama@http://[::1]:8000/v1",
            EndpointArm(label="@cf/meta/llama", address="http://[::1]:8000/v1"),
        ),
    ],
)
def test_an_arm_is_read_from_one_word(written: str, arm: Any) -> None:
    assert read_arm(written) == arm


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("file:/etc/passwd", "imported before"),
        ("answers:me@../../etc/passwd", "answers:NAME@DIGEST"),
        ("answers:0123456789abcdef", "answers:NAME@DIGEST"),
        ("openai:gpt-4", "openai:NAME@http"),
        ("openai:gpt-4@file:///etc/passwd", "openai:NAME@http"),
        ("openai:gpt-4@gopher://x/1", "openai:NAME@http"),
        ("openai:gpt-4@http:///v1", "names a host"),
        ("openai:gpt-4@http://host:x/v1", "names a host"),
        ("openai:gpt-4@http://host/v1?key=secret", r"no \? and no #"),
        ("openai:gpt-4\n@http://host/v1", "openai:NAME@http|printable"),
        ("  ", "printable"),
        ("", "printable"),
    ],
)
def test_what_is_no_arm_is_refused(written: str, problem: str) -> None:
    with pytest.raises(InvalidOption, match=problem):
        read_arm(written)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidOption, match="user's name and no password") as refusal:
        read_arm("openai:m@https://me:hunter2@host/v1")
    assert "hunter2" not in str(refusal.value)


# --- The start of a policy ---


def test_what_a_policy_grew_from_is_an_arm_by_itself(
    register: Callable[..., Model], queue: Callable[..., Any], database: Database
) -> None:
    register("sft-1", base="tiny")
    ppo = register("ppo-1", start="sft-1")
    assert queue("ppo-1").config["policies"] == ["ppo-1", "sft-1"]
    assert queue(ppo.id, "org/other").config["policies"] == ["ppo-1", "org/other", "sft-1"]
    # The start of another arm needs no start of its own.
    assert queue("sft-1", "ppo-1").config["policies"] == ["sft-1", "ppo-1"]
    assert queue("sft-1").config["policies"] == ["sft-1", "tiny"]
    with database.read() as connection:
        assert start_of(connection, "org/other") is None
        assert starts_left_out(connection, ["ppo-1", "org/other"]) == ["sft-1"]


def test_leaving_the_start_out_needs_a_reason_which_is_kept(
    register: Callable[..., Model], queue: Callable[..., Any]
) -> None:
    register("ppo-1", start="tiny")
    kept = queue("ppo-1", "org/other", without_start="It only repeats itself.").config
    assert kept["policies"] == ["ppo-1", "org/other"]
    assert kept["without_start"] == "It only repeats itself."
    with pytest.raises(InvalidOption, match="no start is left out here"):
        queue("ppo-1", "tiny", without_start="Because.")


@pytest.mark.parametrize(
    ("policies", "more", "problem"),
    [
        (["org/one"], {}, "at least two"),
        (["org/one", "org/one"], {}, "a name of its own"),
        (["org/one", "openai:org/one@http://h/v1"], {}, "a name of its own"),
        (["org/one", "org/two"], {"form": "ranking"}, "3 to 8 arms"),
        (["org/one", "org/two"], {"key_variable": "MY_KEY"}, "no endpoint"),
        (["org/one", "org/two"], {"question": "a\nb"}, "one line"),
        (["org/one", "org/two"], {"key_variable": "TANDEM_DATABASE_URL"}, "key_variable"),
        (["org/one", "org/two"], {"prompts": "../../secret"}, "prompts"),
        (["reward-1", "org/two"], {}, "reward model, and a policy model is needed"),
    ],
)
def test_a_study_that_cannot_be_is_not_queued(
    register: Callable[..., Model],
    queue: Callable[..., Any],
    policies: list[str],
    more: dict[str, Any],
    problem: str,
) -> None:
    register("reward-1", purpose="reward")
    with pytest.raises(InvalidOption, match=problem):
        queue(*policies, **more)


def test_answers_that_were_not_imported_are_refused_when_queued(queue: Callable[..., Any]) -> None:
    with pytest.raises(NotFound, match="imported file"):
        queue("org/one", "answers:me@0123456789abcdef")


@pytest.mark.parametrize(
    "name", ["/etc", "../models", ".", "a/b/c", "tests", "~/x", "C:\\x", "a b"]
)
def test_a_page_may_not_name_folders_of_the_server(
    database: Database, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    with database.read() as connection, pytest.raises(NotAllowed, match="may not name a folder"):
        refuse_paths(connection, ["org/one", name])


def test_a_page_may_name_what_is_registered_public_or_a_start(
    database: Database, register: Callable[..., Model]
) -> None:
    register("ppo-1", start="/models/of/ours")
    with database.read() as connection:
        refuse_paths(
            connection,
            ["ppo-1", "/models/of/ours", "org/one", "tiny", "openai:m@http://h/v1"],
        )


# --- Imported answers ---


def test_answers_are_matched_to_prompts_by_their_text(
    settings: Settings, prompts: list[Prompt], tmp_path: Path
) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [
        {"prompt": f" {prompts[2].messages[0]['content']}\n", "response": "Third"},
        {"prompt": [dict(turn) for turn in prompts[1].messages], "response": "Second"},
        {"prompt": prompts[0].messages[0]["content"], "response": ""},
        {"prompt": "Something else?", "response": "Nobody asked"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    written = keep_answers(settings, path)
    arm = read_arm(written)
    assert isinstance(arm, AnswersArm)
    assert arm.label == "mine"
    path.unlink()  # what was imported is kept
    asked = [one.messages for one in prompts]
    assert answers_to(settings, arm, asked[:3]) == ["", "Second", "Third"]
    with pytest.raises(InvalidData) as refusal:
        answers_to(settings, arm, asked)
    assert "mine has no answer to 3 of 6 prompts" in str(refusal.value)
    assert all(repr(one.messages[0]["content"]) in str(refusal.value) for one in prompts[3:])


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_outputs_of_alpaca_eval_are_read(
    settings: Settings, prompts: list[Prompt], tmp_path: Path, suffix: str
) -> None:
    rows = [
        {
            "dataset": "helpful_base",
            "instruction": one.messages[0]["content"],
            "output": f"Out {n}",
            "generator": "gpt4_turbo",
        }
        for n, one in enumerate(prompts)
    ]
    path = tmp_path / f"model_outputs.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    arm = read_arm(keep_answers(settings, path))
    assert arm.label == "gpt4_turbo"
    assert isinstance(arm, AnswersArm)
    assert answers_to(settings, arm, [one.messages for one in prompts]) == [
        f"Out {n}" for n in range(6)
    ]
    assert keep_answers(settings, path) == keep_answers(settings, path)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"response": "x"}], "line 1: there is no prompt"),
        ([{"prompt": "a?"}], "line 1: there is no answer"),
        ([{"prompt": "a?", "response": 3}], "line 1: there is no answer"),
        ([{"prompt": "a", "output": "1"}, {"prompt": "a ", "output": "2"}], "line 2: .*another"),
        (
            [{"prompt": "a?", "output": "1", "generator": "m"},
             {"prompt": "b?", "output": "2", "generator": "n"}],
            "holds answers of m, n",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_arm_is_refused_with_its_line(
    settings: Settings, tmp_path: Path, rows: list[dict[str, Any]], problem: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InvalidData, match=problem):
        keep_answers(settings, path)


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "[", "\x00"])
def test_a_json_file_holds_one_list_of_objects(
    settings: Settings, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InvalidData, match=r"bad\.json"):
        keep_answers(settings, path)
    with pytest.raises(InvalidData, match="cannot be read"):
        keep_answers(settings, tmp_path / "none.json")


def test_two_files_make_a_study_in_which_nobody_runs_a_model(
    database: Database,
    *,
    settings: Settings,
    prompts: list[Prompt],
    open_one: Callable[..., Any],
    tmp_path: Path,
    now: datetime,
) -> None:
    arms = [
        keep_answers(settings, answer_file(tmp_path, prompts, name, text=name)) for name in "ab"
    ]
    made = open_one(*arms, question="Which is kinder?", form="pair_with_ratings")
    assert made.arms == ("a", "b")
    assert made.plan["question"] == "Which is kinder?"
    assert made.plan["origins"] == {"a": {"source": arms[0]}, "b": {"source": arms[1]}}
    texts = arms_texts(database, made, now)
    assert texts["a"] == {one.id: f"a {n}" for n, one in enumerate(prompts)}
    assert texts["b"] == {one.id: f"b {n}" for n, one in enumerate(prompts)}


def test_prompts_may_come_from_a_file(
    database: Database,
    settings: Settings,
    project: Project,
    open_one: Callable[..., Any],
    tmp_path: Path,
) -> None:
    asked = [Prompt.of(project.id, f"From a file, {n}?") for n in range(5)]
    path = tmp_path / "prompts.jsonl"
    rows = [{"instruction": one.messages[0]["content"]} for one in asked]
    path.write_text("\n".join(map(json.dumps, [*rows, rows[0]])))
    named = keep_prompts(settings, path)
    assert kept_prompts(settings, named, project.id) == asked
    arms = [keep_answers(settings, answer_file(tmp_path, asked, name, text=name)) for name in "ab"]
    few = keep_answers(settings, answer_file(tmp_path, asked[:2], "few"))
    with pytest.raises(InvalidData, match="no answer to 3 of 5 prompts"):
        open_one(arms[0], few, prompts=named)
    with database.read() as connection:
        assert stored_prompts(connection, project.id) == []
    made = open_one(*arms, prompts=named, limit=4)
    assert made.plan["prompts"] == [one.id for one in asked[:4]]
    training = sum(one.split is Split.TRAIN for one in asked[:4])
    assert made.plan["training_prompts"] == training
    with database.read() as connection:
        assert len(prompts_by_id(connection, made.plan["prompts"])) == 4
    path.write_text(json.dumps(rows[0]))
    with pytest.raises(TooLittleData, match="at least 2 prompts; the file has 1"):
        open_one(*arms, prompts=keep_prompts(settings, path))


# --- Endpoints ---


def test_a_study_of_an_endpoint_keeps_its_address_and_never_its_key(
    database: Database,
    *,
    settings: Settings,
    prompts: list[Prompt],
    open_one: Callable[..., Any],
    endpoint: FakeServer,
    tmp_path: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVED_KEY", f"{endpoint.host}=sk-very-secret")
    first = prompts[0].messages[0]["content"]
    endpoint.say = lambda asked: completion(
        "" if asked["messages"][-1]["content"] == first else "Served\0."
    )
    file = keep_answers(settings, answer_file(tmp_path, prompts, "a"))
    made = open_one(endpoint.arm(), file, key_variable="SERVED_KEY", concurrency=3, retries=0)
    assert endpoint.keys == {"sk-very-secret"}
    assert made.arms == ("served-1", "a")
    assert made.plan["origins"]["served-1"]["source"] == endpoint.arm()
    texts = arms_texts(database, made, now)["served-1"]
    assert texts.pop(prompts[0].id) == "(The model gave an empty answer.)"
    assert set(texts.values()) == {"Served\ufffd."}
    kept = b"".join(one.read_bytes() for one in settings.data_dir.rglob("*") if one.is_file())
    with database.read() as connection:
        for table in tables.metadata.sorted_tables:
            kept += repr(connection.execute(select(table)).all()).encode()
    assert b"served-1" in kept
    assert b"very-secret" not in kept


def test_a_worker_sends_no_key_that_is_bound_to_no_host_and_the_foreground_does(
    settings: Settings,
    *,
    prompts: list[Prompt],
    open_one: Callable[..., Any],
    endpoint: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVED_KEY", "sk-of-the-server")
    file = keep_answers(settings, answer_file(tmp_path, prompts, "a"))
    with pytest.raises(InvalidOption, match="which host a key is for"):
        open_one(endpoint.arm(), file, key_variable="SERVED_KEY")
    assert endpoint.asked == []
    open_one(endpoint.arm(), file, key_variable="SERVED_KEY", recorded=False)
    assert endpoint.keys == {"sk-of-the-server"}


def test_a_study_that_could_not_be_opened_pays_for_no_answer_twice(
    settings: Settings,
    *,
    database: Database,
    prompts: list[Prompt],
    queue: Callable[..., Any],
    open_one: Callable[..., Any],
    endpoint: FakeServer,
    tmp_path: Path,
) -> None:
    file = keep_answers(settings, answer_file(tmp_path, prompts, "a"))
    endpoint.say = lambda asked: echo(asked) if len(endpoint.asked) <= 4 else (503, {})
    options = {"concurrency": 1, "retries": 0}
    with pytest.raises(ServiceFailed, match="4 of 6 answers are kept"):
        open_one(endpoint.arm(), file, **options)
    paid = endpoint.questions[:4]
    endpoint.asked.clear()
    endpoint.say = lambda asked: completion("Half", finish_reason="length")
    job = queue(endpoint.arm(), file, **options)
    made = perform(job, database=database, settings=settings, progress=Silent())
    assert sorted([*paid, *endpoint.questions]) == sorted(
        one.messages[0]["content"] for one in prompts
    )
    assert made["endings"] == {
        "served-1": {"answers": 6, "empty": 0, "cut": 2, "filtered": 0},
        "a": {"answers": 6, "empty": 0, "cut": 0, "filtered": 0},
    }


def test_a_missing_answer_is_refused_before_an_endpoint_is_paid(
    settings: Settings,
    prompts: list[Prompt],
    open_one: Callable[..., Any],
    endpoint: FakeServer,
    tmp_path: Path,
) -> None:
    file = keep_answers(settings, answer_file(tmp_path, prompts[:4], "a"))
    with pytest.raises(TandemError, match="a has no answer to 2 of 6 prompts"):
        open_one(endpoint.arm(), file)
    assert endpoint.asked == []
