"""From the name of a model, as a person writes it, to what `training` can load.

A registered model is named by its name or id; a folder by its path; a policy also by the name of
any Hugging Face model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from storage import models
from storage.errors import InvalidOption, NotFound
from storage.records import Model

if TYPE_CHECKING:
    from storage.database import Connection
    from storage.settings import Settings


def registered(
    connection: Connection, name: str, *, purpose: Literal["reward", "policy"]
) -> Model | None:
    """The registered model of this name or id, or None.

    Raises:
        InvalidOption: There is one, but for the other purpose.
    """
    try:
        model = models.model(connection, name)
    except NotFound:
        return None
    if model.purpose != purpose:
        raise InvalidOption(
            "model", f"this is a {model.purpose} model, and a {purpose} model is needed", name
        )
    return model


def reward_folder(connection: Connection, settings: Settings, name: str) -> Path:
    """The folder of a reward model.

    Raises:
        NotFound: No reward model has this name, and it is no model folder.
        InvalidOption: It is a policy.
    """
    model = registered(connection, name, purpose="reward")
    if model is not None:
        return model_folder(settings, model)
    folder = Path(name)
    if (folder / "tandem.json").is_file():
        return folder.absolute()
    known = [model.name for model in models.models(connection, purpose="reward")]
    raise NotFound("reward model", name, known)


def policy_source(connection: Connection, settings: Settings, name: str) -> str:
    """A policy's folder, or the name itself where it is a folder or a model of Hugging Face.

    Raises:
        InvalidOption: It is a reward model.
    """
    model = registered(connection, name, purpose="policy")
    return name if model is None else str(model_folder(settings, model))


def model_folder(settings: Settings, model: Model) -> Path:
    """Where a registered model lies.

    Raises:
        NotFound: Its folder was removed.
    """
    folder = settings.data_dir.absolute() / model.folder
    if not folder.is_dir():
        raise NotFound("model folder", str(folder))
    return folder
