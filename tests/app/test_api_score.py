"""Scoring over HTTP: the same rewards, for researchers alone, within bounds, out of the way."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pretenders
import pytest
from event_loop import finished
from fastapi.testclient import TestClient
from served import Web, open_plain_web

import app.server
from app import scoring_process
from app.api_scoring import MOST_CHARACTERS, MOST_CONVERSATIONS, MOST_WAITING
from app.child import NICENESS
from app.scoring_process import MOST_MODELS, Rewards, ScoringEnded, ScoringProcess
from storage import models
from storage.database import Database
from storage.errors import InvalidData
from storage.records import Message, Model, ModelId, Role
from storage.tokens import make_token
from training.rewards.scoring import RewardScorer

ASKED = (Message(role="user", content="Which plan?"),)
TURNS = [*ASKED, Message(role="assistant", content="No."), Message(role="user", content="Why?")]
CONVERSATIONS: list[dict[str, Any]] = [
    {"prompt": "Which plan?", "response": "Plan 1, please."},
    {"prompt": TURNS, "response": "Because."},
    {"prompt": list(ASKED), "response": "No idea!!"},
    {"prompt": "Which plan?", "response": ""},
]


def rewards_of(folder: Path) -> list[float]:
    """Of the conversations above, straight from the model."""
    said = [(ASKED if one["prompt"] != TURNS else TURNS, one["response"]) for one in CONVERSATIONS]
    return [float(one) for one in RewardScorer.load(folder, device="cpu").score(said)]


@pytest.fixture
def web(
    database: Database,
    data_dir: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    reward_model: Path,
) -> Web:
    """An installation with the model `polite` and the policy `bold`."""
    opened = open_plain_web(database, data_dir, now, monkeypatch, device="cpu")
    shutil.copytree(reward_model, data_dir / "models" / "polite")
    with database.write() as connection:
        for name, purpose in (("polite", "reward"), ("bold", "policy")):
            models.add_model(
                connection,
                Model(
                    id=ModelId(name * 3),
                    name=name,
                    purpose=purpose,  # type: ignore[arg-type]
                    recipe="combined",
                    base="tiny",
                    folder=f"models/{name}",
                    created=now,
                ),
            )
    return opened


@pytest.fixture
def rosa(web: Web) -> Iterator[TestClient]:
    """A researcher's program, with a token alone, on a running application."""
    with program(web, Role.RESEARCHER) as client:
        yield client


def program(web: Web, role: Role) -> TestClient:
    person = web.person(f"Rosa the {role}", role)
    with web.database.write() as connection:
        token = make_token(connection, person.id, "a script", web.now)
    headers = {"Authorization": f"Bearer {token}"}
    return TestClient(web.app, base_url=web.settings.address, headers=headers)


def ask(client: TestClient, *conversations: Any, model: str = "polite") -> Any:
    body = {"model": model, "conversations": list(conversations)}
    return client.post("/api/v1/score", json=body)


def refused(reply: Any, status: int) -> str:
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    return str(reply.json()["error"])


def test_a_program_gets_the_rewards_that_the_model_gives(
    rosa: TestClient, reward_model: Path
) -> None:
    scorer = RewardScorer.load(reward_model, device="cpu")
    expected = rewards_of(reward_model)
    for model in ("polite", "politepolitepolite"):
        reply = ask(rosa, *CONVERSATIONS, model=model)
        assert reply.status_code == 200, reply.text
        assert set(reply.json()) == {"model", "scores"}
        assert reply.json()["model"] == "polite"
        scores = reply.json()["scores"]
        assert [one["reward"] for one in scores] == pytest.approx(expected, abs=1e-5)
        standard = scorer.standardise(expected).tolist()
        assert [one["reward_standardised"] for one in scores] == pytest.approx(standard, abs=1e-4)
    # The process is there now, so this is quick, and it says what the model said.
    sentence = refused(ask(rosa, CONVERSATIONS[0], {"prompt": "p", "response": "x" * 3000}), 422)
    assert sentence.startswith("Conversation 2 has ")
    assert sentence.endswith("the model reads at most 2048. Leave it out or shorten it.")


