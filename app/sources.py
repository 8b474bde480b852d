"""From the name of a model, as a person writes it, to what `training` can load.

A registered model is named by its name or id; a folder by its path; a policy also by the name of
any Hugging Face model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from storage import models
from storage.errors import InvalidOption, NotFound
from storage.records import Model
from training.policies.reward_options import is_reward_model

if TYPE_CHECKING:
    from storage.database import Connection
    from storage.settings import Settings


STARTS = ("base", "start")
"""Options that name the policy or Hugging Face model that a new model grows from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestors:
    """The models that the options of a recipe name."""

    options: dict[str, Any]
    """The options, with its folder in the place of a registered policy's name."""
    rewards: dict[str, Path]
    """The folder of each reward model, by the name in the options, also of those that only watch or
    judge; what else rewards has none."""
    parents: tuple[Model, ...]
    """Those of them that are registered and are learned from."""


def ancestors(
    connection: Connection,
    settings: Settings,
    options: Mapping[str, Any],
    *,
    purpose: str,
) -> Ancestors:
    """Look every model up that the options for a new one name.

    Args:
        connection: Where models are registered.
        settings: Where they lie.
        options: Of a recipe.
        purpose: What is to be made of them: `reward` or `policy`.

    Raises:
        NotFound: A reward model is neither registered nor a folder.
        InvalidOption: A model is not of the kind that is needed.
    """
    names = [name for name in options.get("rewards", {}) if is_reward_model(name)]
    asked = (*names, *options.get("watch", ()), *options.get("judges", ()))
    rewards = {name: reward_folder(connection, settings, name) for name in asked}
    found = [registered(connection, name, purpose="reward") for name in names]
    grown = {name: options[name] for name in STARTS if name in options}
    for option, name in grown.items():
        found.append(registered(connection, name, purpose="policy"))
        grown[option] = policy_source(connection, settings, name)
        if purpose == "reward" and not has_whole_weights(Path(grown[option])):
            raise InvalidOption(
                option,
                "this policy is an adapter, and a reward model needs whole weights to start from;"
                " name a policy that SFT made",
                name,
            )
    return Ancestors(
        options={**options, **grown},
        rewards=rewards,
        parents=tuple(model for model in found if model is not None),
    )


def has_whole_weights(folder: Path) -> bool:
    """False for the folder of an adapter, whose weights lie elsewhere."""
    return not (folder / "adapter_config.json").is_file()


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


def start_of(connection: Connection, name: str) -> str | None:
    """What a registered policy grew from, by name or folder; None where it is not registered.

    Raises:
        InvalidOption: It is a reward model.
    """
    model = registered(connection, name, purpose="policy")
    if model is None:
        return None
    grown = next((model.config[one] for one in STARTS if one in model.config), model.base)
    parent = registered(connection, grown, purpose="policy")
    return grown if parent is None else parent.name
