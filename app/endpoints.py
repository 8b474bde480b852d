"""Answers of a model behind an OpenAI-compatible address: vLLM, llama.cpp, Ollama, OpenAI.

A key comes from the environment alone, is sent to its own host and to no other, and is kept
nowhere. The variable holds the key, or HOST=KEY with spaces between several hosts. In the
environment of a worker it must name the host: whoever may open a study may name any address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.arms import EndpointArm
from storage.errors import InvalidOption, StorageFailed
from storage.recipes import Progress
from storage.records import Message

if TYPE_CHECKING:
    from openai import OpenAI

    from training.sampling_config import SamplingConfig

PATIENCE = 300.0
"""Seconds that one try of one answer may take between two signs of life."""
NO_KEY = "none"
"""Sent where there is no key: local servers ask for none, and the client sends something always."""
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_KEYS?")
"""What a variable with keys may be called, so that none of our own settings can be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How an endpoint is asked."""

    concurrency: int
    """Requests at a time."""
    retries: int
    """Tries after the first, with growing pauses, where the endpoint is busy or out of reach."""


def key_for(
    arm: EndpointArm, variable: str, environment: Mapping[str, str], *, bound: bool
) -> str | None:
    """The key to show at an endpoint; None where no variable is named or it names other hosts.

    Args:
        arm: Where it is to be shown.
        variable: Name of the variable; empty for none.
        environment: Where it is read.
        bound: Take a key only with its host.

    Raises:
        InvalidOption: There is no such variable, or it holds a key without a host where that is
            needed. No part of the value is told.
    """
    if not variable:
        return None
    said = environment.get(variable, "").split()
    if not said:
        raise InvalidOption("key_variable", "the environment has no such variable", variable)
    parts = [part.partition("=") for part in said]
    hosts = {host: key for host, _, key in parts}
    named = {host.lower(): key for host, key in hosts.items() if key}
    if arm.host in named:
        return named[arm.host]
    if all(_is_host(host) and key for host, key in hosts.items()):
        return None
    if bound or len(said) > 1:
        raise InvalidOption(
            "key_variable",
            f"here it needs to say which host a key is for, as in {arm.host}=KEY, so that no study"
            " can send it elsewhere",
            variable,
        )
    return said[0]


def _is_host(text: str) -> bool:
    """Keys have no dots and no ports; a host has one of them, or is this machine."""
    return bool(re.fullmatch(r"[\w.-]+(:\d+)?|\[[\da-fA-F:]+\](:\d+)?", text)) and (
        "." in text or ":" in text or text == "localhost"
    )


def endpoint_answers(
    arm: EndpointArm,
    prompts: Sequence[Sequence[Message]],
    config: SamplingConfig,
    *,
    asking: Asking,
    key: str | None,
    progress: Progress,
) -> list[str]:
    """The model's answer to each prompt, as it came: an empty answer is an empty text.

    Args:
        arm: Whom to ask.
        prompts: The conversations, P of them.
        config: Temperature, top_p, seed and the longest answer in tokens.
        asking: How many at a time, and how often again.
        key: What to show there.
        progress: Told after each answer.

    Returns:
        P answers.

    Raises:
        StorageFailed: It cannot be reached, refuses, or answers with something else; says what.
        JobCancelled: A person stopped the job; what was not asked yet is not asked any more.
    """
    client = _client(arm, asking, key)
    answers = [""] * len(prompts)
    pool = ThreadPoolExecutor(asking.concurrency)
    try:
        asked = {
            pool.submit(_answer, client, arm, prompt, config): place
            for place, prompt in enumerate(prompts)
        }
        for done, one in enumerate(as_completed(asked), start=1):
            answers[asked[one]] = one.result()
            progress.report(done, total=len(prompts), message=f"{arm.label} answers")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        client.close()
    return answers


def _client(arm: EndpointArm, asking: Asking, key: str | None) -> OpenAI:
    from openai import DefaultHttpxClient, OpenAI  # takes a second, which others need not wait

    client = OpenAI(
        base_url=arm.address,
        api_key=key or NO_KEY,
        max_retries=asking.retries,
        timeout=PATIENCE,
        # Where an address leads to is not where a researcher sent us, nor where the key belongs.
        http_client=DefaultHttpxClient(follow_redirects=False),
    )
    # Read from the environment by the client itself; they are nobody's business but OpenAI's.
    client.organization = client.project = None
    return client


def _answer(
    client: OpenAI, arm: EndpointArm, prompt: Sequence[Message], config: SamplingConfig
) -> str:
    from openai import OpenAIError

    try:
        reply = client.chat.completions.create(
            model=arm.label,
            messages=[{"role": turn["role"], "content": turn["content"]} for turn in prompt],  # type: ignore[misc]
            max_tokens=config.max_new_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=config.seed,
        )
        text = reply.choices[0].message.content
    except OpenAIError as error:
        raise StorageFailed(f"{arm.label} at {arm.address} {_problem(error)}.") from error
    except (AttributeError, IndexError, TypeError) as error:
        raise StorageFailed(
            f"{arm.label} at {arm.address} answered with something else than a chat completion."
        ) from error
    # A model may write NUL, which no database keeps.
    return (text or "").replace("\0", "\ufffd")


def _problem(error: Exception) -> str:
    """What went wrong, without what the endpoint says of it, which may repeat the key."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    if isinstance(error, APITimeoutError):
        return f"gave no answer within {PATIENCE:g} s"
    if isinstance(error, APIConnectionError):
        return "cannot be reached; check the address, and that the server is running"
    if isinstance(error, APIStatusError):
        hint = {
            401: " (it wants a key: name the variable that holds it as key_variable)",
            403: " (the key may not ask this model)",
            404: " (no such model or address there)",
            429: " (too many requests; lower concurrency or wait)",
        }.get(error.status_code, "")
        return f"refused with status {error.status_code}{hint}"
    return f"answered with something else than a chat completion ({type(error).__name__})"
