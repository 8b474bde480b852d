"""Where the key for an endpoint comes from, where it goes, and that no refusal tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.endpoint_keys import key_for
from storage.errors import InvalidOption

HOST = "host:8000"


@pytest.mark.parametrize(
    ("said", "bound", "key"),
    [
        ("sk-abc", False, "sk-abc"),
        ("host:8000=sk-abc other.example=sk-d", False, "sk-abc"),
        ("host:8000=sk-abc", True, "sk-abc"),
        ("HOST:8000=sk=abc==", True, "sk=abc=="),
        ("other.example=sk-d", True, None),
        ("localhost=sk-d", True, None),
        ("", True, None),
    ],
)
@pytest.mark.parametrize("from_file", [False, True])
def test_a_key_goes_to_its_own_host(
    tmp_path: Path, said: str, *, bound: bool, key: str | None, from_file: bool
) -> None:
    environment = {"MY_KEY": said}
    if from_file and said:
        mounted = tmp_path / "secret"
        mounted.write_text(said.replace(" ", "\n") + "\n")
        environment = {"MY_KEY_FILE": str(mounted)}
    assert key_for(HOST, "MY_KEY", environment, bound=bound) == key
    assert key_for(HOST, "", environment, bound=True) is None


@pytest.mark.parametrize(
    ("said", "bound", "problem"),
    [
        ("sk-abc", True, "say which host a key is for, as in host:8000=KEY"),
        ("sk-abc sk-def", False, "say which host"),
        ("sk-ab\u00e7", False, "cannot be sent as a key"),
    ],
)
def test_a_key_that_could_go_elsewhere_is_refused_and_not_told(
    said: str, *, bound: bool, problem: str
) -> None:
    with pytest.raises(InvalidOption, match=problem) as refusal:
        key_for(HOST, "MY_KEY", {"MY_KEY": said}, bound=bound)
    assert "sk-" not in str(refusal.value)


def test_the_key_of_openai_goes_to_openai_alone() -> None:
    environment = {"OPENAI_API_KEY": "sk-abc", "MY_KEY": "sk-abc"}
    assert key_for("api.openai.com", "OPENAI_API_KEY", environment, bound=True) == "sk-abc"
    for host, variable in (
        ("api.openai.com.evil.example", "OPENAI_API_KEY"),
        ("api.openai.com:8443", "OPENAI_API_KEY"),
        ("api.openai.com", "MY_KEY"),
    ):
        with pytest.raises(InvalidOption, match="which host a key is for"):
            key_for(host, variable, environment, bound=True)


def test_a_file_that_holds_no_key_is_refused_and_not_told(tmp_path: Path) -> None:
    mounted = tmp_path / "secret"
    for held, problem in ((b"", "empty"), (b"sk-\xff", "no text"), (b"sk-" * 30_000, "too long")):
        mounted.write_bytes(held)
        with pytest.raises(InvalidOption, match=problem) as refusal:
            key_for(HOST, "MY_KEY", {"MY_KEY_FILE": str(mounted)})
        assert "sk-" not in str(refusal.value)
        assert refusal.value.__cause__ is None
    with pytest.raises(InvalidOption, match="No such file"):
        key_for(HOST, "MY_KEY", {"MY_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(InvalidOption, match="Is a directory"):
        key_for(HOST, "MY_KEY", {"MY_KEY_FILE": str(tmp_path)})


def test_a_variable_and_its_file_are_not_both_set(tmp_path: Path) -> None:
    mounted = tmp_path / "secret"
    mounted.write_text("sk-old")
    environment = {"MY_KEY": "sk-new", "MY_KEY_FILE": str(mounted)}
    with pytest.raises(InvalidOption, match="it and MY_KEY_FILE are both set") as refusal:
        key_for(HOST, "MY_KEY", environment)
    assert "sk-" not in str(refusal.value)
