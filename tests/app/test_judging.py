"""`tandem judge`: programs vote in a study from the command line, and say what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai_server import FakeServer, completion, openai_server
from small_study import small_study, votes_of

from app.cli import main
from storage.database import Database
from storage.records import Kind, Study
from storage.settings import Settings
from storage.studies import close_study

SECRET = "sk-test-0123456789abcdef"
TOLD = {
    "judge", "study", "annotator", "votes", "inconsistent", "abstained", "unparsable", "failed",
    "parse_rate", "tokens", "cost", "warnings",
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TANDEM_DATA_DIR", "TANDEM_DATABASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def llm() -> Iterator[FakeServer]:
    with openai_server() as running:
        yield running


@pytest.fixture
def store(data_dir: Path) -> Iterator[Database]:
    opened = Database(Settings(data_dir=data_dir).database)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def study(store: Database, now: datetime) -> Study:
    return small_study(store, now)


@pytest.fixture
def tandem(
    data_dir: Path, study: Study, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Let a judge vote; returns the exit code and what was printed on both streams."""

    def run(*tokens: str) -> tuple[int, str, str]:
        code = main(["judge", *tokens, "--study", study.code, "--data-dir", str(data_dir)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_an_llm_votes_and_says_what_it_cost(
    tandem: Callable[..., Any], llm: FakeServer, store: Database, study: Study
) -> None:
    asked = ("llm", "--base-url", llm.base_url, "--llm", "some/model")
    code, out, _ = tandem(*asked, "--price-in", "2", "--price-out", "8", "--json")
    told = json.loads(out)
    assert (code, set(told)) == (0, TOLD)
    assert (told["judge"], told["study"]) == ("llm", study.code)
    assert told["annotator"] == f"judge: LLM some/model at {llm.host}"
    assert (told["votes"], told["inconsistent"], told["abstained"]) == (12, 0, 0)
    assert (told["parse_rate"], told["tokens"], told["warnings"]) == (1, 2640, [])
    assert told["cost"] == pytest.approx(0.00672)
    assert {one.kind for one in votes_of(store, study)} == {Kind.PROGRAM}
    _, out, _ = tandem(*asked)
    assert out.startswith("The judge 'llm' gave 0 votes.")


def test_what_to_doubt_is_said_in_words(tandem: Callable[..., Any], llm: FakeServer) -> None:
    llm.say = lambda _: completion("Hm.")
    code, out, err = tandem("llm", "--base-url", llm.base_url, "--llm", "m")
    assert code == 0
    assert "gave 0 votes" in out
    assert "abstained: 12" in out
    assert "replies with a verdict: 0.0 %" in out
    assert "cost: unknown" in out
    assert "warning: Only 0 % of 24 replies held a verdict; below 90 %" in err
    assert "warning: 12 tasks got no vote" in err


def test_a_refusal_is_one_sentence_without_the_key(
    tandem: Callable[..., Any], llm: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", SECRET)
    llm.say = lambda _: (401, {"error": {"message": SECRET}})
    code, out, err = tandem(
        "llm", "--base-url", llm.base_url, "--llm", "m", "--key-variable", "MINE", "--json"
    )
    assert (code, out) == (1, "")
    assert err == f"error: {llm.host} does not accept the key in MINE (401).\n"


@pytest.mark.parametrize(
    ("tokens", "code", "said"),
    [
        (["llm", "--llm", "m"], 2, "--base-url"),
        (["llm", "--base-url", "nowhere", "--llm", "m"], 1, "base_url: an address begins with"),
        (["llm", "--base-url", "http://x", "--llm", "m", "--timeout", "0"], 1, "timeout: input"),
        (["alpaca-eval", "--annotators", "gpt5"], 1, "no annotator of AlpacaEval"),
        (["reward", "--model", "nothing"], 1, "no reward model called 'nothing'"),
        (["reward"], 2, "--model"),
        (["lmm"], 1, "no judge called 'lmm'. Did you mean 'llm'?"),
    ],
)
def test_what_is_missing_or_wrong(
    tandem: Callable[..., Any], tokens: list[str], code: int, said: str
) -> None:
    found, _, err = tandem(*tokens)
    assert found == code
    assert said in err
    assert len(err.splitlines()) == 1


def test_alpaca_evals_annotators_vote(
    tandem: Callable[..., Any], llm: FakeServer, tmp_path: Path
) -> None:
    config = {
        "prompt_template": "mine/prompt.txt",
        "completions_kwargs": {"model_name": "local"},
        "completion_parser_kwargs": {"outputs_to_match": {1: "^m$", 2: "^M$"}},
    }
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "configs.yaml").write_text(yaml.safe_dump({"mine": config}))
    (tmp_path / "mine" / "prompt.txt").write_text(
        "<|im_start|>user\n{instruction} {output_1} {output_2}<|im_end|>"
    )
    llm.say = lambda _: completion("m")
    code, out, _ = tandem(
        "alpaca-eval", "--annotators", str(tmp_path / "mine"), "--base-url", llm.base_url, "--json"
    )
    told = json.loads(out)
    assert (code, set(told)) == (0, TOLD)
    assert (told["votes"], told["parse_rate"], told["tokens"], told["cost"]) == (12, 1, 1320, None)


def test_judges_that_ask_nobody_have_no_parse_rate(tandem: Callable[..., Any]) -> None:
    for name in ("longest", "gold"):
        told = json.loads(tandem(name, "--json")[1])
        assert (told["votes"], told["parse_rate"], told["tokens"], told["cost"]) == (12, None, 0, 0)
    assert tandem("longest")[1] == "The judge 'longest' gave 0 votes.\n"


def test_a_closed_study_is_refused_before_anybody_is_asked(
    tandem: Callable[..., Any], llm: FakeServer, store: Database, study: Study, now: datetime
) -> None:
    with store.write() as connection:
        close_study(connection, study.id, now)
    code, _, err = tandem("llm", "--base-url", llm.base_url, "--llm", "m")
    assert (code, llm.asked) == (1, [])
    assert "is closed; it takes no more votes" in err