def test_only_researchers_may_score(web: Web) -> None:
    assert "needs the role researcher" in refused(
        ask(program(web, Role.ANNOTATOR), CONVERSATIONS[0]), 403
    )
    assert refused(ask(web.browser(), CONVERSATIONS[0]), 401)
    signed_in = web.browser(web.person("Ada", Role.RESEARCHER))
    del signed_in.headers["X-Requested-With"]
    assert "X-Requested-With" in refused(ask(signed_in, CONVERSATIONS[0]), 403)


def test_only_registered_reward_models_score(rosa: TestClient, web: Web) -> None:
    assert refused(ask(rosa, CONVERSATIONS[0], model="polit"), 404) == (
        "There is no reward model called 'polit'. Did you mean 'polite'?"
    )
    path = str(web.settings.data_dir / "models" / "polite")
    assert "There is no reward model" in refused(ask(rosa, CONVERSATIONS[0], model=path), 404)
    assert "this is a policy model" in refused(ask(rosa, CONVERSATIONS[0], model="bold"), 422)
    assert "U+0000" in refused(ask(rosa, CONVERSATIONS[0], model="a\0"), 422)
    shutil.rmtree(path)
    assert "no model folder" in refused(ask(rosa, CONVERSATIONS[0]), 404)


FINE = CONVERSATIONS[0]


@pytest.mark.parametrize(
    ("conversations", "sentence"),
    [
        ([], "conversations: list should have at least 1 item"),
        ([FINE] * (MOST_CONVERSATIONS + 1), f"at most {MOST_CONVERSATIONS} items"),
        ([FINE, {"prompt": "p", "response": "x" * MOST_CHARACTERS}], "characters together, of at"),
        ([{"prompt": "\U0001f600" * MOST_CHARACTERS, "response": "x"}], "200,001 characters"),
        ([{"prompt": "p", "response": "x" * (MOST_CHARACTERS + 1)}], "at most 200000 characters"),
        ([FINE, {"prompt": " ", "response": "r"}], "Conversation 2: A prompt needs some text"),
        ([{"prompt": [], "response": "r"}], "at least 1 item"),
        ([{"prompt": [{"role": "tool", "content": "x"}], "response": "r"}], "'system', 'user' or"),
        ([{"prompt": "p"}], "conversations.0.response: field required"),
        ([FINE | {"answer": "x"}], "conversations.0.answer: extra inputs are not permitted"),
        ([FINE | {"response": 7}], "conversations.0.response: input should be a valid string"),
    ],
)
def test_what_is_too_much_or_no_conversation_is_refused_before_anything_runs(
    rosa: TestClient, monkeypatch: pytest.MonkeyPatch, conversations: Any, sentence: str
) -> None:
    monkeypatch.setattr(ScoringProcess, "score", lambda *_: pytest.fail("it was asked"))
    assert sentence in refused(ask(rosa, *conversations), 422)


def test_half_a_surrogate_pair_is_refused(rosa: TestClient) -> None:
    body = b'{"model": "polite", "conversations": [{"prompt": "p", "response": "\\ud800"}]}'
    reply = rosa.post("/api/v1/score", content=body, headers={"Content-Type": "application/json"})
    assert refused(reply, 422)


def test_the_bounds_are_described(rosa: TestClient) -> None:
    described = rosa.get("/api/v1/openapi.json").json()
    body = described["components"]["schemas"]["AnswersToScore"]["properties"]["conversations"]
    assert (body["minItems"], body["maxItems"]) == (1, MOST_CONVERSATIONS)
    assert f"{MOST_CHARACTERS:,} characters" in body["description"]
    assert {"404", "422", "503"} <= set(described["paths"]["/api/v1/score"]["post"]["responses"])


