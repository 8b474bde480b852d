"""The README cannot lie: its commands parse, its make targets exist, its pictures are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from app.cli import GROUPS, make_app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def shell_lines() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    commands = []
    for line in lines:
        while "&&" in line:
            cut = line.index("&&")
            commands.append(line[:cut])
            line = line[cut + 1 :]  # noqa: PLW2901
        commands.append(line)
    return [command for command in commands if command]


@pytest.mark.parametrize(
    "line", [line for line in shell_lines() if line[0] == "tandem"], ids=" ".join
)
def test_each_command_of_the_readme_is_understood(line: list[str]) -> None:
    command, bound, _ = make_app().parse_args(line[1:], print_error=False, exit_on_error=False)
    assert callable(command)
    assert bound.arguments or len(line) == 2


def test_the_readme_shows_commands_make_targets_and_the_interface() -> None:
    starts = {line[0] for line in shell_lines()}
    assert starts == {"curl", "make", "tandem"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z]+)\b", README))))
def test_each_make_target_of_the_readme_exists(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("picture", re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README))
def test_each_picture_of_the_readme_is_there(picture: str) -> None:
    assert (ROOT / picture).stat().st_size > 1000


@pytest.mark.parametrize("group", GROUPS)
def test_each_command_says_what_it_does(group: str) -> None:
    assert GROUPS[group][1].endswith(".")
