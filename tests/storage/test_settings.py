"""Settings come from the environment, and nothing leads out of the data directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.database import Database
from storage.errors import NotAllowed, StorageFailed
from storage.settings import Settings


@pytest.fixture(autouse=True)
def _without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TANDEM_{name.upper()}", raising=False)


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert settings.data_dir.name == "tandem"
    assert settings.database == f"sqlite:///{settings.data_dir}/tandem.sqlite"
    assert settings.address == "http://127.0.0.1:7860"


def test_any_folder_name_will_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "Grüße? 100%20 #1")
    database = Database(settings.database)
    database.migrate()
    database.close()
    assert database.name == str(settings.data_dir / "tandem.sqlite")
    assert (settings.data_dir / "tandem.sqlite").is_file()


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TANDEM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TANDEM_DATABASE_URL", "postgresql://db/tandem")
    monkeypatch.setenv("TANDEM_PUBLIC_URL", "https://tandem.example/")
    monkeypatch.setenv("TANDEM_PORT", "80")
    settings = Settings()
    assert (settings.data_dir, settings.port) == (tmp_path, 80)
    assert settings.database == "postgresql://db/tandem"
    assert settings.address == "https://tandem.example"


def test_a_port_is_a_port() -> None:
    with pytest.raises(ValidationError):
        Settings(port=70000)


def test_folders_are_made_inside_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    assert settings.folder("models", "one") == tmp_path / "data" / "models" / "one"
    assert settings.folder("models", "one").is_dir()


@pytest.mark.parametrize("parts", [("..",), ("models", "..", "..", "x"), ("/etc",)])
def test_no_folder_lies_outside(parts: tuple[str, ...], tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with pytest.raises(NotAllowed, match="outside of the data directory"):
        settings.folder(*parts)
    assert list(tmp_path.iterdir()) == []


def test_a_link_does_not_lead_outside_either(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.folder().joinpath("way").symlink_to(tmp_path)
    with pytest.raises(NotAllowed):
        settings.folder("way", "x")


def test_a_data_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match="TANDEM_DATA_DIR"):
        Settings(data_dir=tmp_path / "file").folder("models")
