"""Answers that tell who wrote them are found, and those that only seem to are left alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.revealing import mentions, redacted


def named(text: str, **known: object) -> list[str]:
    found = mentions(text, **known)  # type: ignore[arg-type]
    assert all(text[one.start : one.end] == one.name for one in found)
    return [one.name for one in found]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I am ChatGPT, and I can help.", ["ChatGPT"]),
        ("As an AI model called Wizzy 2, I cannot say.", ["Wizzy 2"]),
        ("as an AI language model named Vicuna, I have no body.", ["Vicuna"]),
        ("I'm a helpful assistant known as Marvin.", ["Marvin"]),
        ("I was trained by OpenAI.", ["OpenAI"]),
        ("I am a large language model, trained by Google.", ["Google"]),
        ("I'm an AI assistant created by Anthropic to be helpful.", ["Anthropic"]),
        ("As a language model developed by the team at Meta, I try.", ["Meta"]),
        ("I was originally designed and trained by Alibaba Cloud.", ["Alibaba Cloud"]),
        ("Hello! I'm Claude, an assistant.", ["Claude"]),
        ("My name is Gemini.", ["Gemini"]),
        ("You are talking to Llama.", ["Llama"]),
        ("As Claude, I would say so.", ["Claude"]),
        ("Ich bin ChatGPT.", ["ChatGPT"]),
        ("Ich bin Claude und helfe gern.", ["Claude"]),
        ("我是ChatGPT。", ["ChatGPT"]),
        ("Compared with GPT-4 turbo I am slow.", ["GPT-4 turbo"]),
        ("Claude 3 and Qwen2.5 would answer otherwise.", ["Claude 3", "Qwen2.5"]),
        ("This follows OpenAI's policy.", ["OpenAI"]),
        ("I am ChatGPT, trained by OpenAI.", ["ChatGPT", "OpenAI"]),
    ],
)
def test_answers_that_tell_their_model_are_found(text: str, names: list[str]) -> None:
    assert named(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "As an AI ethics researcher called Timnit Gebru wrote, models repeat us.",
        "As an AI ethics researcher, I worry.",
        "I am an AI ethics researcher trained by the best.",
        "Claude Monet painted water lilies, and Claude was 73.",
        "I am Claude Monet, and I paint.",
        "As an AI language model, I cannot taste tomatoes.",
        "I am an AI assistant. I can help with that.",
        "Google it, or ask at a library.",
        "The phone was developed by Google, the watch by Apple.",
        "I was hired by Google after school.",
        "A llama is no alpaca, and a koala sleeps in a palm.",
        "The bard sang of Orca and Falcon.",
        "I am a falconer from Meta in Italy.",
        "XAI means explainable AI.",
        "Use a GPT partition table for large disks.",
        "The company is called Mistral and the wind is, too.",
        "Phi is the golden ratio.",
        "I am as happy as Larry.",
        "A model called Kate walked past.",
        'Take such cases as the example of a robot named "Pepper".',
        "",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert named(text) == []


def test_a_name_that_the_prompt_asks_about_is_a_subject_and_no_signature() -> None:
    prompt = "Who made ChatGPT, and is OpenAI a company?"
    assert named("ChatGPT was made by OpenAI.", prompt=prompt) == []
    assert named("I am ChatGPT, made by others.", prompt=prompt) == ["ChatGPT"]
    assert named("ChatGPT was made by OpenAI.", prompt="Who makes robots?") == ["ChatGPT", "OpenAI"]


@pytest.mark.parametrize(
    ("arm", "text", "names"),
    [
        ("ppo-1", "The policy PPO-1 says hello.", ["PPO-1"]),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct here.",
         ["SmolLM2-135M-Instruct"]),
        ("acme/Zork7-3B", "Zork7 is my name.", ["Zork7"]),
        ("acme/Zork7-3B", "I was made by acme/Zork7-3B.", ["acme/Zork7-3B"]),
        # Ordinary words are in any text; as a name they have to be called one.
        ("tiny", "A tiny seed is enough.", []),
        ("tiny", "My name is tiny.", ["tiny"]),
        ("helpful", "I am helpful and harmless.", []),
        ("PPO", "A PPO plan pays more doctors.", []),
        ("PPO", "I am an assistant called PPO.", ["PPO"]),
        ("its start", "It was good from its start.", []),
        ("A", "A plan is as good as a b.", []),
        ("2024", "In 2024 it rained.", []),
    ],
)  # fmt: skip
def test_the_arms_own_names_are_found_where_they_are_no_ordinary_words(
    arm: str, text: str, names: list[str]
) -> None:
    assert named(text, arms=[arm]) == names


def test_only_the_name_is_taken_out() -> None:
    text = "I am ChatGPT, trained by OpenAI. Water them."
    assert redacted(text, mentions(text)) == "I am [name], trained by [name]. Water them."
    assert redacted("Water them.", ()) == "Water them."


pieces = st.sampled_from(
    ["I am", "Claude", "ChatGPT", "trained by", "Google", "a model called", "ppo-1", ",", "As",
     "an AI model", "named", "OpenAI", "GPT-4", "water", "我是", "\n", "Monet"]
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map(" ".join))
def test_what_is_redacted_tells_nothing_any_more_and_keeps_the_rest(text: str) -> None:
    found = mentions(text, arms=["ppo-1"])
    shown = redacted(text, found)
    assert shown.count("[name]") == len(found)
    assert len(shown) == len(text) + sum(6 - len(one.name) for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert not any(word in shown for word in ("ChatGPT", "GPT-4", "OpenAI", "ppo-1"))
