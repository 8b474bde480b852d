"""Let the policy answer prompts, so that it can learn from what its answers earn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.records import Message
from training.batching import by_length
from training.generation import draws, end_tokens, generate
from training.processes import Processes
from training.sampling import Answer, answer_of

# Keep the random numbers for one purpose apart from those for another.
FOR_ANSWERS, FOR_ORDER, FOR_MINIBATCHES = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """E prompts, and what the policy answered to them."""

    conversations: list[tuple[Sequence[Message], str]]
    """Prompt and answer as text, for reward models."""
    prompts: list[list[int]]
    """Token ids up to where the answer begins."""
    responses: list[list[int]]
    """Token ids of the answers, at least one each, the end token included where there is one."""
    answers: list[Answer]


class Generator(Protocol):
    """What continues token ids as a policy would."""

    def generate(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        *,
        keys: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float,
        ends: Sequence[int],
    ) -> list[list[int]]:
        """Continue every prompt until it ends itself or is `max_new_tokens` long.

        Args:
            model: The policy in evaluation mode, any adapter folded into its weights; the adapter's
                own weights are still inside.
            prompts: Token ids, N rows.
            keys: What settles each row's random numbers.
            max_new_tokens: Of a continuation, its end token included.
            temperature: The logits are divided by it. Nothing else: no top-p, no top-k, because the
                probabilities learned from are those of the full softmax.
            ends: The tokens that end a continuation.

        Returns:
            N rows of new token ids, at least one each, the end token last where there is one.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class InThisProcess:
    """Written by the model that learns itself, batch by batch of rows that are about as long."""

    batch_tokens: int
    """Tokens per pass, padding included."""
    pad: int
    """A token id to fill up with."""

    def generate(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        *,
        keys: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float,
        ends: Sequence[int],
    ) -> list[list[int]]:
        """See `Generator`."""
        numbers = draws(keys, max_new_tokens)
        responses: dict[int, list[int]] = {}
        lengths = [len(prompt) + max_new_tokens for prompt in prompts]
        for batch in by_length(lengths, self.batch_tokens):
            said = generate(
                model,
                [prompts[row] for row in batch],
                numbers=numbers[batch],
                temperature=temperature,
                pad=self.pad,
                ends=ends,
            )
            responses |= zip(batch, said, strict=True)
        return [responses[row] for row in range(len(prompts))]


class Writer:
    """Writes answers to the prompts of a run; the same step always gets the same random numbers."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Sequence[Message]],
        encoded: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        temperature: float,
        batch_tokens: int,
        seed: int,
        processes: Processes | None = None,
        generator: Generator | None = None,
    ) -> None:
        """Write up to `max_new_tokens` for prompts, given as messages and as token ids alike.

        Several processes write a part each, and all of them get all answers. Without a generator
        the model itself writes, `batch_tokens` at once.
        """
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.encoded = encoded
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.generator = generator or InThisProcess(
            batch_tokens=batch_tokens, pad=tokenizer.pad_token_id
        )
        self.seed = seed
        self.processes = processes or Processes()

    def write(self, model: PreTrainedModel, places: Sequence[int], *, step: int) -> Rollout:
        """Answer the prompts at `places`; step and position in the list settle the random numbers.

        Raises:
            TrainingFailed: The generator has stopped.
        """
        prompts = [list(self.encoded[place]) for place in places]
        ends = end_tokens(model, self.tokenizer)

        def written(rows: Sequence[int]) -> list[list[int]]:
            return self.generator.generate(
                model,
                [prompts[row] for row in rows],
                keys=[(FOR_ANSWERS, self.seed, step, row) for row in rows],
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                ends=ends,
            )

        responses = self.processes.in_parts(range(len(places)), written)
        answers = [answer_of(response, self.tokenizer, ends) for response in responses]
        return Rollout(
            conversations=[
                (self.prompts[place], answer.text)
                for place, answer in zip(places, answers, strict=True)
            ],
            prompts=prompts,
            responses=responses,
            answers=answers,
        )


def prompts_of_step(step: int, *, episodes: int, prompts: int, seed: int) -> list[int]:
    """Which prompts a step answers: pass after pass over all, each pass in an order of its own.

    A function of the step alone, so that a resumed run takes up the prompts where it stood.
    """
    places = np.arange(step * episodes, (step + 1) * episodes)
    orders = {
        turn: np.random.default_rng([FOR_ORDER, seed, turn]).permutation(prompts)
        for turn in np.unique(places // prompts).tolist()
    }
    return [int(orders[place // prompts][place % prompts]) for place in places.tolist()]
