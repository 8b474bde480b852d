"""Reading prompts, responses and judgements from files: one table of formats.

A new format is one more file with a function that reads a line, and one more entry here.
"""

from __future__ import annotations

from collections.abc import Mapping

from feedback.importers.both import read_both
from feedback.importers.pairs import read_pair
from feedback.importers.prompts import read_prompt
from feedback.importers.ratings import read_rating
from feedback.importers.records import PairsConfig, PromptsConfig, RatingsConfig
from storage.recipes import Recipe

# `run(config, line)` gives a JudgedPrompt.
IMPORTERS: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="both",
            summary="A prompt with its responses, their ratings and the preferences between them",
            config=RatingsConfig,
            run=read_both,
        ),
        Recipe(
            name="pairs",
            summary="A prompt with a chosen and a rejected response",
            config=PairsConfig,
            run=read_pair,
        ),
        Recipe(
            name="ratings",
            summary="A prompt with one response and one rating of it",
            config=RatingsConfig,
            run=read_rating,
        ),
        Recipe(
            name="prompts",
            summary="A prompt, perhaps with responses, that nobody has judged yet",
            config=PromptsConfig,
            run=read_prompt,
        ),
    )
}
