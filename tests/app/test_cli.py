"""The command line: quick to answer, every command documented, the loop by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from cyclopts.argument import ArgumentCollection
from workshop import environment, write_judgements

from app import cli
from app.cli import GROUPS, main, make_app
from app.doctor import Check
from app.foreground import snapshot_of
from app.progress import ConsoleProgress
from app.runs import train_reward
from storage.settings import Settings
from training.rewards import REWARDS

HEAVY = ("torch", "transformers", "gradio", "sqlalchemy", "dbos", "datasets", "numpy", "pandas")
FOUND = Check(name="small model", finding="not looked for")
Command = Callable[..., Any]


@pytest.fixture
def tandem(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process; returns what it printed, as JSON where it asked for it."""

    def run(*tokens: str, code: int = 0) -> Any:
        capsys.readouterr()
        ended = main([*tokens, "--data-dir", str(data_dir)])
        printed = capsys.readouterr()
        assert ended == code, printed.err
        return json.loads(printed.out) if "--json" in tokens else printed.out

    return run


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that this machine is set to reaches the commands."""
    for name in ("TANDEM_DATA_DIR", "TANDEM_DATABASE_URL", "TANDEM_PORT", "TANDEM_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def judged(tmp_path: Path) -> str:
    write_judgements(tmp_path / "judged.jsonl", prompts=60)
    return str(tmp_path / "judged.jsonl")


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    """Every command below `app` that does something, with its full name."""
    for name in app:
        if name.startswith("-"):
            continue
        below = app[name]
        if below.default_command is not None:
            yield " ".join((*path, name)), below
        yield from commands(below, (*path, name))


def arguments(app: App) -> ArgumentCollection:
    return app.assemble_argument_collection()


EVERY = dict(commands(make_app()))


def test_the_groups_are_those_of_the_design() -> None:
    designed = (
        "serve worker demo import check export snapshot sample train score evaluate study judge"
        " argilla models jobs users doctor"
    )
    assert set(designed.split()) == set(GROUPS)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_each_of_its_options_has_help(name: str) -> None:
    command = EVERY[name]
    assert command.help.strip(), f"tandem {name} says nothing of itself"
    for argument in arguments(command):
        if argument.parse and argument.show:
            assert argument.parameter.help, f"tandem {name} {argument.name} says nothing of itself"


@pytest.mark.parametrize("tokens", [[], ["train"], ["train", "reward", "combined"], ["jobs"]])
def test_help_imports_nothing_heavy(tokens: list[str]) -> None:
    script = (
        "import sys; from app.cli import main; main(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, *tokens, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "Usage: tandem" in told.stdout
    assert told.stderr.strip() == "[]"


def test_a_real_process_ends_with_the_right_code(data_dir: Path) -> None:
    def run(*tokens: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *tokens],
            env=environment(Settings(data_dir=data_dir, database_url="")),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    done = run("jobs", "list", "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"jobs": []}, "")
    refused = run("jobs", "show", "nothing")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: There is no job called 'nothing'. Known: none yet.\n"
    wrong = run("jobs", "list", "--limt", "3")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: Unknown option: --limt. Did you mean --limit")


@pytest.fixture
def run_in(data_dir: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program in so many processes."""

    def run(processes: int, *tokens: str) -> subprocess.CompletedProcess[str]:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        # Without the two dashes the launcher takes `--start` for an option of its own.
        before = [*launcher, str(processes), "-m", "--"] if processes > 1 else ["-m"]
        return subprocess.run(
            [sys.executable, *before, "app.cli", "train", *tokens, "--json"],
            env=environment(Settings(data_dir=data_dir, database_url=""))
            | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return run


def test_several_processes_train_one_model_together(
    run_in: Callable[..., subprocess.CompletedProcess[str]], judged: str, tmp_path: Path
) -> None:
    asked = ("reward", "combined", "--base", "tiny", "--epochs", "1", "--batch-tokens", "512")
    place = ("--data", judged, "--output")
    together = run_in(2, *asked, *place, str(tmp_path / "together"))
    assert together.returncode == 0, together.stderr
    told = json.loads(together.stdout)  # one object: only the first process says anything
    assert told["metrics"]["held_out"]["warnings"]
    assert (tmp_path / "together/tandem.json").is_file()
    alone = run_in(1, *asked, *place, str(tmp_path / "alone"), "--accumulate", "2")
    expected = json.loads(alone.stdout)["metrics"]
    assert told["metrics"]["steps"] == expected["steps"]
    assert told["metrics"]["train_loss"] == pytest.approx(expected["train_loss"], abs=1e-3)


def test_several_processes_tune_one_policy_together(
    run_in: Callable[..., subprocess.CompletedProcess[str]], judged: str, tmp_path: Path
) -> None:
    asked = ("policy", "ppo", "--start", "tiny", "--rewards", "length:20", "--steps", "2")
    small = ("--episodes", "8", "--max-new-tokens", "8", "--data", judged, "--output")
    together = run_in(2, *asked, *small, str(tmp_path / "together"))
    assert together.returncode == 0, together.stderr
    told = json.loads(together.stdout)["metrics"]
    assert (tmp_path / "together/adapter_model.safetensors").is_file()
    alone = run_in(1, *asked, *small, str(tmp_path / "alone"))
    expected = json.loads(alone.stdout)["metrics"]
    for name in ("reward", "kl", "entropy", "response_length"):
        assert told[name] == pytest.approx(expected[name], abs=1e-3), name


def test_of_several_processes_the_first_alone_judges(
    judged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train() -> dict[str, Any]:
        with ConsoleProgress("preference") as progress:
            return train_reward(
                REWARDS["preference"],
                REWARDS["preference"].config.read({"base": "tiny", "epochs": 1}),
                snapshot=snapshot_of(Path(judged), tmp_path, progress),
                folder=tmp_path,
                progress=progress,
                device="cpu",
            )

    described = train()
    assert "held_out" in described["metrics"]
    record = tmp_path / "model/tandem.json"
    del described["metrics"]["held_out"]
    record.write_text(json.dumps(described))
    monkeypatch.setenv("RANK", "1")
    assert train() == {}
    assert json.loads(record.read_text()) == described


def test_what_several_processes_cannot_do_together_is_refused(
    data_dir: Path,
    judged: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    to = ("--output", str(tmp_path / "model"))
    for asked in (
        ("reward", "combined", "--snapshot", "0"),
        ("reward", "multi-objective", "--data", judged, *to),
        ("policy", "ppo", "--rewards", "some"),
        ("policy", "grpo", "--data", judged, "--rewards", "some", *to),
    ):
        assert main(["train", *asked, "--data-dir", str(data_dir)]) == 1
        assert "processes: several train together only" in capsys.readouterr().err


def test_ctrl_c_ends_a_command_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> App:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "make_app", interrupted)
    assert main(["jobs", "list"]) == 130
    assert capsys.readouterr().err == "error: Interrupted.\n"


def test_a_mistake_of_ours_is_one_sentence_and_a_file_with_the_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> App:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "make_app", broken)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: This should not have happened (ZeroDivisionError: division by")
    trace = Path(said.partition("The trace is in ")[2].partition(";")[0])
    assert "in broken" in trace.read_text()
    trace.unlink()


def test_data_goes_in_is_frozen_and_comes_out(tandem: Command, judged: str, tmp_path: Path) -> None:
    told = tandem("import", judged, "--json")
    assert (told["project"], told["comparisons"], told["ratings"]) == ("default", 60, 120)
    again = tandem("import", judged, "--json")
    assert (again["prompts"], again["duplicates"]) == (0, 180)

    first = tandem("snapshot", "create", "--json")
    assert tandem("snapshot", "create", "--json") == first
    write_judgements(tmp_path / "more.jsonl", prompts=70)
    tandem("import", str(tmp_path / "more.jsonl"))
    second = tandem("snapshot", "create", "--json")
    listed = tandem("snapshot", "list", "--json")["snapshots"]
    assert {one["snapshot"] for one in listed} == {first["snapshot"], second["snapshot"]}
    found = tandem("snapshot", "diff", first["snapshot"][:9], second["snapshot"][:9], "--json")
    assert found["first"] == first["snapshot"]

    out = str(tmp_path / "out")
    written = tandem("export", "preference", "--output", out, "--json")
    assert sum(written["rows"].values()) == 70
    assert all(Path(file).is_file() for file in written["files"])


def test_unjudged_responses_become_tasks(tandem: Command, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    lines = [
        {"prompt": f"Question {number}?", "responses": ["one", "two", "three"]}
        for number in range(3)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert tandem("import", str(path), "--project", "mine", "--json")["tasks"] == 9


def test_people_are_added_shown_and_moved(tandem: Command) -> None:
    added = tandem("users", "add", "ada", "--role", "researcher", "--json")
    assert added["link"].startswith("http://127.0.0.1:7860/sign-in/")
    assert tandem("users", "link", "ada", "--json")["link"] != added["link"]
    tandem("users", "role", "ada", "annotator")
    (listed,) = tandem("users", "list", "--json")["users"]
    assert (listed["name"], listed["role"], listed["kind"]) == ("ada", "annotator", "person")


def test_tokens_of_programs_are_shown_once_and_ended(tandem: Command) -> None:
    tandem("users", "add", "ada", "--json")
    made = tandem("users", "token", "ada", "--label", "nightly", "--json")
    assert made["token"].startswith("tandem_")
    (listed,) = tandem("users", "tokens", "ada", "--json")["tokens"]
    assert (listed["label"], listed["revoked"]) == ("nightly", None)
    assert made["token"] not in str(listed)
    (ended,) = tandem("users", "tokens", "ada", "--revoke", listed["number"], "--json")["tokens"]
    assert ended["revoked"] is not None


def test_votes_of_any_file_are_counted(tandem: Command, tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    votes = [
        {"question_id": number, "model_a": "old", "model_b": "new", "winner": winner}
        for number, winner in enumerate(["model_b", "model_b", "tie", "model_a"])
    ]
    path.write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    report = tandem("evaluate", "votes", str(path), "--json")
    assert report["ranking"][0]["model"] == "new"
    assert "new" in tandem("evaluate", "votes", str(path))


def test_the_doctor_looks_at_everything(tandem: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.doctor._small_model", lambda: FOUND)
    monkeypatch.setattr("app.doctor.ENOUGH_DISK", 0.0)
    monkeypatch.setattr("app.doctor.ENOUGH_MEMORY", 0.0)
    checks = {check["name"]: check for check in tandem("doctor", "--json")["checks"]}
    assert {"python", "torch", "device", "memory", "disk", "database"} <= set(checks)
    assert checks["device"]["finding"].startswith("cpu")


def test_the_doctor_says_what_is_broken(tandem: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.doctor.ENOUGH_DISK", 1e9)
    monkeypatch.setattr("app.doctor._small_model", lambda: FOUND)
    assert "BAD  disk" in tandem("doctor", code=1)


def test_queued_work_is_told_and_can_be_taken_back(tandem: Command, judged: str) -> None:
    tandem("import", judged)
    snapshot = tandem("snapshot", "create", "--json")["snapshot"]
    queued = tandem("train", "reward", "combined", "--snapshot", snapshot, "--queue", "--json")
    (listed,) = tandem("jobs", "list", "--json")["jobs"]
    assert (listed["job"], listed["state"]) == (queued["job"], "queued")
    assert listed["project"] is not None
    assert tandem("jobs", "cancel", queued["job"][:6], "--json")["state"] == "cancelled"
    shown = tandem("jobs", "show", queued["job"], "--json")
    assert shown["config"]["snapshot"] == snapshot
    assert "There is no log" in read_error(tandem, "jobs", "log", queued["job"])


def read_error(tandem: Command, *tokens: str) -> str:
    """What a refused command says; the fixture hands the rest of the reading to its assertion."""
    with pytest.raises(AssertionError) as refusal:
        tandem(*tokens)
    return str(refusal.value)


def test_the_loop_by_hand(tandem: Command, judged: str, tmp_path: Path) -> None:
    small = ("--base", "tiny", "--no-layers", "--epochs", "1")
    tandem("import", judged)
    snapshot = tandem("snapshot", "create", "--json")["snapshot"]

    made = tandem("train", "reward", "combined", "--snapshot", snapshot, *small, "--json")
    assert made["model"] == "combined-1"
    assert "held_out" in made["metrics"]
    card = tandem("evaluate", "reward", "--model", "combined-1", "--snapshot", snapshot, "--json")
    assert card["pair_accuracy"] == made["metrics"]["held_out"]["pair_accuracy"]
    again = tandem("evaluate", "reward", "--model", "combined-1", "--data", judged, "--json")
    assert 0 < again["leaked_prompts"] < again["prompts"]
    assert "kendall: " in tandem("models", "show", "combined-1")

    ppo = ("--start", "tiny", "--steps", "2", "--episodes", "4", "--max-new-tokens", "6")
    tuned = tandem("train", "policy", "ppo", "--rewards", "combined-1", *ppo, "--json")
    assert tuned["model"] == "ppo-1"
    listed = tandem("models", "list", "--json")["models"]
    parents = {model["model"]: model["parents"] for model in listed}
    ids = {model["model"]: model["id"] for model in listed}
    assert parents == {"ppo-1": [ids["combined-1"]], "combined-1": []}

    answers = str(tmp_path / "answers.jsonl")
    tandem(
        "sample", "--policies", "ppo-1", "tiny", "--limit", "3", "--max-new-tokens", "6",
        "--output", answers,
    )  # fmt: skip
    assert tandem("import", answers, "--project", "next", "--json")["prompts"] == 3

    opened = tandem(
        "study", "open", "--title", "Is it better?", "--policies", "ppo-1",
        "--max-new-tokens", "6", "--temperature", "1.5", "--overlap", "1", "--json",
        "--project", "default",
    )  # fmt: skip
    assert opened["link"].endswith(opened["code"])
    assert tandem("judge", "gold", "--study", opened["code"], "--json")["votes"] > 1
    tandem("study", "close", opened["code"])
    report = tandem("study", "report", opened["code"], "--json")
    assert report["simulated"]
    assert report["comparisons"][0]["arm"] == "ppo-1"
    assert report["verdict"] in tandem("study", "report", opened["code"])
    (study,) = tandem("study", "list", "--json")["studies"]
    assert study["arms"] == ["ppo-1", "tiny"]


def test_a_study_of_files_needs_no_model(tandem: Command, judged: str, tmp_path: Path) -> None:
    tandem("import", judged)
    rows = [{"instruction": f"Question {n}?"} for n in range(4)]
    asked = tmp_path / "asked.jsonl"
    asked.write_text("\n".join(map(json.dumps, rows)))
    files = []
    for name in ("warm", "cold"):
        path = tmp_path / f"{name}.json"
        said = [row | {"output": f"{name} {n}", "generator": name} for n, row in enumerate(rows)]
        path.write_text(json.dumps(said))
        files.append(f"file:{path}")
    options = ("study", "open", "--title", "t", "--question", "Which is warmer?", "--prompts")
    opened = tandem(*options, str(asked), "--policies", *files, "--json")
    assert tandem("judge", "longest", "--study", opened["code"], "--json")["votes"] == 4
    tandem("study", "close", opened["code"])
    told = tandem("study", "report", opened["code"])
    report = tandem("study", "report", opened["code"], "--json")
    assert report["comparisons"][0]["arm"] == "warm"
    assert report["design"]["question"] == "Which is warmer?"
    assert "  question: Which is warmer? (pair)\n" in told
    assert f"  plan: {report['design']['digest']}\n" in told

    asked.unlink()
    assert "There is no file" in read_error(tandem, *options, str(asked), "--policies", *files)
    queued = tandem(*options[:4], "--policies", *files, "--queue", "--json")
    assert str(tmp_path) not in json.dumps(tandem("jobs", "show", queued["job"], "--json"))


def test_a_model_from_a_file_needs_no_server(tandem: Command, judged: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "mine")
    small = ("--base", "tiny", "--no-layers", "--epochs", "1")
    tandem("train", "reward", "preference", "--data", judged, "--output", folder, *small)
    assert json.loads((tmp_path / "mine" / "tandem.json").read_text())["purpose"] == "reward"
    assert tandem("models", "list", "--json") == {"models": []}

    lines = [{"prompt": "Hello", "response": text, "mark": text} for text in ("hi", "go away")]
    answers, scored = tmp_path / "answers.jsonl", tmp_path / "scored.jsonl"
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = tandem(
        "score", "--model", folder, "--input", str(answers), "--output", str(scored), "--json"
    )
    assert told["lines"] == 2
    written = [json.loads(line) for line in scored.read_text().splitlines()]
    assert [line["mark"] for line in written] == ["hi", "go away"]
    assert all({"reward", "reward_standardised"} <= set(line) for line in written)

    card = tandem("evaluate", "reward", "--model", folder, "--data", judged, "--json")
    assert card["pair_accuracy"]["n"] > 0
    assert card["leaked_prompts"] is None  # the data it learned from is in no store

    pairs = [
        {"prompt": f"{n}?", "chosen": "Yes, please.", "rejected": "No", "subset": "mt-bench-easy"}
        for n in range(4)
    ]
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text("".join(json.dumps(line) + "\n" for line in pairs))
    asked = ("evaluate", "reward", "--model", folder, "--benchmark", str(benchmark))
    scored_by_rule = tandem(*asked, "--json")
    assert scored_by_rule["benchmark"] == "RewardBench"
    assert [one["section"] for one in scored_by_rule["sections"]] == ["Chat"]
    assert scored_by_rule["subsets"][0]["length_only_score"]["value"] == 1
    assert "mt-bench-easy" in tandem(*asked)

    ppo = ("--start", "tiny", "--steps", "1", "--episodes", "2", "--max-new-tokens", "4")
    policy, gold = str(tmp_path / "policy"), str(tmp_path / "gold")
    shutil.copytree(folder, gold)
    tandem(
        "train", "policy", "ppo", "--rewards", f"{folder}=0.5", "length:2=0.25", "--data", judged,
        "--weight-schedule", "length:2=0:1,1:0", "--watch", gold, "--keep", "best",
        "--stop-on", "negative_kl", "entropy_collapsed", "--output", policy, *ppo,
    )  # fmt: skip
    told = json.loads((tmp_path / "policy" / "tandem.json").read_text())
    assert told["rewards"] == {folder: 0.5, "length:2": 0.25}
    assert list(told["reward_scales"]) == ["length:2"]
    assert told["config"]["stop_on"] == ["negative_kl", "entropy_collapsed"]
    assert any(name.startswith("watched/") for name in told["metrics"])
    assert told["metrics"]["health"]["stopped"] is None
    for name in ("grpo", "rloo"):
        tandem(
            "train", "policy", name, "--rewards", f"{folder}=0.5", "--data", judged,
            "--output", str(tmp_path / name), "--answers-per-prompt", "2", *ppo,
        )  # fmt: skip
        assert json.loads((tmp_path / name / "tandem.json").read_text())["recipe"] == name


def test_models_start_from_a_policy_that_learned_good_answers(
    tandem: Command, judged: str, tmp_path: Path
) -> None:
    tandem("import", judged)
    snapshot = tandem("snapshot", "create", "--json")["snapshot"]
    quick = ("--epochs", "1", "--rank", "4")
    shown = tandem("train", "policy", "sft", "--snapshot", snapshot, "--base", "tiny", *quick,
                   "--json")  # fmt: skip
    assert shown["model"] == "sft-1"
    # The polite one of two answers was preferred to 42 prompts or so of the train part.
    assert 30 < shown["metrics"]["answers"] < 55
    reward = ("--snapshot", snapshot, "--base", "sft-1", "--no-layers", *quick)
    tandem("train", "reward", "preference", *reward)
    ppo = ("--start", "sft-1", "--steps", "1", "--episodes", "2", "--max-new-tokens", "4")
    tandem("train", "policy", "ppo", "--rewards", "preference-1", *ppo)
    listed = {model["model"]: model for model in tandem("models", "list", "--json")["models"]}
    ids = {name: model["id"] for name, model in listed.items()}
    assert {name: model["parents"] for name, model in listed.items()} == {
        "sft-1": [],
        "preference-1": [ids["sft-1"]],
        "ppo-1": [ids["preference-1"], ids["sft-1"]],
    }
    answers, scored = tmp_path / "answers.jsonl", tmp_path / "scored.jsonl"
    answers.write_text(json.dumps({"prompt": "Hello", "response": "hi"}) + "\n")
    tandem("score", "--model", "preference-1", "--input", str(answers), "--output", str(scored))
    assert "reward" in json.loads(scored.read_text())

    # Without a store the name of a registered base is understood too; a reward model is none.
    mine = ("--data", judged, "--output", str(tmp_path / "mine"), "--no-layers", *quick)
    tandem("train", "reward", "preference", *mine, "--base", "sft-1")
    told = json.loads((tmp_path / "mine/tandem.json").read_text())
    assert Path(told["base"]).name == "sft-1"
    assert (Path(told["base"]) / "model.safetensors").is_file()
    other = ("--data", judged, "--output", str(tmp_path / "other"))
    refused = read_error(tandem, "train", "reward", "preference", *other, "--base", "preference-1")
    assert "this is a reward model, and a policy model is needed" in refused


def test_policies_learn_from_comparisons_and_from_ranked_answers(
    tandem: Command, judged: str
) -> None:
    tandem("import", judged)
    snapshot = tandem("snapshot", "create", "--json")["snapshot"]
    quick = ("--epochs", "1", "--rank", "4", "--max-new-tokens", "4")
    made = tandem("train", "policy", "dpo", "--snapshot", snapshot, "--start", "tiny", *quick,
                  "--json")  # fmt: skip
    assert made["model"] == "dpo-1"
    assert {"pairs", "ties", "both_bad", "kl", "response_length", "seconds"} <= set(made["metrics"])
    reward = ("--snapshot", snapshot, "--base", "tiny", "--no-layers", "--epochs", "1")
    tandem("train", "reward", "preference", *reward)
    rounds = ("--rounds", "1", "--prompts-per-round", "4", "--answers-per-prompt", "3")
    for recipe in ("iterative-dpo", "rejection-sampling"):
        made = tandem("train", "policy", recipe, "--rewards", "preference-1", "--start", "dpo-1",
                      *rounds, *quick, "--json")  # fmt: skip
        assert made["model"] == f"{recipe}-1"
        assert {"reward", "kl", "response_length", "seconds"} <= set(made["metrics"])
    listed = {model["model"]: model for model in tandem("models", "list", "--json")["models"]}
    ids = {name: model["id"] for name, model in listed.items()}
    assert listed["rejection-sampling-1"]["parents"] == [ids["preference-1"], ids["dpo-1"]]


def test_an_adapter_is_no_base_for_a_reward_model(
    tandem: Command, judged: str, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    mine = ("--data", judged, "--output", str(tmp_path / "mine"), "--base", str(adapter))
    refused = read_error(tandem, "train", "reward", "preference", *mine)
    assert "base: this policy is an adapter" in refused
    assert "name a policy that SFT made" in refused


def test_a_policy_learns_from_a_file_of_answers_or_of_judgements(
    tandem: Command, judged: str, tmp_path: Path
) -> None:
    quick = ("--base", "tiny", "--epochs", "1", "--rank", "4")
    pairs = tmp_path / "pairs.jsonl"
    turns = tmp_path / "turns.jsonl"
    asked = [f"What about {number}?" for number in range(20)]
    pairs.write_text(
        "".join(json.dumps({"prompt": one, "completion": "Please."}) + "\n" for one in asked)
    )
    turns.write_text(
        "".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": one},
                        {"role": "assistant", "content": "Please."},
                    ]
                }
            )
            + "\n"
            for one in asked
        )
    )
    learned = []
    for path in (pairs, turns):
        place = ("--data", str(path), "--output", str(tmp_path / path.stem))
        made = tandem("train", "policy", "sft", *place, *quick, "--json")
        learned.append(made["metrics"])
    assert learned[0] == learned[1]
    assert learned[0]["answers"] + learned[0]["validation_answers"] == 20
    folder = str(tmp_path / "from judgements")
    tandem("train", "policy", "sft", "--data", judged, "--output", folder, *quick)
    told = json.loads((Path(folder) / "tandem.json").read_text())
    assert told["snapshot"]
    refused = read_error(tandem, "train", "policy", "sft", *quick)
    assert "name either --data or --snapshot" in refused


def test_an_interrupted_foreground_run_goes_on_when_the_command_is_given_again(
    tandem: Command,
    judged: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from app.progress import ConsoleProgress

    command = (
        "train", "reward", "preference", "--data", judged, "--output", str(tmp_path / "mine"),
        "--base", "tiny", "--no-layers", "--epochs", "3", "--batch-tokens", "256",
        "--checkpoint-every", "4",
    )  # fmt: skip
    report = ConsoleProgress.report

    def impatient(self: ConsoleProgress, step: int, *positional: Any, **named: Any) -> None:
        report(self, step, *positional, **named)
        if step == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ConsoleProgress, "report", impatient)
        tandem(*command, code=130)
    assert not (tmp_path / "mine").exists()
    said: list[str] = []
    monkeypatch.setattr(ConsoleProgress, "log", lambda _, line: said.append(line))
    tandem(*command)
    assert "resumed from step 8" in said
    assert (tmp_path / "mine" / "tandem.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_files_are_imported_frozen_and_learned_from_in_part(
    tandem: Command, shared_data: Path
) -> None:
    for name in ("both_alpaca_eval.jsonl.gz", "pairs_hh_harmless_test.jsonl.gz"):
        assert tandem("import", str(shared_data / name), "--json")["prompts"] > 500
    frozen = tandem("snapshot", "create", "--json")
    assert frozen["rows"]["comparisons/train"] > 4000
    made = tandem(
        "train", "reward", "combined", "--snapshot", frozen["snapshot"], "--prompts", "30",
        "--base", "tiny", "--no-layers", "--epochs", "1", "--json",
    )  # fmt: skip
    card = made["metrics"]["held_out"]
    # With 30 prompts to learn from, at most 100 test prompts are judged, with all their answers.
    assert 100 < card["pairs"] < 1000
    assert card["rated"] > 100
    assert card["length_only_accuracy"]["n"] == card["pair_accuracy"]["n"]


def test_an_estimate_says_what_training_would_take_and_trains_nothing(
    tandem: Command, judged: str
) -> None:
    asked = ("train", "reward", "combined", "--data", judged, "--base", "tiny", "--estimate")
    found = tandem(*asked, "--json")["bytes"]
    assert found["total"] == sum(
        found[part] for part in ("program", "weights", "learning", "activations", "kept")
    )
    assert found["free"] > 0
    assert "are free." in tandem(*asked)
    tandem("import", judged, "--project", "mine")
    frozen = tandem("snapshot", "create", "--project", "mine", "--json")["snapshot"]
    stored = ("train", "reward", "preference", "--snapshot", frozen[:12], "--base", "tiny")
    assert tandem(*stored, "--estimate", "--json")["bytes"]["weights"] > 0
    assert tandem("models", "list", "--json") == {"models": []}
    tandem(*asked[:2], "multi-objective", *asked[3:], code=1)
