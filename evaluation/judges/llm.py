"""A judge that is a language model behind any OpenAI-compatible address, asked in both orders.

An answer wins only if it is preferred in both orders; other contradictions are ties that are marked
as inconsistent (Zheng et al. 2023, arXiv:2306.05685, section 3.4).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evaluation.endpoint import Endpoint
from evaluation.endpoint_keys import DEFAULT_KEY_VARIABLE
from evaluation.judges.pair_prompt import Verdict, pair_question, verdict
from evaluation.judges.voting import Abstention, Ballot, Judge, Spent
from feedback.assignment import ShownTask
from storage.errors import InvalidData, InvalidOption, ServiceFailed
from storage.recipes import RecipeConfig
from storage.records import Kind, Message

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

_CHOICES: dict[Verdict, int] = {"A": -1, "B": 1, "C": 0}


class LLMConfig(RecipeConfig):
    """Ask a language model which answer is better, in both orders, at temperature 0."""

    base_url: Annotated[
        str,
        Field(
            min_length=1, description="OpenAI-compatible address, as in http://localhost:8000/v1"
        ),
    ]
    llm: Annotated[str, Field(min_length=1, max_length=200, description="Name of the model there")]
    key_variable: Annotated[
        str, Field(description="Environment variable that holds the key; a local server needs none")
    ] = DEFAULT_KEY_VARIABLE
    price_in: Annotated[
        float | None, Field(ge=0, description="Price of a million tokens read; needs --price-out")
    ] = None
    price_out: Annotated[
        float | None, Field(ge=0, description="Price of a million tokens written")
    ] = None
    concurrency: Annotated[int, Field(ge=1, le=256, description="Requests at once")] = 8
    retries: Annotated[
        int, Field(ge=0, le=20, description="Further tries of a request that fails")
    ] = 5
    timeout: Annotated[float, Field(gt=0, le=3600, description="Seconds that one try may take")] = (
        120.0
    )
    max_tokens: Annotated[int, Field(ge=16, description="Length of a reply in tokens, at most")] = (
        2048
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one request."""

    verdict: Verdict | None
    problem: str = ""
    """Why there is no verdict, in words."""
    failed: bool = False
    """True when nothing came, or a refusal."""
    unreachable: bool = False
    """True when the next request will hardly fare better."""
    spent: Spent = field(default_factory=Spent)


def llm_judge(config: LLMConfig) -> Judge:
    """A language model, ready to vote. Whether it answers is seen when it is asked.

    Raises:
        InvalidOption: The address or the key's variable is not what it should be, or one of the two
            prices is missing.
    """
    if (config.price_in is None) != (config.price_out is None):
        raise InvalidOption(
            "price_in",
            "the cost needs both prices, --price-in and --price-out; give both or none",
            config.price_in,
        )
    endpoint = Endpoint.of(
        config.base_url, key_variable=config.key_variable, environment=os.environ
    )
    client = endpoint.client(timeout=config.timeout, retries=config.retries)

    def ballots(tasks: Sequence[ShownTask]) -> Iterator[Ballot | Abstention]:
        questions = [question for task in tasks for question in both_orders(task)]
        lost: list[Reply] = []
        pool = ThreadPoolExecutor(config.concurrency)
        try:
            replies = pool.map(lambda one: _ask(client, endpoint, config, one), questions)
            # Twice the same iterator: two replies for each task.
            for forwards, backwards in zip(replies, replies, strict=True):
                lost += [one for one in (forwards, backwards) if one.unreachable]
                yield joined(forwards, backwards)
        except BaseException:
            # Nobody waits for the others any more; those between two tries shall not try again.
            client.close()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if len(lost) == len(questions) and len(tasks) > 1:
            # Nobody is there. To go on would take hours and end with nothing.
            raise ServiceFailed(
                f"None of {len(lost)} requests was answered. {lost[-1].problem} The votes given"
                " before are kept; run the judge again to go on."
            )

    return Judge(
        name=f"judge: LLM {config.llm} at {endpoint.host}",
        kind=Kind.PROGRAM,
        ballots=ballots,
        # Four rounds of requests: a slow model is done with them before the leases run out.
        at_once=2 * config.concurrency,
    )


