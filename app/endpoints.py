"""Answers of a model behind an OpenAI-compatible address: vLLM, llama.cpp, Ollama, OpenAI.

Several requests run at a time, no faster than agreed. What passes by itself is tried again after
growing pauses, or when the server says. Each answer is kept when it arrives (`app.kept_answers`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from app.arms import EndpointArm
from app.given import FILTERED, Given
from app.kept_answers import KeptAnswers
from app.pace import Pace, Stopped
from evaluation.endpoint import Endpoint
from storage.errors import ServiceFailed
from storage.recipes import Progress
from storage.records import Message

if TYPE_CHECKING:
    from openai import OpenAI, OpenAIError

    from training.sampling_config import SamplingConfig

PATIENCE = 300.0
"""Seconds that one try of one answer may take between two signs of life."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries, however many there were."""
LONGEST_REST = 600.0
"""Seconds that a server may ask for; for longer, nobody wants a job to sit there."""
LOOK_EVERY = 1.0
"""Seconds between two looks at whether the job is to stop."""
QUOTED = 80
"""Characters of a prompt that a refusal quotes."""
PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which to try again."""
BUSY = frozenset({429, 503})
"""Statuses after which every request waits, and not only the one that was refused."""

MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
"""What the option with the longest answer is called: by all, and by OpenAI's newer models."""

