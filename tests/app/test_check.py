"""Checking data from the command line, on the page and before training; the document about it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from invented import Invented
from pages_desk import HERE, Desk, refusal_of, uploaded

from app.checking import doubts_before_training
from app.cli import main, make_app
from app.runs import train_reward
from evaluation.linting import sources
from evaluation.linting.findings import Severity
from storage.errors import TrainingFailed
from storage.projects import project_named
from storage.prompts import stream_prompts
from storage.recipes import Recipe, RecipeConfig
from storage.records import PromptId, ResponseId, Split
from storage.snapshots import ComparisonRow, SnapshotData, write_snapshot

DOCUMENT = (Path(__file__).parents[2] / "docs/checking.md").read_text("utf-8")
EXAMPLE = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[0]
Filled = tuple[Desk, Invented]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """The file of the document."""
    file = tmp_path / "judged.jsonl"
    file.write_text(EXAMPLE, encoding="utf-8")
    return file


@pytest.fixture
def checked(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command; gives its code and what it printed."""

    def run(*tokens: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["check", *tokens, "--data-dir", str(data_dir)])
        printed = capsys.readouterr()
        return code, printed.out + (printed.err if code and not printed.out else "")

    return run


def test_the_example_of_the_document_is_what_the_command_says(
    checked: Callable[..., tuple[int, str]], odd: Path
) -> None:
    code, told = checked(str(odd))
    promised = re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    assert code == 1
    assert promised.strip() in told
    assert "jane.roe" not in told


def test_every_command_of_the_document_is_understood() -> None:
    for block in re.findall(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL):
        for line in re.split(r"\n| && ", block.strip()):
            command, _, _ = make_app().parse_args(
                line.split()[1:], print_error=False, exit_on_error=False
            )
            assert callable(command)


def test_every_finding_is_in_the_document() -> None:
    sources = (Path(__file__).parents[2] / "evaluation/linting").glob("*.py")
    text = "\n".join(path.read_text("utf-8") for path in sources)
    names = set(re.findall(r'name="([a-z]+(?:-[a-z]+)+)"', text))
    names |= set(re.findall(r'(?:_finding|_leaked)\(\s*"([a-z-]+)"', text))
    assert len(names) > 20
    for name in names:
        assert f"`{name}`" in DOCUMENT, name


def test_json_tells_programs_everything(
    checked: Callable[..., tuple[int, str]], odd: Path, tmp_path: Path
) -> None:
    bench = tmp_path / "bench.jsonl"
    bench.write_text('{"instruction": "Is coffee good for roses"}\n', encoding="utf-8")
    report = tmp_path / "check.html"
    code, told = checked(str(odd), "--json", "--against", str(bench), "--report", str(report))
    found = json.loads(told)
    assert code == 1
    assert (found["errors"], found["warnings"], found["rows"]) == (5, 1, 6)
    names = [one["name"] for one in found["findings"]]
    assert "evaluation-leakage" in names
    assert {one["severity"] for one in found["findings"]} <= set(Severity)
    assert report.read_text("utf-8").startswith("<!doctype html>")


