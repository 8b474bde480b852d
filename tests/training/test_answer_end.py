"""A reward model's chat template ends where its reward is read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Message
from training import backbone, tiny
from training.rewards.answer_end import end_at_answer

PLAIN = backbone.PLAIN_TEMPLATE
LLAMA = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] "
    "{{ message['content'] | trim }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
NO_ANSWERS = (
    "{% if messages[-1]['role'] == 'assistant' %}{{ raise_exception('Ask') }}{% endif %}"
    "{{ messages[0]['content'] }}"
)
ONE_TURN = (
    "{% if messages | length > 2 %}{{ raise_exception('One turn') }}{% endif %}"
    + tiny.CHAT_TEMPLATE
)


def tokenizer(template: str) -> backbone.PreTrainedTokenizerBase:
    made = tiny.tokenizer()
    made.chat_template = template
    return made


@pytest.mark.parametrize("template", [tiny.CHAT_TEMPLATE, tiny.CHAT_TEMPLATE + "\n", PLAIN, LLAMA])
@given(st.lists(st.sampled_from(["bread?", "a b", "1, 2", "ü"]), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_prompt_and_answer_become_the_tokens_that_tandem_reads(
    template: str, turns: list[str]
) -> None:
    ours, theirs = tokenizer(template), tokenizer(template)
    assert end_at_answer(theirs)
    messages = [Message(role="user", content=turns[0])]
    for turn in turns[1:]:
        messages += [Message(role="assistant", content=turn), Message(role="user", content=turn)]
    expected = backbone.chat_ids(ours, messages, answer="yes, please")
    said = [*messages, Message(role="assistant", content="yes, please")]
    found = theirs.apply_chat_template(said, tokenize=True, return_dict=False)
    assert found == expected
    assert found[-1] == theirs.eos_token_id
    assert backbone.chat_ids(theirs, messages) == backbone.chat_ids(ours, messages)


def test_a_template_that_cannot_end_there_is_left_alone() -> None:
    refusing = tokenizer(NO_ANSWERS)
    assert not end_at_answer(refusing)
    assert refusing.chat_template == NO_ANSWERS


def test_a_template_for_one_turn_is_tried_on_one_turn() -> None:
    assert end_at_answer(tokenizer(ONE_TURN))


def test_a_template_that_ends_there_already_is_left_alone() -> None:
    ended = tokenizer(LLAMA)
    assert end_at_answer(ended)
    assert ended.chat_template == LLAMA