def test_one_is_scored_at_a_time_and_nobody_else_waits_for_it(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = threading.Event()
    at_once: list[int] = []
    busy = 0

    def score(self: ScoringProcess, folder: Path, conversations: Any) -> Rewards:
        nonlocal busy
        busy += 1
        at_once.append(busy)
        assert going.wait(30)
        busy -= 1
        return Rewards([0.0] * len(conversations), [0.0] * len(conversations))

    monkeypatch.setattr(ScoringProcess, "score", score)
    headers = program(web, Role.RESEARCHER).headers
    body = {"model": "polite", "conversations": [FINE]}

    async def run() -> list[int]:
        transport = httpx.ASGITransport(app=web.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=web.settings.address, headers=headers
        ) as client:
            asked = [
                asyncio.create_task(client.post("/api/v1/score", json=body))
                for _ in range(MOST_WAITING + 3)
            ]
            done: set[Any] = set()
            while len(done) < 3:
                done, _ = await asyncio.wait(asked, timeout=0.1)
            # The line is full, the first is being scored, and others are answered at once.
            for _ in range(20):
                assert (await client.get("/api/v1/health")).is_success
            going.set()
            return [(await one).status_code for one in asked]

    statuses = finished(run())
    assert sorted(statuses) == [200] * MOST_WAITING + [503] * 3
    assert at_once == [1] * MOST_WAITING


# --- the process


@pytest.fixture
def process() -> Iterator[ScoringProcess]:
    started = ScoringProcess("cpu")
    yield started
    started.close()


def pid(process: ScoringProcess) -> int:
    assert process._process is not None
    assert process._process.pid is not None
    return process._process.pid


def test_the_process_is_kept_has_low_priority_and_comes_again_when_it_is_gone(
    process: ScoringProcess, reward_model: Path
) -> None:
    said = [(ASKED, "Plan 1, please.")]
    first = process.score(reward_model, said)
    one = pid(process)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, one) == min(19, ours + NICENESS)
    assert process.score(reward_model, said) == first
    assert pid(process) == one
    process._idle = 0.2  # for the next one
    os.kill(one, 9)
    assert process._process is not None
    process._process.join(20)
    assert process.score(reward_model, said) == first
    other = pid(process)
    assert other != one
    process._process.join(20)
    assert process._process.exitcode == 0
    assert process.score(reward_model, said) == first


def test_a_process_that_dies_in_the_middle_is_told_apart_from_a_refusal(
    process: ScoringProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(scoring_process, "_answer", pretenders.dies)
        with pytest.raises(ScoringEnded):
            process.score(tmp_path, [(ASKED, "r")])
    with pytest.raises(InvalidData, match="is not a reward model"):
        process.score(tmp_path, [(ASKED, "r")])


def test_who_asked_is_told_when_the_process_died(
    rosa: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_process, "_answer", pretenders.dies)
    assert "most often because memory ran out" in refused(ask(rosa, FINE), 503)


def test_a_question_that_meets_a_leaving_process_is_asked_again(
    process: ScoringProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scoring_process, "_answer", pretenders.leaves_once)
    process._device = str(tmp_path / "left")
    told = process.score(Path("anywhere"), [(ASKED, "r")])
    assert told == Rewards([1.0], [2.0])


def test_the_models_used_last_are_kept_and_a_new_one_under_the_name_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    kept: OrderedDict[tuple[str, int], RewardScorer] = OrderedDict()

    def load(folder: str, *, device: str) -> str:
        assert len(kept) < MOST_MODELS  # the old one goes before the new one comes
        loaded.append(Path(folder).name)
        return folder

    monkeypatch.setattr(RewardScorer, "load", load)
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "tandem.json").touch()
    for name in "abaabcab":
        scoring_process._scorer(kept, str(tmp_path / name), "cpu")
    assert "".join(loaded) == "abcab"
    time.sleep(0.02)
    (tmp_path / "b" / "tandem.json").write_text("another")
    scoring_process._scorer(kept, str(tmp_path / "b"), "cpu")
    assert "".join(loaded) == "abcabb"


def test_the_server_itself_does_not_load_what_scores() -> None:
    script = (
        "import sys, app.server; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.strip() == "[]"
    assert app.server.LARGEST_BODY["/api/v1/score"] > 12 * MOST_CHARACTERS
