"""The kinds of slow work, and the complete configuration that a job of each kind is kept with.

A job's configuration is closed: an unknown name or a value out of bounds is refused before the job
is queued, and what is stored says everything that the run depends on, with the job's project.

* reward  {"snapshot", "name", and every option of the recipe in `training.rewards.REWARDS`}
* policy  {"name", and every option of the recipe in `training.policies.POLICIES`}, and "snapshot"
          where the recipe learns from one; else its prompts are those of the project that fall in
          the train split
* sample  {"policies", "prompts" or the project's, "split", "limit", "keep", and how to sample}
* ablation  {"snapshot", "kinds", "labels", "seeds", and the options of these kinds of reward model}
* argilla  {"workspace", "suggest"} to push the project's tasks there, nothing to pull from there
* export  {"model", "push_to", and the form: "merge", "dtype", "licence"}
* study   {"title", "policies", "question", "form", "limit", "overlap" and more, and how to sample};
          the prompts are imported ones, or those of the project that fall in the test split

Policies and reward models are named by a registered model's name or id, by a folder, or (policies)
by the name of a Hugging Face model. `app.arms` says who else may answer prompts.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, create_model, field_validator, model_validator

from app.arms import read_arm
from evaluation.ablation_config import Ablated
from evaluation.study_plan import LONGEST_QUESTION, QUESTION, Form, WhenRevealing
from feedback.participation import Participation
from storage.errors import NotFound
from storage.recipes import RecipeConfig, find
from training.export_config import ExportConfig
from training.policies import POLICIES
from training.policies.functions import NAMES
from training.rewards import REWARDS
from training.sampling_config import SamplingConfig

ModelName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")]
"""Also a folder's name, so it holds nothing that could lead elsewhere."""

Turn = dict[str, str]
"""`storage.records.Message` before it is checked, in a form that pydantic reads in Python 3.11."""


class Registered(RecipeConfig):
    """What every job that makes a model says besides its recipe's options."""

    name: Annotated[
        ModelName,
        Field(
            description="Name of the new model: letters, digits, dot, dash and underscore;"
            " empty numbers the models of a recipe"
        ),
    ] = ""

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in NAMES:
            raise ValueError("this is what a reward is called; choose another name")
        return name


class SnapshotJob(Registered):
    """What the job of a model that learns from judgements says besides its recipe's options."""

    snapshot: Annotated[str, Field(min_length=1, description="Snapshot to learn from, by its id")]


class PolicyJob(Registered):
    """What the job of a policy says besides its recipe's options."""

    judges: Annotated[
        tuple[str, ...],
        Field(
            description="Reward models that compare its answers with those of its start, besides"
            " those that it learns from or watches"
        ),
    ] = ()


class PromptsJob(PolicyJob):
    """What the job of a policy that learns from rewards says besides its recipe's options."""

    sweep: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...],
        Field(
            description="Weights of the first of two rewards, the other getting the rest: a policy"
            " for each, as in 0 0.25 0.5 0.75 1, in one job; empty: one policy"
        ),
    ] = ()

    @field_validator("sweep")
    @classmethod
    def _each_once(cls, sweep: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(sweep)) < len(sweep):
            raise ValueError("a weight is there twice")
        return sweep

    @model_validator(mode="after")
    def _between_two(self) -> Self:
        rewards = getattr(self, "rewards", {})
        if self.sweep and len(rewards) != 2:
            raise ValueError(
                f"a sweep is between two rewards, and {len(rewards)} are named: name two, or leave"
                " sweep empty"
            )
        return self

    def parts(self) -> list[Self]:
        """The configuration of each policy of a sweep."""
        first, second = getattr(self, "rewards", {})
        return [
            self.model_copy(
                update={
                    "rewards": {first: weight, second: 1 - weight},
                    "name": f"{self.name}-{weight:g}",
                    "sweep": (),
                }
            )
            for weight in self.sweep
        ]


class Answering(SamplingConfig):
    """Who answers prompts, and how those are asked who are elsewhere."""

    policies: Annotated[
        tuple[str, ...],
        Field(
            min_length=1,
            description="Who answers: models, folders, Hugging Face names, or"
            " openai:NAME@http://host:port/v1",
        ),
    ]
    key_variable: Annotated[
        str,
        Field(
            pattern=r"^([A-Z][A-Z0-9_]*_KEYS?)?$",
            description="Variable of the environment with the endpoints' key, or with HOST=KEY",
        ),
    ] = ""
    concurrency: Annotated[
        int, Field(ge=1, le=64, description="Requests to an endpoint at a time")
    ] = 4
    requests_per_minute: Annotated[
        int | None,
        Field(ge=1, le=100_000, description="Requests to an endpoint in a minute; empty: no limit"),
    ] = None
    retries: Annotated[
        int,
        Field(
            ge=0,
            le=20,
            description="How often a request to an endpoint is tried again, with growing pauses;"
            " 6 take a minute",
        ),
    ] = 6

    @field_validator("policies")
    @classmethod
    def _are_arms(cls, policies: tuple[str, ...]) -> tuple[str, ...]:
        labels = [read_arm(written).label for written in policies]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"each needs a name of its own, and {', '.join(twice)} is there twice")
        return policies


