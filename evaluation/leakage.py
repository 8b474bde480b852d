"""Whether a model has seen what it is judged by: held-out prompts that are in the training part.

Splits are drawn by the letters and digits of a prompt, so within one snapshot nothing leaks in that
way. Leaks come from elsewhere: a file that holds prompts of the training data, a system prompt that
makes two prompts of one question, or another way of writing the same letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence, Set

from storage.records import Message, PromptId
from storage.snapshots import ComparisonRow, RatingRow


def question(messages: Sequence[Message]) -> str:
    """What is asked, without what makes no difference to it.

    Letters and digits alone, in one case and one Unicode form, and without the system prompt. A
    prompt that has none of these is taken as it is written.
    """
    asked = "\n".join(turn["content"] for turn in messages if turn["role"] != "system")
    folded = unicodedata.normalize("NFKC", asked).casefold()
    return "".join(filter(str.isalnum, folded)) or asked


def leaked(rows: Iterable[ComparisonRow | RatingRow], seen: Set[str]) -> set[PromptId]:
    """The prompts of `rows` whose question is among those `seen` in training."""
    prompts = {row.prompt_id: row.prompt for row in rows}
    return {name for name, messages in prompts.items() if question(messages) in seen}
