"""Where everything is kept and how the server is reached, read from `TANDEM_...` variables."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.errors import NotAllowed
from storage.files import make_folder


class Settings(BaseSettings):
    """What a whole installation shares. A field `x` is read from the variable `TANDEM_X`."""

    model_config = SettingsConfigDict(env_prefix="TANDEM_", frozen=True)

    data_dir: Path = Field(default_factory=lambda: user_data_path("tandem", appauthor=False))
    """Holds the SQLite file, snapshots, models and the logs of jobs."""
    database_url: str = ""
    """An SQLAlchemy URL (SQLite or PostgreSQL); empty for a SQLite file in `data_dir`."""
    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    public_url: str = ""
    """What people type into the browser; empty for http://host:port."""
    device: str = "auto"
    """Where models run: auto, cpu, cuda, cuda:1, mps."""

    @property
    def database(self) -> str:
        """The URL of the database in use."""
        file = quote(str(self.data_dir.absolute() / "tandem.sqlite"))
        return self.database_url or f"sqlite:///{file}"

    @property
    def address(self) -> str:
        """The address of the first page, without a slash at the end."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    def folder(self, *parts: str) -> Path:
        """A folder inside the data directory, made when it is not there.

        Raises:
            NotAllowed: The parts lead out of the data directory.
            StorageFailed: The folder cannot be made.
        """
        home = self.data_dir.resolve()
        target = home.joinpath(*parts).resolve()
        if not target.is_relative_to(home):
            raise NotAllowed(f"{Path(*parts)} lies outside of the data directory {home}.")
        return make_folder(target)