_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What a model may write and no database keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How an endpoint is asked."""

    concurrency: int
    """Requests at a time."""
    retries: int
    """Tries after the first, where the endpoint is busy or out of reach."""
    per_minute: int | None = None
    """Requests in a minute, tries included; None for as fast as they come."""
    first_pause: float = 1.0
    """Seconds before the second try; before each further one it is twice as long."""


def endpoint_answers(
    arm: EndpointArm,
    conversations: Sequence[Sequence[Message]],
    config: SamplingConfig,
    *,
    endpoint: Endpoint,
    asking: Asking,
    kept: KeptAnswers,
    progress: Progress,
) -> list[Given]:
    """The model's answer to each conversation, as it came; the same conversation gets the same.

    Args:
        arm: Whom to ask.
        conversations: P of them.
        config: Temperature, top_p, seed and the longest answer in tokens.
        endpoint: Where, and with which key.
        asking: How many at a time, and how often again.
        kept: Answers that are there already; those that come are added.
        progress: Told after each answer.

    Returns:
        P answers. An empty or filtered one is an answer, too.

    Raises:
        ServiceFailed: It cannot be reached, refuses, or answers with something else; says what, and
            that what came is kept.
        StorageFailed: An answer cannot be kept.
        JobCancelled: A person stopped the job; what was not asked yet is not asked any more.
    """
    missing, total = kept.missing(conversations), len(conversations)
    done = total - len(missing)
    if len(kept):
        progress.log(f"{arm.label}: {done} of {total} answers were kept before.")
    progress.report(done, total=total)
    asker = _Asker(arm, config, endpoint=endpoint, asking=asking, kept=kept)
    pool = ThreadPoolExecutor(asking.concurrency)
    todo = iter(missing)
    try:
        running = {pool.submit(asker.ask, one) for one in islice(todo, asking.concurrency)}
        while running:
            over, running = wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            for one in over:
                one.result()
            done += len(over)
            running |= {pool.submit(asker.ask, one) for one in islice(todo, len(over))}
            progress.report(done, total=total)
    except ServiceFailed as error:
        asker.stop()
        pool.shutdown(wait=True)  # what is under way is paid for
        raise ServiceFailed(
            f"{error} {total - len(kept.missing(conversations))} of {total} answers are kept; start"
            " the same again, and only the others are asked for."
        ) from error
    finally:
        asker.stop()
        pool.shutdown(wait=True)
        asker.client.close()
    return [kept.to(one) for one in conversations]


class _Asker:
    """Asks one endpoint, from several threads."""

    def __init__(
        self,
        arm: EndpointArm,
        config: SamplingConfig,
        *,
        endpoint: Endpoint,
        asking: Asking,
        kept: KeptAnswers,
    ) -> None:
        self._arm = arm
        self._config = config
        self._asking = asking
        self._kept = kept
        self._pace = Pace(asking.per_minute)
        self._longest = MAX_TOKENS
        # The client's own tries would count in no pace.
        self.client: OpenAI = endpoint.client(timeout=PATIENCE, retries=0)

    def ask(self, conversation: Sequence[Message]) -> None:
        """Get the answer, after as many tries as it takes, and keep it.

        Raises:
            ServiceFailed: There is none; says why.
            StorageFailed: It cannot be kept.
        """
        from openai import OpenAIError

        tries = self._asking.retries
        try:
            while True:
                self._pace.take()
                longest = self._longest
                try:
                    answer = self._answer(conversation, longest)
                    break
                except OpenAIError as error:
                    if longest == MAX_TOKENS and _is_spelling(error):
                        self._longest = MAX_COMPLETION_TOKENS
                        continue
                    if getattr(error, "code", None) == FILTERED:
                        answer = Given(text="", ended=FILTERED)
                        break
                    self._rest(error, tries, conversation)
                    tries -= 1
        except Stopped:
            return
        self._kept.keep(conversation, answer)

    def stop(self) -> None:
        """Ask no more; what is under way is waited for."""
        self._pace.stop()

    def _answer(self, conversation: Sequence[Message], longest: str) -> Given:
        options: dict[str, Any] = {longest: self._config.max_new_tokens}
        try:
            reply = self.client.chat.completions.create(
                model=self._arm.label,
                messages=[{"role": one["role"], "content": one["content"]} for one in conversation],  # type: ignore[misc]
                temperature=self._config.temperature,
                top_p=self._config.top_p,
                seed=self._config.seed,
                **options,
            )
            return _given(reply)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise self._failed("answered with something else than a chat completion") from error

    def _rest(self, error: OpenAIError, tries: int, conversation: Sequence[Message]) -> None:
        """Wait until it may be tried again.

        Raises:
            ServiceFailed: It would be in vain.
            Stopped: Nobody waits any more.
        """
        from openai import APIConnectionError, APIStatusError

        status = error.status_code if isinstance(error, APIStatusError) else 0
        passes = isinstance(error, APIConnectionError) or status in PASSING or status >= 500
        if not passes:
            quoted = str(conversation[-1]["content"])[:QUOTED]
            raise self._failed(f"{_problem(error)}, asked {quoted!r}") from error
        if not tries:
            raise self._failed(_problem(error)) from error
        asked_for = _retry_after(error) if isinstance(error, APIStatusError) else None
        if asked_for is not None and asked_for > LONGEST_REST:
            raise self._failed(
                f"{_problem(error)} and asks to come back in {asked_for / 60:.0f} minutes"
            ) from error
        before = self._asking.retries - tries
        pause = min(self._asking.first_pause * 2.0**before, LONGEST_PAUSE)
        seconds = pause if asked_for is None else asked_for
        if status in BUSY:
            self._pace.hold(seconds)
        else:
            self._pace.rest(seconds)

    def _failed(self, problem: str) -> ServiceFailed:
        return ServiceFailed(f"{self._arm.label} at {self._arm.address} {problem}.")


def _given(reply: Any) -> Given:
    """What a reply says. Servers that only resemble OpenAI's may leave almost anything out.

    Raises:
        AttributeError, IndexError, TypeError: It is no chat completion.
    """
    first = reply.choices[0]
    text = first.message.content
    if not isinstance(text, str | None):
        raise TypeError(type(text).__name__)
    ended = getattr(first, "finish_reason", None)
    if not text and getattr(first.message, "refusal", None):
        ended = FILTERED
    tokens = getattr(getattr(reply, "usage", None), "completion_tokens", None)
    return Given(
        text=_UNKEPT.sub("\ufffd", text or ""),
        tokens=tokens if isinstance(tokens, int) else None,
        ended=ended if isinstance(ended, str) else "",
    )


def _is_spelling(error: OpenAIError) -> bool:
    """Whether only the name of an option is wrong: OpenAI's newer models have another one."""
    said = getattr(error, "code", None), getattr(error, "param", None)
    return said == ("unsupported_parameter", MAX_TOKENS)


def _retry_after(error: Any) -> float | None:
    """Seconds that a refusal asks to wait; None where it says nothing that can be read."""
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None


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
            429: " (too many requests; lower concurrency, or set requests_per_minute)",
        }.get(error.status_code, "")
        return f"refused with status {error.status_code}{hint}"
    return f"answered with something else than a chat completion ({type(error).__name__})"