def test_clean_data_end_with_code_0_and_two_sources_are_refused(
    checked: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    file = tmp_path / "fine.jsonl"
    file.write_text(EXAMPLE.splitlines()[-1] + "\n", encoding="utf-8")
    code, told = checked(str(file))
    assert (code, told.strip()) == (0, "Nothing found in 1 row that would hurt.")
    code, told = checked(str(file), "--project", "some")
    assert code == 1
    assert "name one of FILE, --snapshot and --project" in told
    code, told = checked("--project", "some")
    assert (code, told) == (1, "error: There is no project called 'some'. Known: none yet.\n")


def test_what_is_advised_about_a_scale_can_be_done(
    checked: Callable[..., tuple[int, str]], tmp_path: Path, data_dir: Path
) -> None:
    file = tmp_path / "rated.jsonl"
    lines = [{"prompt": f"{n}?", "response": "r", "rating": n} for n in range(11)]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    _, told = checked(str(file))
    advised = re.findall(r"--option (\S+=[0-9.-]+)", told)
    assert advised == ["scale_min=0", "scale_max=10"]
    refused = main(["import", str(file), "--project", "p", "--data-dir", str(data_dir)])
    asked = [word for one in advised for word in ("--option", one)]
    done = main(["import", str(file), "--project", "p", *asked, "--data-dir", str(data_dir)])
    assert (refused, done) == (1, 0)


def test_the_page_checks_the_project_its_snapshots_and_a_file(full_desk: Filled, odd: Path) -> None:
    desk, _ = full_desk
    (offer,) = [one for one in desk.handlers("check", "load") if one.fn.__name__ == "offer"]
    look = desk.handler("check", "look")
    offered = desk.call(offer, address=HERE)[1]["choices"]
    assert [label.split()[0] for label, _ in offered] == ["All", "Snapshot"]
    for _, source in offered:
        verdict = desk.call(look, source, None, None, address=HERE)[2]
        assert "rows" in verdict
        assert "t-tiles" in verdict
    upload = uploaded(desk, odd)
    data = desk.call(look, "project", upload, None, address=HERE)
    assert data[:2] == [None, None]
    assert not Path(upload["path"]).exists(), "the upload stayed on the server"
    assert "Mend this first: 4 errors" in data[2]
    assert "judged.jsonl" in data[2]
    assert "in the training part too" in data[-2]
    assert "jane.roe" not in json.dumps(data)


def test_snapshots_of_other_projects_and_markup_do_not_get_through(
    full_desk: Filled, tmp_path: Path
) -> None:
    desk, _ = full_desk
    look = desk.handler("check", "look")
    with pytest.raises(AssertionError, match="not in the list of choices"):
        desk.call(look, "../../etc", None, None, address=HERE)
    evil = tmp_path / "evil.jsonl"
    line = {"prompt": "<img src=x onerror=alert(1)> is it?", "chosen": "a b c", "rejected": "d"}
    evil.write_text("\n".join([json.dumps(line)] * 2), encoding="utf-8")
    drawn = json.dumps(desk.call(look, "project", uploaded(desk, evil), None, address=HERE))
    assert "<img" not in drawn
    assert "&lt;img src=x" in drawn


def test_the_page_holds_data_against_evaluation_sets(full_desk: Filled, tmp_path: Path) -> None:
    desk, _ = full_desk
    look = desk.handler("check", "look")
    line = {"prompt": "Is coffee good for roses?", "chosen": "A little.", "rejected": "No."}
    held_out = {"instruction": "is coffee good for roses"}
    judged, bench, other = (tmp_path / f"{name}.jsonl" for name in ("judged", "bench", "other"))
    judged.write_text(json.dumps(line), encoding="utf-8")
    bench.write_text(json.dumps(held_out), encoding="utf-8")
    other.write_text(json.dumps({"instruction": "What is a snail?"}), encoding="utf-8")
    sets = [uploaded(desk, other), uploaded(desk, bench)]
    data = desk.call(look, "project", uploaded(desk, judged), sets, address=HERE)
    assert "prompt of bench.jsonl" in data[-2].replace("\u00a0", " ")
    assert "other.jsonl" not in data[-2]
    assert not any(Path(one["path"]).exists() for one in sets), "an upload stayed on the server"
    # Those of a project's own prompts are found as well.
    with desk.database.read() as connection:
        [first, *_] = stream_prompts(connection, project_named(connection, "everyday questions").id)
    bench.write_text(json.dumps({"prompt": list(first.messages)}), encoding="utf-8")
    told = desk.call(look, "project", None, [uploaded(desk, bench)], address=HERE)
    assert "prompt of bench.jsonl" in told[-2]
    bench.write_text("no json", encoding="utf-8")
    broken = uploaded(desk, bench)
    refused = refusal_of(desk.call(look, "project", None, [broken], address=HERE))
    assert "bench.jsonl, line 1" in refused
    assert str(Path(broken["path"]).parent) not in refused


def test_the_page_tells_how_far_a_long_look_is(
    full_desk: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, _ = full_desk
    look, ask = desk.handler("check", "look"), desk.handler("check", "how_far")
    assert desk.call(ask, address=HERE)[0] == ""
    file = tmp_path / "judged.jsonl"
    lines = [{"prompt": f"What is {n}?", "chosen": "A.", "rejected": "B."} for n in range(2500)]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    upload = uploaded(desk, file)
    go_on, told = threading.Event(), []
    read = sources.entries_of_file

    def slowly(*args: Any) -> Iterator[Any]:
        for number, entry in enumerate(read(*args), start=1):
            if number == 2100:
                assert go_on.wait(30)
            yield entry

    monkeypatch.setattr(sources, "entries_of_file", slowly)
    looking = threading.Thread(
        target=lambda: told.append(desk.call(look, "project", upload, None, address=HERE))
    )
    looking.start()
    try:
        for _ in range(300):
            seen, timer, _ = desk.call(ask, address=HERE)
            if "2\u2009000 rows so far" in seen:
                break
            time.sleep(0.1)
    finally:
        go_on.set()
        looking.join()
    assert "2\u2009000 rows so far" in seen
    assert timer["active"]
    assert "2\u2009500" in told[0][2]
    seen, timer, _ = desk.call(ask, address=HERE)
    assert (seen, timer["active"]) == ("", False)


def row(number: int, system: str = "", **more: Any) -> ComparisonRow:
    asked: list[Any] = [{"role": "user", "content": f"What is {number}?"}]
    asked = [{"role": "system", "content": system}, *asked] if system else asked
    given: dict[str, Any] = {
        "prompt_id": PromptId(f"p{number}{system}"),
        "prompt": tuple(asked),
        "left_id": ResponseId("a"),
        "left": f"It is {number}.",
        "right_id": ResponseId("b"),
        "right": "I do not know.",
        "choice": -1,
        "graded": False,
        "both_bad": False,
        "annotator": "anna",
        "kind": "person",
    }
    return ComparisonRow(**given | more)


def test_doubts_stand_in_the_log_before_anything_is_learnt(tmp_path: Path) -> None:
    rows = [row(number) for number in range(20)]
    write_snapshot(tmp_path / "fine", rows, [])
    assert doubts_before_training(SnapshotData.open(tmp_path / "fine")) == []

    twice = [row(1), row(1, "Be kind.", right="It is 1.")]
    parts = {twice[0].prompt_id: Split.TRAIN, twice[1].prompt_id: Split.TEST}
    write_snapshot(tmp_path / "odd", [*rows[2:], *twice], [], splits=parts)
    log: list[str] = []

    class Heard:
        def report(self, *_: object, **__: object) -> None: ...

        def log(self, line: str) -> None:
            log.append(line)

    def learn(*_: object, **__: object) -> None:
        log.append("learning")
        raise TrainingFailed("It was to stop here.")

    recipe = Recipe(name="some", summary="Some.", config=RecipeConfig, run=learn)
    with pytest.raises(TrainingFailed):
        train_reward(recipe, RecipeConfig(), snapshot=tmp_path / "odd", folder=tmp_path / "run",
                     progress=Heard(), device="cpu")  # fmt: skip
    assert [line.split(" ", 3)[:3] for line in log[:2]] == [
        ["Warning:", "1", "comparison"], ["Warning:", "1", "held-out"]
    ]  # fmt: skip
    assert log[2:] == ["learning"]
