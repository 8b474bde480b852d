"""Models on their way out: commands, jobs, the page, and the Hub, replaced at its boundary."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from invented import Invented
from model_house import fill
from pages_desk import Desk, refusal_of
from transformers import AutoModelForCausalLM

from app.cli import main
from app.model_export import exportable, push_model
from app.queue import enqueue
from app.work import perform
from storage import jobs
from storage.database import Database
from storage.errors import InvalidOption, NotAllowed, NotFound, ServiceFailed
from storage.recipes import Silent
from storage.records import Job, Role
from storage.settings import Settings
from training.export_config import ExportConfig

House = tuple[Settings, Database]


@pytest.fixture(scope="module")
def house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("house")
    settings = Settings(data_dir=home / "data", device="cpu")
    settings.folder()
    shutil.copy(sqlite_template, settings.data_dir / "tandem.sqlite")
    database = Database(settings.database)
    fill(settings, database, home)
    yield settings, database
    database.close()


@pytest.fixture
def tandem(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    monkeypatch.delenv("TANDEM_DATABASE_URL", raising=False)

    def run(*tokens: str, code: int = 0) -> Any:
        ended = main([*tokens, "--json", "--data-dir", str(house[0].data_dir)])
        printed = capsys.readouterr()
        assert ended == code, printed.err
        return json.loads(printed.out) if code == 0 else printed.err

    return run


class Hub:
    """Stands for `HfApi`: remembers what it is asked to do, and what would be uploaded."""

    def __init__(self) -> None:
        self.there: SimpleNamespace | None = None
        self.error: Exception | None = None
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}

    def model_info(self, name: str) -> SimpleNamespace:
        if self.error:
            raise self.error
        if self.there is None:
            raise RepositoryNotFoundError("404", response=answer(404))
        return self.there

    def create_repo(self, name: str, **asked: Any) -> None:
        self.calls.append(("create", {"name": name, **asked}))

    def upload_folder(self, *, folder_path: Path, **asked: Any) -> None:
        self.calls.append(("upload", asked))
        self.files = {path.name: path.read_bytes() for path in folder_path.iterdir()}


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.example"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    return hub


CREATE = ("create", {"name": "lab/reward", "repo_type": "model", "private": True})
UPLOAD = (
    "upload",
    {
        "repo_id": "lab/reward",
        "repo_type": "model",
        "delete_patterns": "*",
        "commit_message": "Export of combined-1 by Tandem",
    },
)


# --- commands -------------------------------------------------------------------------------------


def test_a_policy_is_exported_with_where_it_comes_from(tandem: Any, tmp_path: Path) -> None:
    told = tandem("models", "export", "ppo-1", "--output", str(tmp_path / "out"))
    assert (told["model"], told["purpose"], told["form"]) == ("ppo-1", "policy", "merged")
    assert (told["dtype"], told["weights"]) == ("fp32", 26880)
    assert told["files"].keys() == {path.name for path in (tmp_path / "out").iterdir()}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").num_parameters() == 26880
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert 'Made with the reward model "combined-1", recipe `combined`.' in card
    assert "**Simulated judgements:**" in card
    error = tandem("models", "export", "ppo-1", "--output", str(tmp_path / "out"), code=1)
    assert "it already holds something" in error


def test_a_folder_that_was_trained_without_the_store_is_exported_too(
    tandem: Any, house: House, tmp_path: Path
) -> None:
    source = house[0].data_dir / "models" / "combined-1"
    told = tandem("models", "export", str(source), "--adapter", "--output", str(tmp_path / "out"))
    assert (told["form"], told["dtype"], told["difference"]) == ("adapter", None, None)
    error = tandem("models", "export", "combined-2", "--output", str(tmp_path / "new"), code=1)
    assert "no model called 'combined-2'. Did you mean 'combined-1'?" in error


def test_the_hub_gets_a_private_repository_with_a_card_and_no_places(
    tandem: Any, hub: Hub, house: House
) -> None:
    told = tandem("models", "push", "combined-1", "--to", "lab/reward", "--licence", "mit")
    assert hub.calls == [CREATE, UPLOAD]
    assert (told["place"], told["private"]) == ("https://huggingface.co/lab/reward", True)
    assert hub.files.keys() == told["files"].keys() >= {"model.safetensors", "config.json"}
    card = hub.files["README.md"].decode()
    assert ModelCard(card).data.to_dict() == {
        "license": "mit",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["tandem", "reward-model", "combined"],
    }
    assert "| the same by length alone | " in card
    assert 'name = "lab/reward"' in card
    home = str(house[0].data_dir.parent)
    for name, content in hub.files.items():
        assert home.encode() not in content, name
        assert b'"ada"' not in content, name


def test_an_adapter_on_a_base_without_a_name_does_not_go_to_the_hub(tandem: Any, hub: Hub) -> None:
    error = tandem("models", "push", "ppo-1", "--adapter", "--to", "lab/ppo", code=1)
    assert "no name under which others would find it" in error
    assert "plain-base" in error
    assert hub.calls == []


# --- the Hub --------------------------------------------------------------------------------------


@pytest.fixture
def push(house: House, hub: Hub) -> Callable[..., list[str]]:
    settings, database = house
    with database.read() as connection:
        model = exportable(connection, settings, "combined-1")

    def push(*, public: bool = False, agree: bool = False, name: str = "lab/reward") -> list[str]:
        asked: list[str] = []

        def confirm(question: str) -> bool:
            asked.append(question)
            return agree

        push_model(
            model, ExportConfig(), name=name, public=public, confirm=confirm, progress=Silent()
        )
        return asked

    return push


def test_publishing_a_model_asks_first(push: Any, hub: Hub) -> None:
    with pytest.raises(NotAllowed, match=r"Nothing was published\."):
        push(public=True, agree=False)
    assert hub.calls == []
    [question] = push(public=True, agree=True)
    assert "the model 'combined-1' at lab/reward" in question
    assert hub.calls[0][1]["private"] is False


def test_a_repository_that_is_there_keeps_its_visibility_and_its_files(push: Any, hub: Hub) -> None:
    for private, tags, public, refusal in (
        (False, ["tandem"], False, "model is there and public"),
        (True, ["tandem"], True, "model is there and private"),
        (True, ["llama"], False, "no export of Tandem"),
    ):
        hub.there = SimpleNamespace(private=private, tags=tags)
        with pytest.raises(InvalidOption, match=f"to: this.*{refusal}"):
            push(public=public, agree=True)
    assert hub.calls == []
    hub.there = SimpleNamespace(private=True, tags=["tandem"])
    push()
    assert hub.calls == [UPLOAD]


def test_what_the_hub_says_of_a_model_is_told_in_words(
    push: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, kind, sentence in (
        (HfHubHTTPError("403 no", response=answer(403)), NotAllowed, "does not let this account"),
        (httpx.ConnectError("no route"), ServiceFailed, r"not answer \(ConnectError\)"),
    ):
        hub.error = error
        with pytest.raises(kind, match=sentence):
            push()
    for name in ("reward", "lab/../x", "lab/x y", "a/b/c"):
        with pytest.raises(InvalidOption, match="write OWNER/NAME"):
            push(name=name)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    with pytest.raises(ServiceFailed, match=r"HF_HUB_OFFLINE is set.*tandem models export"):
        push()
    assert hub.calls == []


# --- jobs -----------------------------------------------------------------------------------------


def queued(house: House, **config: Any) -> Job:
    return enqueue(
        house[1],
        house[0],
        kind="export",
        recipe="export",
        config=config,
        project=None,
        now=datetime.now(UTC),
    )


def done(house: House, job: Job) -> dict[str, Any]:
    return perform(job, database=house[1], settings=house[0], progress=Silent())


def test_a_job_writes_into_the_data_directory_and_may_be_done_twice(house: House) -> None:
    job = queued(house, model="combined-1", dtype="bf16")
    for _ in range(2):
        told = done(house, job)
        assert told["folder"] == "exports/combined-1-merged-bf16"
        assert (house[0].data_dir / told["folder"] / "model.safetensors").is_file()
    assert [path.name for path in (house[0].data_dir / "exports").iterdir()] == [
        "combined-1-merged-bf16"
    ]


def test_a_job_sends_to_a_private_repository_and_leaves_nothing(house: House, hub: Hub) -> None:
    job = queued(house, model="combined-1", push_to="lab/reward")
    assert done(house, job)["place"] == "https://huggingface.co/lab/reward"
    assert hub.calls == [CREATE, UPLOAD]
    assert list((house[0].data_dir / "jobs" / job.id).rglob("*.safetensors")) == []


def test_what_cannot_be_done_is_refused_before_it_is_queued(house: House) -> None:
    for config, error, sentence in (
        ({"model": "combined-2"}, NotFound, "Did you mean 'combined-1'"),
        ({"model": str(house[0].data_dir / "models" / "ppo-1")}, NotFound, "no model called"),
        ({"model": "../models/ppo-1"}, NotFound, "no model called"),
        ({"model": "ppo-1", "push_to": "lab"}, InvalidOption, "write OWNER/NAME"),
        (
            {"model": "ppo-1", "push_to": "lab/ppo", "merge": False},
            InvalidOption,
            "no name under which",
        ),
        ({"model": "ppo-1", "public": True}, InvalidOption, "there is no such option"),
        ({"model": "ppo-1", "licence": "<b>"}, InvalidOption, "licence: "),
    ):
        with pytest.raises(error, match=sentence):
            queued(house, **config)


# --- the page -------------------------------------------------------------------------------------


def test_the_page_queues_exports_of_the_chosen_model_and_tells_of_them(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, _ = full_desk
    folder = desk.settings.data_dir / "models" / "combined-1"
    record = {"purpose": "reward", "recipe": "combined", "base": "lab/base", "form": "scalar"}
    (folder / "tandem.json").write_text(json.dumps(record))
    address = f"{desk.home}&model=combined-1"
    go, send = (desk.handler("models", name) for name in ("export_model", "push_model"))
    drawn = desk.call(go, True, "bf16", "mit", address=address)[0]
    assert "merged" in drawn
    assert "bf16" in drawn
    refused = desk.call(send, " ", True, None, "mit", address=address)
    assert "write OWNER/NAME" in refusal_of(refused)
    drawn = desk.call(send, "lab/reward", True, None, "mit", address=address)[0]
    assert drawn.count("Waits for the worker.") == 2
    with desk.database.read() as connection:
        sent, written = jobs.jobs(connection, limit=2)
    assert (sent.kind, sent.config["model"], sent.config["push_to"]) == (
        "export", "combined-1", "lab/reward",
    )  # fmt: skip
    assert (written.config["push_to"], written.config["dtype"]) == ("", "bf16")
    other = desk.call(go, False, "bf16", "mit", address=f"{desk.home}&model=ppo-combined-1")
    assert "tandem.json is missing" in refusal_of(other)


def test_only_researchers_export(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    with desk.database.read() as connection:
        before = len(jobs.jobs(connection, limit=500))
    desk.sit(invented.annotator)
    try:
        for name, values in (
            ("export_model", (True, None, "mit")),
            ("push_model", ("lab/reward",)),
        ):
            told = refusal_of(desk.call(desk.handler("models", name), *values))
            assert f"This needs the role {Role.RESEARCHER}" in told
    finally:
        desk.sit(invented.administrator)
    with desk.database.read() as connection:
        assert len(jobs.jobs(connection, limit=500)) == before
