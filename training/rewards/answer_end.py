"""Let a chat template end where the reward is read, so that other programs read the same reward.

A reward is read at the answer's end token. Templates of the ChatML family write a new line behind
it, and a program that applies them to prompt and answer (TRL's trainers, RewardBench) would read
the reward at that new line: another number, and no error.
"""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from storage.errors import InvalidData
from storage.records import Message
from training.backbone import chat_ids

_ENDED = (
    "{{%- set conversation %}}{template}{{% endset -%}}"
    "{{%- if add_generation_prompt or messages[-1]['role'] != 'assistant' -%}}"
    "{{{{- conversation -}}}}"
    "{{%- else -%}}"
    "{{%- set conversation = conversation.rstrip() -%}}"
    "{{{{- conversation if conversation.endswith(eos_token) else conversation + eos_token -}}}}"
    "{{%- endif -%}}"
)
_ASKED = (Message(role="user", content="What makes a good answer?"),)
_PROBES: tuple[tuple[tuple[Message, ...], str], ...] = (
    (_ASKED, "It helps whoever asked."),
    (
        (
            *_ASKED,
            Message(role="assistant", content="That depends."),
            Message(role="user", content="On what, please?"),
        ),
        "On who asks: 1, 2, 3!",
    ),
)


def probes(
    tokenizer: PreTrainedTokenizerBase,
) -> list[tuple[tuple[Message, ...], str]]:
    """Conversations and answers to try things out on, of one turn and of several.

    Raises:
        InvalidData: The chat template refuses them all.
    """
    found, refused = [], None
    for messages, answer in _PROBES:
        try:
            chat_ids(tokenizer, messages)
        except InvalidData as error:
            refused = error
        else:
            found.append((messages, answer))
    if refused is not None and not found:
        raise refused
    return found


def end_at_answer(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Change the chat template of a reward model's tokenizer where that is needed.

    Returns:
        Whether the template now makes of prompt and answer the tokens that Tandem reads. If not,
        the template is as it was, and whoever asks the model has to encode the answer by itself.
    """
    tried = probes(tokenizer)
    if _agrees(tokenizer, tried):
        return True
    before = tokenizer.chat_template
    if not isinstance(before, str):
        return False
    opened = [chat_ids(tokenizer, messages) for messages, _ in tried]
    tokenizer.chat_template = _ENDED.format(template=before.removesuffix("\n"))
    try:
        same = [chat_ids(tokenizer, messages) for messages, _ in tried] == opened
    except InvalidData:
        same = False
    if same and _agrees(tokenizer, tried):
        return True
    tokenizer.chat_template = before
    return False


def _agrees(
    tokenizer: PreTrainedTokenizerBase, tried: Sequence[tuple[Sequence[Message], str]]
) -> bool:
    for messages, answer in tried:
        said = [*messages, Message(role="assistant", content=answer)]
        try:
            ids = tokenizer.apply_chat_template(said, tokenize=True, return_dict=False)
        except TemplateError:
            return False
        if list(ids) != chat_ids(tokenizer, messages, answer=answer):
            return False
    return True