def both_orders(task: ShownTask) -> tuple[list[Message], list[Message]]:
    """The two requests for a task: as it stands on the screen, and with the answers exchanged.

    They hold the prompt and the two texts. No identifier of anything is sent.

    Raises:
        InvalidData: The task does not show two answers.
    """
    if len(task.responses) != 2:
        raise InvalidData(
            f"An LLM judge compares two answers; this task shows {len(task.responses)}."
        )
    left, right = task.responses
    return pair_question(task.prompt, left, right), pair_question(task.prompt, right, left)


def joined(forwards: Reply, backwards: Reply) -> Ballot | Abstention:
    """What two replies come to: the verdict they share, an inconsistent tie, or an abstention.

    Args:
        forwards: With the left answer first.
        backwards: With the right answer first.
    """
    spent = forwards.spent + backwards.spent
    if forwards.verdict is None or backwards.verdict is None:
        without = forwards if forwards.verdict is None else backwards
        failed = forwards.failed or backwards.failed
        return Abstention(
            why="failed" if failed else "unparsable",
            detail=backwards.problem if backwards.failed else without.problem,
            spent=spent,
        )
    choice, turned = _CHOICES[forwards.verdict], -_CHOICES[backwards.verdict]
    if choice != turned:
        return Ballot(choice=0, inconsistent=True, spent=spent)
    return Ballot(choice=choice, spent=spent)


def _ask(client: OpenAI, endpoint: Endpoint, config: LLMConfig, question: list[Message]) -> Reply:
    """One request, tried again as often as the client is told to.

    Raises:
        NotAllowed: The service does not accept the key.
        ServiceFailed: It does not know the model.
    """
    from openai import OpenAIError  # noqa: PLC0415 - half a second to import

    try:
        completion = client.chat.completions.create(
            model=config.llm,
            messages=question,  # type: ignore[arg-type]
            temperature=0,
            max_tokens=config.max_tokens,
        )
    except OpenAIError as error:
        refusal = endpoint.refusal(error, llm=config.llm)
        if refusal is not None:
            raise refusal from error
        problem = f"{endpoint.host} did not answer{endpoint.quoted(error)}."
        down = endpoint.is_down(error)
        return Reply(verdict=None, problem=problem, failed=True, unreachable=down)
    except ValueError:
        completion = None  # it promised JSON and sent something else
    if completion is None or not getattr(completion, "choices", None):
        problem = (
            f"{endpoint.host} answered with something else than a chat completion; check"
            " --base-url, which mostly ends in /v1."
        )
        return Reply(verdict=None, problem=problem, failed=True, unreachable=True)
    return _read(completion, config)


def _read(completion: ChatCompletion, config: LLMConfig) -> Reply:
    """What a reply says. Servers that only resemble OpenAI's may leave anything out."""
    first = completion.choices[0]
    content = first.message.content if first.message else ""
    text = content if isinstance(content, str) else ""
    # Cut off before its end: what stands last is not its last word.
    is_cut = first.finish_reason == "length"
    found = None if is_cut else verdict(text)
    end = " ".join(text.split())[-80:]
    problem = ""
    if is_cut:
        problem = f"A reply was cut off after {config.max_tokens} tokens; --max-tokens allows more."
    elif found is None:
        problem = f"A reply ends with {end!r} instead of a verdict." if end else "A reply is empty."
    return Reply(verdict=found, problem=problem, spent=_spent(completion, config, found))


def _spent(completion: ChatCompletion, config: LLMConfig, found: Verdict | None) -> Spent:
    usage = getattr(completion, "usage", None)
    read = getattr(usage, "prompt_tokens", None)
    written = getattr(usage, "completion_tokens", None)
    parsed = int(found is not None)
    if not (isinstance(read, int) and isinstance(written, int)):
        return Spent(replies=1, parsed=parsed, untold=1, cost=None)
    cost = None
    if config.price_in is not None and config.price_out is not None:
        cost = (read * config.price_in + written * config.price_out) / 1e6
    return Spent(replies=1, parsed=parsed, tokens=read + written, cost=cost)
