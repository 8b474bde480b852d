"""Reading prompts, responses and judgements from files: one table of formats.

A new format is one more file with a function that reads a line, and one more entry here.
"""

from __future__ import annotations

from collections.abc import Mapping

from feedback.importers.alpaca_eval import read_annotation, read_output
from feedback.importers.arena import read_vote
from feedback.importers.argilla_files import ArgillaConfig, read_record
from feedback.importers.both import read_both
from feedback.importers.columns import ColumnsConfig, read_row
from feedback.importers.helpsteer import read_helpsteer, read_helpsteer_preference
from feedback.importers.label_studio import LabelStudioConfig, read_task
from feedback.importers.lmflow import read_instance
from feedback.importers.oasst import OasstConfig, read_tree
from feedback.importers.pairs import read_pair
from feedback.importers.prompts import read_prompt
from feedback.importers.rankings import read_rankings
from feedback.importers.ratings import read_rating
from feedback.importers.records import (
    ImportConfig,
    JudgedByProgram,
    PairsConfig,
    PromptsConfig,
    RatingsConfig,
    ScaledConfig,
)
from feedback.importers.scored_pairs import (
    UltraFeedbackPairsConfig,
    read_scored_pair,
    read_ultrafeedback_pair,
)
from feedback.importers.ultrafeedback import read_ultrafeedback
from feedback.importers.unpaired import read_unpaired
from storage.recipes import Recipe

# `run(config, line)` gives a JudgedPrompt, or a list of them.
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
        Recipe(
            name="rankings",
            summary="A prompt with its responses and the order people put them into",
            config=ImportConfig,
            run=read_rankings,
        ),
        Recipe(
            name="unpaired",
            summary="TRL's prompt, completion and label, each label a rating of 0 or 1",
            config=ImportConfig,
            run=read_unpaired,
        ),
        Recipe(
            name="scored-pairs",
            summary="A chosen and a rejected response with a score each, as RLHFlow writes them",
            config=ScaledConfig,
            run=read_scored_pair,
        ),
        Recipe(
            name="ultrafeedback-binarized",
            summary="UltraFeedback's pairs, with the scores they were made from",
            config=UltraFeedbackPairsConfig,
            run=read_ultrafeedback_pair,
        ),
        Recipe(
            name="ultrafeedback",
            summary="UltraFeedback's completions with ratings in several aspects",
            config=JudgedByProgram,
            run=read_ultrafeedback,
        ),
        Recipe(
            name="helpsteer",
            summary="HelpSteer2: a response rated in five attributes",
            config=ImportConfig,
            run=read_helpsteer,
        ),
        Recipe(
            name="helpsteer-preference",
            summary="HelpSteer2's and 3's graded comparisons",
            config=ImportConfig,
            run=read_helpsteer_preference,
        ),
        Recipe(
            name="oasst",
            summary="Open Assistant's trees of messages with labels and ranks",
            config=OasstConfig,
            run=read_tree,
        ),
        Recipe(
            name="lmflow",
            summary="LMFlow's files of instances: paired conversations, scored texts",
            config=ImportConfig,
            run=read_instance,
        ),
        Recipe(
            name="alpaca-outputs",
            summary="AlpacaEval's outputs: what a model answered, nothing judged yet",
            config=PromptsConfig,
            run=read_output,
        ),
        Recipe(
            name="alpaca-annotations",
            summary="AlpacaEval's annotations: which of two outputs a judge preferred",
            config=JudgedByProgram,
            run=read_annotation,
        ),
        Recipe(
            name="arena",
            summary="Chatbot Arena's votes between two conversations",
            config=ImportConfig,
            run=read_vote,
        ),
        Recipe(
            name="label-studio",
            summary="Label Studio's export of pairwise tasks",
            config=LabelStudioConfig,
            run=read_task,
        ),
        Recipe(
            name="argilla",
            summary="Argilla's export files: rankings, preferences and ratings",
            config=ArgillaConfig,
            run=read_record,
        ),
        Recipe(
            name="columns",
            summary="A table, such as CSV, whose columns you name",
            config=ColumnsConfig,
            run=read_row,
        ),
    )
}

WITHOUT_JUDGEMENTS = frozenset({"prompts", "alpaca-outputs"})
"""Formats whose responses are given out as tasks, because nobody has judged them."""
