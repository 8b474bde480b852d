"""Answers that tell who wrote them: found, counted, and with the name taken out on demand.

A participant who reads "I am ChatGPT" votes for ChatGPT and not for an answer. What counts is

* a name that can mean nothing else than a model or its maker (ChatGPT, OpenAI, GPT-4), and an
  arm's name that is no ordinary word (ppo-1), wherever they stand, unless the prompt has them too
  and so asked for them;
* a name that can mean other things (Claude, Google, Llama), only where the writer says it of
  themselves: "I am Claude", "a language model trained by Google";
* any name behind "as an AI model called ...".

"As an AI language model, I cannot ..." tells nothing where every arm is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

REDACTED = "[name]"
"""Stands in the place of a name that was taken out."""
FEWEST_LETTERS = 3
"""A shorter name of an arm, such as A, is in every text."""
LONGEST_ACRONYM = 4
"""Letters of an arm's name in capitals, such as PPO, that may well mean something else."""

UNMISTAKABLE = (
    r"ChatGPT", r"InstructGPT", r"GPT[- ]?[2-5](?:\.\d)?(?:[- ]?(?:o|turbo|mini))*", r"GPT-4o",
    r"text-davinci-\d+", r"OpenAI", r"Anthropic",
    r"Claude[- ](?:v?\d(?:\.\d)?|Instant|Opus|Sonnet|Haiku)", r"DeepSeek", r"Qwen\d*(?:\.\d)?",
    r"Qianwen", r"ChatGLM\d*", r"Zhipu", r"LMSYS",
    r"Open ?Assistant", r"LAION", r"SmolLM\d*", r"WizardLM", r"StableLM", r"RedPajama", r"Mixtral",
    r"Mistral AI", r"DBRX", r"Databricks", r"DeepMind", r"Google (?:Bard|Gemini)",
    r"Gemini (?:Pro|Ultra|Flash|\d(?:\.\d)?)", r"Meta AI", r"Microsoft Copilot",
    r"Llama[- ]?[2-4](?:\.\d)?", r"Moonshot AI", r"Character\.AI",
)  # fmt: skip
"""Patterns of names that mean a model or its maker in any text."""
SPELLED = (r"LLaMA", r"LaMDA", r"PaLM(?:[- ]2)?", r"xAI")
"""The same, but only in this spelling: a llama is an animal."""
ASSISTANTS = (
    "Alpaca", "Baichuan", "Bard", "Bing", "Claude", "Command R", "Copilot", "Dolly", "Ernie",
    "Falcon", "Gemini", "Gemma", "Grok", "Guanaco", "Hermes", "Kimi", "Koala", "LaMDA", "Llama",
    "Mistral", "Orca", "PaLM", "Phi", "T[uü]lu", "Vicuna", "Yi", "Zephyr",
)  # fmt: skip
"""Names that assistants share with people, animals and winds."""
MAKERS = (
    "01.AI", "AI2", "Alibaba(?: Cloud)?", "Amazon", "Apple", "Baidu", "Cohere", "Google", "IBM",
    "Hugging ?Face", "KEG(?: Lab)?", "Meta", "Microsoft", "Mistral",
    "Nvidia", "Stability AI", "Stanford", "Tencent", "the Allen Institute for AI", "UC Berkeley",
)  # fmt: skip
"""Who makes models, and many other things besides."""

