"""Who answers prompts, as one option writes it: a model, imported answers, or an endpoint.

* `ppo-1`, `HuggingFaceTB/SmolLM2-135M-Instruct`, a folder: a policy, which answers here
* `answers:NAME@0123456789abcdef`: answers that were imported from a file (see `app.answer_files`);
  on the command line `file:PATH` imports one and then stands for this
* `openai:NAME@https://host/v1`: the model NAME behind an OpenAI-compatible address

What is kept with the job names neither files of the server nor keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from evaluation.endpoint import host_of
from storage.errors import InvalidOption

FILE = "file:"
ANSWERS, ENDPOINT = "answers:", "openai:"
LONGEST_LABEL = 500

_ANSWERS = re.compile(r"answers:(?P<label>.+)@(?P<digest>[0-9a-f]{16})")
_ENDPOINT = re.compile(r"openai:(?P<label>.+)@(?P<address>https?://.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArm:
    """A policy that answers here."""

    label: str
    """A registered model's name or id, a folder, or the name of a Hugging Face model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersArm:
    """Answers that were imported from a file."""

    label: str
    """What the file says who wrote them, or its name."""
    digest: str
    """Of the answers, by which they are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointArm:
    """A model behind an OpenAI-compatible address."""

    label: str
    """The model's name there."""
    address: str
    """What stands before /chat/completions."""

    @property
    def host(self) -> str:
        """The host, with its port where one is named."""
        return urlsplit(self.address).netloc.lower()


Arm = ModelArm | AnswersArm | EndpointArm


def read_arm(written: str) -> Arm:
    """Who answers, by what an option says.

    Raises:
        InvalidOption: It is written in none of the ways above, or its address is none or holds a
            password.
    """
    if written.startswith(FILE):
        raise InvalidOption(
            "policies",
            "a file is imported before it can take part; name it on the command line, or upload it"
            " on the page",
            written,
        )
    arm: Arm
    if written.startswith(ANSWERS):
        found = _ANSWERS.fullmatch(written)
        if found is None:
            raise InvalidOption("policies", "imported answers are answers:NAME@DIGEST", written)
        arm = AnswersArm(**found.groupdict())
    elif written.startswith(ENDPOINT):
        found = _ENDPOINT.fullmatch(written)
        if found is None:
            raise InvalidOption(
                "policies", "an endpoint is written openai:NAME@http://host:port/v1", written
            )
        host_of(found["address"], option="policies")
        arm = EndpointArm(label=found["label"], address=found["address"].rstrip("/"))
    else:
        arm = ModelArm(label=written)
    label = arm.label
    if not label.strip() or not label.isprintable() or len(label) > LONGEST_LABEL:
        raise InvalidOption(
            "policies", f"a name has 1 to {LONGEST_LABEL} printable characters", label
        )
    return arm