class SampleJob(Answering):
    """Let policies answer prompts."""

    prompts: Annotated[
        tuple[tuple[Turn, ...], ...],
        Field(description="Conversations to answer; none takes the project's"),
    ] = ()
    split: Annotated[
        Literal["train", "validation", "test", "all"],
        Field(description="Which of the project's prompts"),
    ] = "all"
    limit: Annotated[
        int | None, Field(ge=1, description="How many of the project's prompts; empty takes all")
    ] = None
    keep: Annotated[
        bool, Field(description="Add the answers to the project, so that people can judge them")
    ] = False


class StudyJob(Participation, Answering):
    """Let policies answer held-out prompts, and open a blinded study of the answers."""

    title: Annotated[str, Field(min_length=1, max_length=200, description="Name of the study")]
    policies: Annotated[
        tuple[str, ...],
        Field(
            min_length=1,
            max_length=20,
            description="The policy that the study asks about, and those it is held against:"
            " models, Hugging Face names, openai:NAME@http://host:port/v1; what a policy grew from"
            " is added",
        ),
    ]
    without_start: Annotated[
        str,
        Field(
            max_length=500,
            description="Why what a policy grew from takes no part, where it does not; the result"
            " tells it",
        ),
    ] = ""
    question: Annotated[
        str,
        Field(max_length=LONGEST_QUESTION, description="What participants are asked, in one line"),
    ] = QUESTION
    form: Annotated[
        Form,
        Field(
            description="What a task is: two answers, those of all arms to rank, two with ratings"
        ),
    ] = "pair"
    prompts: Annotated[
        str,
        Field(
            pattern=r"^([0-9a-f]{16})?$", description="Imported prompts; empty: the held-out ones"
        ),
    ] = ""
    limit: Annotated[
        int | None, Field(ge=2, description="How many of the prompts; empty takes all")
    ] = None
    overlap: Annotated[
        int, Field(ge=1, le=1000, description="How many participants judge each prompt")
    ] = 3
    revealing: Annotated[
        WhenRevealing,
        Field(
            description="Answers that tell who wrote them: flag shows and counts them, redact shows"
            " them without the name, refuse opens no study"
        ),
    ] = "flag"


class AblationJob(Ablated):
    """Compare kinds of reward model on one snapshot."""

    snapshot: Annotated[
        str, Field(min_length=1, description="Snapshot to learn from and to judge by, by its id")
    ]


class ExportJob(ExportConfig):
    """Write a model for other programs, into the data directory or to the Hub."""

    model: Annotated[str, Field(min_length=1, description="A registered model, by name or id")]
    push_to: Annotated[
        str,
        Field(
            max_length=200,
            description="OWNER/NAME of a private repository on the Hub; empty: a folder here",
        ),
    ] = ""


class PushJob(RecipeConfig):
    """Bring a project's open tasks to Argilla."""

    workspace: Annotated[
        str,
        Field(
            max_length=200,
            description="Where to, made when it is not there; empty: as before, or tandem",
        ),
    ] = ""
    suggest: Annotated[
        str,
        Field(
            max_length=500,
            description="A reward model whose preference annotators see as a suggestion",
        ),
    ] = ""


class PullJob(RecipeConfig):
    """Bring back what people said in Argilla."""


ARGILLA: dict[str, type[RecipeConfig]] = {"push": PushJob, "pull": PullJob}
KINDS = ("reward", "policy", "ablation", "sample", "export", "study", "argilla")


def job_config(kind: str, recipe: str) -> type[RecipeConfig]:
    """The configuration of a job: what its kind asks and what its recipe asks, in one class.

    Raises:
        NotFound: There is no such kind or recipe; names the nearest.
    """
    base: tuple[type[RecipeConfig], ...]
    match kind:
        case "reward":
            base = (SnapshotJob, find(REWARDS, "reward recipe", recipe).config)
        case "policy":
            policy = find(POLICIES, "policy recipe", recipe)
            own = (PolicyJob, SnapshotJob) if policy.learns_from == "snapshot" else (PromptsJob,)
            base = (*own, policy.config)
        case "ablation":
            return AblationJob
        case "sample":
            return SampleJob
        case "argilla" if recipe in ARGILLA:
            return ARGILLA[recipe]
        case "export":
            return ExportJob
        case "study":
            return StudyJob
        case _:
            raise NotFound("kind of job", kind, KINDS)
    return create_model(f"{kind}_{recipe}_job", __base__=base)