_START, _END = r"(?<![A-Za-z0-9_])", r"(?![A-Za-z0-9_])"
"""Word boundaries that also stand between Chinese characters and Latin letters."""
_NO_SURNAME = r"(?!\s+(?!AI\b|Assistant\b|Pro\b|Ultra\b|I\b|And\b)[A-Z][a-z])"
"""Claude Monet is somebody else."""
_AN = r"(?:an?|the|your)\s+"
_SORT = r"\b(?:assistant|model|AI|A\.I\.|chatbot|chat bot|bot|system|program)"
_I_AM = (
    r"(?:I\s+am|I['’]m|my\s+name\s+is|my\s+name['’]s|call\s+me|"
    r"you(?:\s+are|['’]re)\s+(?:talking|speaking|chatting)\s+(?:to|with)|"
    r"ich\s+bin|je\s+suis|soy|我是|我叫)\s*"
)
_I_AM_CALLED = (
    r"(?:my\s+name\s+is|my\s+name['’]s|call\s+me|"
    rf"{_SORT}\s+(?:called|named|known\s+as))\s+"
)
_MADE = (
    r"(?:trained|developed|created|made|built|designed|fine-?tuned|released|provided)"
    r"(?:\s+and\s+\w+)?\s+by\s+(?:the\s+(?:team|researchers|people)\s+(?:at|of)\s+)?"
)
_MODEL_THAT_WAS = (
    rf"{_AN}(?:[\w-]+\s+){{0,5}}?{_SORT}\s*,?\s*(?:(?:that|which)\s+(?:was|is|has\s+been)\s+)?"
)
_MADE_ME = (
    r"(?:(?:I\s+was|I\s+am|I['’]m|I\s+have\s+been|I['’]ve\s+been)\s+"
    rf"(?:(?:originally|initially|specifically|also)\s+)?(?:{_MODEL_THAT_WAS})?"
    rf"|as\s+{_MODEL_THAT_WAS}){_MADE}"
)
_ANY_NAME = r"[\"“']?(?P<name>[A-Z](?:[\w.+-]*\w)?(?:\s+(?!I\b)[A-Z0-9](?:[\w.+-]*\w)?)?)"
_CALLED = (
    rf"(?i:(?:as|I\s+am|I['’]m)\s+{_AN}[^.,;!?\n]{{0,60}}?{_SORT}\s+(?:called|named|known\s+as)\s+)"
)


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A name in an answer that tells, or seems to tell, who wrote it."""

    start: int
    """Its first character in the text."""
    end: int
    """Behind its last."""
    name: str
    """As it is written there."""


def mentions(text: str, *, arms: Iterable[str] = (), prompt: str = "") -> tuple[Mention, ...]:
    """The names in an answer that reveal, or seem to reveal, which model wrote it.

    Args:
        text: The answer.
        arms: Names of the policies that are compared.
        prompt: What was asked. A name that stands there is a subject and not a signature, unless
            the answer says it of its writer.

    Returns:
        In the order of the text; none overlaps another.

    Source:
        The precedent is FastChat, `serve/monitor/clean_battle_data.py`, which drops every battle
        in which an identity word occurs in any sense. The rules that spare other senses are ours.
    """
    anywhere, of_themselves = _patterns(tuple(sorted({name.strip() for name in arms})))
    asked = prompt.casefold()
    found = [
        Mention(*one.span("name"), one["name"])
        for pattern in of_themselves
        for one in pattern.finditer(text)
    ]
    found += [
        Mention(*one.span(), one[0])
        for pattern in anywhere
        for one in pattern.finditer(text)
        if one[0].casefold() not in asked
    ]
    return _apart(found)


def redacted(text: str, found: Sequence[Mention]) -> str:
    """The text with `[name]` in the place of each mention."""
    pieces, reached = [], 0
    for one in found:
        pieces += [text[reached : one.start], REDACTED]
        reached = one.end
    return "".join([*pieces, text[reached:]])


def _apart(found: Iterable[Mention]) -> tuple[Mention, ...]:
    """Of mentions that overlap, the one that begins first, and of these the longest."""
    kept: list[Mention] = []
    for one in sorted(found, key=lambda mention: (mention.start, -mention.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return tuple(kept)


Patterns = tuple[re.Pattern[str], ...]


@lru_cache(maxsize=64)
def _patterns(arms: tuple[str, ...]) -> tuple[Patterns, Patterns]:
    """What is searched anywhere, and what only where the writer says it of themselves."""
    parts = sorted({part for arm in arms for part in _parts(arm)})
    telling = [re.escape(part) for part in parts if _is_telling(part)]
    ordinary = [re.escape(part) for part in parts if not _is_telling(part)]
    assistants = _any_of([*telling, *UNMISTAKABLE, *ASSISTANTS])
    makers = _any_of([*telling, *UNMISTAKABLE, *MAKERS])
    anywhere = (
        re.compile(_START + _any_of([*telling, *UNMISTAKABLE]) + _END, re.IGNORECASE),
        re.compile(_START + _any_of(SPELLED) + _END),
    )
    of_themselves = [
        rf"{_START}(?i:{_I_AM})(?P<name>(?i:{assistants})){_END}{_NO_SURNAME}",
        rf"{_START}(?i:as\s+)(?P<name>(?i:{assistants}))(?=,)",
        rf"{_START}(?i:{_MADE_ME})(?P<name>(?i:{makers})){_END}",
        rf"{_START}{_CALLED}{_ANY_NAME}",
    ]
    if ordinary:
        of_themselves.append(
            rf"{_START}(?i:{_I_AM_CALLED})(?P<name>(?i:{_any_of(ordinary)})){_END}"
        )
    return anywhere, tuple(re.compile(one) for one in of_themselves)


def _any_of(patterns: Iterable[str]) -> str:
    """The longest first, so that GPT-4 does not leave a -turbo behind."""
    return f"(?:{'|'.join(sorted(patterns, key=len, reverse=True))})"


def _parts(arm: str) -> set[str]:
    """What an arm may be called: whole, without its owner, and by its first word if that tells."""
    last = arm.rsplit("/", 1)[-1]
    first = re.split(r"[-_ ]", last, maxsplit=1)[0]
    named = {arm, last} | ({first} if _is_telling(first) else set())
    return {part for part in named if len(part) >= FEWEST_LETTERS}


def _is_telling(part: str) -> bool:
    """Whether a name is no ordinary word: it has letters, and digits, signs or inner capitals."""
    if len(part) < FEWEST_LETTERS or " " in part or not re.search("[A-Za-z]", part):
        return False
    if part.isalpha() and part.isupper() and len(part) <= LONGEST_ACRONYM:
        return False
    return bool(re.search(r"[0-9_/.-]|(?<=.)[A-Z]", part))
