"""Programs that vote in studies, as participants of their own kind. A new one is a line here."""

from __future__ import annotations

from evaluation.judges.alpaca_eval import AlpacaEvalConfig, alpaca_eval_judge
from evaluation.judges.gold import GoldConfig, gold_judge
from evaluation.judges.llm import LLMConfig, llm_judge
from evaluation.judges.longest import LongestConfig, longest_judge
from evaluation.judges.reward import RewardConfig, reward_judge
from evaluation.judges.voting import Abstention, Ballot, Judge, Spent, Voting, vote
from storage.recipes import Recipe

__all__ = ["JUDGES", "Abstention", "Ballot", "Judge", "Spent", "Voting", "vote"]

JUDGES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="gold",
            summary="A simulated rater around the written-down gold quality",
            config=GoldConfig,
            run=gold_judge,
        ),
        Recipe(
            name="reward",
            summary="Prefers the answer with the higher reward of a reward model",
            config=RewardConfig,
            run=reward_judge,
        ),
        Recipe(
            name="llm",
            summary="A language model behind any OpenAI-compatible address, asked in both orders",
            config=LLMConfig,
            run=llm_judge,
        ),
        Recipe(
            name="alpaca-eval",
            summary="One of AlpacaEval's annotators, asked through the alpaca-eval package",
            config=AlpacaEvalConfig,
            run=alpaca_eval_judge,
        ),
        Recipe(
            name="longest",
            summary="Prefers the longer answer: what every other judge has to beat",
            config=LongestConfig,
            run=longest_judge,
        ),
    )
}
