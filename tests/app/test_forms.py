"""Every configuration can be asked for in a form, and comes back as it went in."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import gradio as gr
import pytest
from pydantic import Field

from app.forms import Form, draw_form, label, written
from app.kinds import SampleJob, StudyJob, job_config
from storage.errors import InvalidOption
from storage.recipes import RecipeConfig
from training.policies import POLICIES
from training.rewards import REWARDS


class Schedule(StrEnum):
    CONSTANT = "constant"
    COSINE = "cosine"


class Everything(RecipeConfig):
    """One option of each kind that a form must draw."""

    base: Annotated[str, Field(description="Where to start")]
    learning_rate: Annotated[float, Field(gt=0, le=0.01, description="Peak AdamW step")] = 1e-5
    epochs: Annotated[int, Field(ge=1, le=10, description="Passes over the data")] = 1
    limit: Annotated[int | None, Field(ge=2, description="How many; empty takes all")] = None
    lora: Annotated[bool, Field(description="Train adapters only")] = True
    margin: Annotated[Literal["none", "scaled"], Field(description="How margins count")] = "none"
    rank: Annotated[Literal[4, 8], Field(description="Size of the adapters")] = 8
    schedule: Annotated[Schedule, Field(description="Learning rate over time")] = Schedule.COSINE
    rewards: Annotated[dict[str, float], Field(description="Weights")] = Field(default_factory=dict)
    aspects: Annotated[tuple[str, ...], Field(description="Which aspects")] = ()
    kl_target: Annotated[float | None, Field(gt=0, description="Nats")] = None
    seed: Annotated[int, Field(ge=0, lt=2**63, description="The same seed gives the same run")] = 0


def drawn(config: type[RecipeConfig], **options: Any) -> Form[RecipeConfig]:
    with gr.Blocks():
        return draw_form(config, **options)


def sent_back(form: Form[RecipeConfig], config: RecipeConfig) -> list[Any]:
    """What a page sends when its inputs show this configuration."""
    values = config.model_dump(mode="json")
    return [
        component.preprocess(_payload(component, written(values[name])))
        for name, component in form.inputs.items()
    ]


def _payload(component: Any, value: Any) -> Any:
    if isinstance(component, gr.Dropdown) and isinstance(value, int):
        return str(value)
    # What a browser sends of an input that was left or made empty.
    return "" if isinstance(component, gr.Textbox) and value is None else value


FILLED = Everything.read(
    {
        "base": "tiny",
        "learning_rate": 3e-7,
        "epochs": 3,
        "limit": 40,
        "lora": False,
        "margin": "scaled",
        "rank": 4,
        "schedule": "constant",
        "rewards": {"combined": 1.0, "help=ful": 1.0, "harmless": 0.1 + 0.2, "long": -1.0},
        "aspects": ["helpful", "true"],
        "kl_target": 0.05,
    }
)


@pytest.mark.parametrize("config", [FILLED, Everything.read({"base": "tiny"})])
def test_whatever_a_form_shows_is_read_back_the_same(config: Everything) -> None:
    form = drawn(Everything)
    assert form.read(sent_back(form, config)) == config


@pytest.mark.parametrize(
    ("kind", "recipe"),
    [
        *(("reward", name) for name in REWARDS),
        *(("policy", name) for name in POLICIES),
        ("ablation", "ablation"),
        ("sample", "sample"),
        ("study", "study"),
    ],
)
def test_each_recipe_of_the_tables_has_a_form_that_comes_back_as_its_defaults(
    kind: str, recipe: str
) -> None:
    config = job_config(kind, recipe)
    form = drawn(config)
    assert set(form.inputs) == set(config.model_fields)
    needed = {name: one for name, one in NEEDED.items() if name in config.model_fields}
    filled = config.read(needed)
    assert form.read(sent_back(form, filled)) == filled
    for name, component in form.inputs.items():
        assert component.label, name
        assert component.info, f"{name} has no description to show"


NEEDED: dict[str, Any] = {
    "snapshot": "0" * 64,
    "title": "Does PPO help?",
    "policies": ["ppo", "tiny"],
    "rewards": {"combined": 1.0},
}


def test_an_option_out_of_bounds_is_named() -> None:
    form = drawn(Everything)
    values = dict(zip(form.inputs, sent_back(form, FILLED), strict=True))
    values["learning_rate"] = 3
    with pytest.raises(InvalidOption, match=r"learning_rate.*0\.01.*got 3"):
        form.read(list(values.values()))


def test_a_weight_that_is_no_number_is_refused_under_its_name() -> None:
    form = drawn(Everything)
    values = dict(zip(form.inputs, sent_back(form, FILLED), strict=True))
    values["rewards"] = ["combined=much"]
    with pytest.raises(InvalidOption, match=r"rewards\.combined.*'much'"):
        form.read(list(values.values()))


def test_bounds_stand_behind_the_description() -> None:
    form = drawn(Everything)
    assert form.inputs["learning_rate"].info == "Peak AdamW step (0 to 0.01)"
    assert form.inputs["limit"].info == "How many; empty takes all (from 2)"
    assert form.inputs["kl_target"].info == "Nats (above 0)"
    assert form.inputs["seed"].info == "The same seed gives the same run (from 0)"


def test_literals_and_enumerations_become_menus_and_choices_are_offered() -> None:
    form = drawn(Everything, choices={"base": ["tiny"]})
    assert [value for _, value in form.inputs["margin"].choices] == ["none", "scaled"]
    assert [value for _, value in form.inputs["schedule"].choices] == ["constant", "cosine"]
    assert [value for _, value in form.inputs["base"].choices] == ["tiny"]
    assert isinstance(form.inputs["lora"], gr.Checkbox)


def test_first_options_come_first_needed_ones_are_never_hidden_and_omitted_ones_stay_away() -> None:
    form = drawn(Everything, first=("epochs",), omit=("lora", "rewards"))
    assert list(form.inputs)[:3] == ["epochs", "base", "learning_rate"]
    assert not {"lora", "rewards"} & set(form.inputs)
    shown = Everything.read({"base": "tiny"})
    assert form.read(sent_back(form, shown)) == shown


def test_jobs_that_a_page_adds_options_to_are_read_from_both() -> None:
    form = drawn(StudyJob, omit=("policies",))
    values = [component.value for component in form.inputs.values()]
    typed = form.typed(values) | {"title": "One", "policies": ["a", "b"]}
    assert StudyJob.read(typed).policies == ("a", "b")
    assert SampleJob.read({"policies": ["a"]}).keep is False


def test_abbreviations_are_written_as_people_write_them() -> None:
    assert [label(name) for name in ("kl_target", "lora_rank", "base", "adaptive_kl")] == [
        "KL target",
        "LoRA rank",
        "Base",
        "Adaptive KL",
    ]
