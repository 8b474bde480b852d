"""A policy at work: open one by name or folder, and let it answer prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from storage.errors import InvalidData, InvalidOption
from storage.recipes import Progress
from storage.records import Message
from training.attention import look_in_squares
from training.backbone import chat_ids, load_causal, load_tokenizer, pick_device
from training.generation import draws, end_tokens, generate
from training.places import resolve
from training.quiet import quietly
from training.sampling_config import SamplingConfig


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy wrote."""

    text: str
    tokens: int
    """Its length, the end token included."""
    finished: bool
    """False when it was cut at `max_new_tokens`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A causal model with any adapter merged into its weights, and where it came from."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    base: str
    """Name of the plain model underneath; the name itself when there is no adapter."""
    description: dict[str, Any]
    """Its tandem.json; empty for models that were not made here."""
    is_policy: bool
    """False for a plain base model: one without an adapter that was not made here."""


def open_policy(name: str, *, device: str = "auto", dtype: torch.dtype | None = None) -> Opened:
    """Open the name of a base model, a folder with whole weights, or a folder with a PEFT adapter.

    Raises:
        ModelNotFound: It is in none of the places where models are looked for.
        InvalidData: The folder cannot be read.
        InvalidOption: It is a reward model.
    """
    folder = Path(resolve(name))
    description = _description(folder)
    if description.get("purpose", "policy") != "policy":
        raise InvalidOption(
            "policy", f"this is a {description['purpose']} model, not a policy", name
        )
    settings = folder / "adapter_config.json"
    adapted = settings.is_file()
    base = str(_read_json(settings)["base_model_name_or_path"]) if adapted else name
    model = load_causal(base, device=pick_device(device), dtype=dtype)
    if adapted:
        try:
            with quietly():
                model = PeftModel.from_pretrained(model, folder).merge_and_unload()
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InvalidData(
                f"The adapter in {name!r} does not fit its base model {base!r}: {reason}."
            ) from error
    own_tokenizer = (folder / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(name if own_tokenizer else base)
    return Opened(
        model=model.eval(),
        tokenizer=tokenizer,
        base=base,
        description=description,
        is_policy=adapted or bool(description),
    )


class Policy:
    """A language model that answers prompts."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model
        self.tokenizer = tokenizer
        look_in_squares(model)
        self.ends = end_tokens(model, tokenizer)

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> Policy:
        """Open a policy by name or folder; see `open_policy`."""
        opened = open_policy(str(name_or_folder), device=device, dtype=dtype)
        return cls(opened.model, opened.tokenizer)

    def answer(
        self,
        prompts: Sequence[Sequence[Message]],
        config: SamplingConfig,
        *,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """One answer to each prompt, in the order of the prompts.

        What a prompt gets depends on the seed and on its place in the list, not on the batch size.

        Raises:
            InvalidData: A prompt does not fit into the model's context.
            InvalidOption: No prompt fits, because the answers may be too long.
        """
        encoded = encode_prompts(self.model, self.tokenizer, prompts, config.max_new_tokens)
        answers: dict[int, Answer] = {}
        shortest_first = sorted(range(len(encoded)), key=lambda place: len(encoded[place]))
        for start in range(0, len(encoded), config.batch_size):
            places = shortest_first[start : start + config.batch_size]
            numbers = draws([(config.seed, place) for place in places], config.max_new_tokens)
            rows = generate(
                self.model,
                [encoded[place] for place in places],
                numbers=numbers,
                temperature=config.temperature,
                top_p=config.top_p,
                pad=self.tokenizer.pad_token_id,
                ends=self.ends,
            )
            for place, row in zip(places, rows, strict=True):
                answers[place] = answer_of(row, self.tokenizer, self.ends)
            if progress is not None:
                progress.report(len(answers), total=len(encoded))
        return [answers[place] for place in range(len(encoded))]


def answer_of(
    row: Sequence[int], tokenizer: PreTrainedTokenizerBase, ends: Sequence[int]
) -> Answer:
    """The answer that token ids spell, without special tokens."""
    text = tokenizer.decode(list(row), skip_special_tokens=True)
    return Answer(text=str(text), tokens=len(row), finished=row[-1] in ends)


def encode_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    max_new_tokens: int,
) -> list[list[int]]:
    """Token ids of every prompt, up to where the answer begins.

    Raises:
        InvalidData: A prompt says nothing; or with its answer it would not fit into the model's
            context. It is not cut, since an answer to half a prompt answers something else.
        InvalidOption: The answers alone would fill the context.
    """
    context = int(model.config.max_position_embeddings)
    if max_new_tokens >= context:
        raise InvalidOption(
            "max_new_tokens", f"the model reads {context} tokens, prompt included", max_new_tokens
        )
    for number, prompt in enumerate(prompts, start=1):
        if not any(message["content"].strip() for message in prompt):
            raise InvalidData(f"Prompt {number} says nothing; leave it out.")
    encoded = [chat_ids(tokenizer, prompt, answer=None) for prompt in prompts]
    for number, ids in enumerate(encoded, start=1):
        if len(ids) + max_new_tokens > context:
            raise InvalidData(
                f"Prompt {number} has {len(ids)} tokens and its answer may have {max_new_tokens},"
                f" but the model reads {context} in all; shorten the prompt or lower"
                " max_new_tokens."
            )
    return encoded


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "tandem.json"
    return _read_json(path) if path.is_file() else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path} cannot be read: {error}.") from error
    return read
