"""Do policies get better? Each method against the SFT model it started from, by a separate judge.

    python benchmarks/policy_gain.py [--quick] [--json] [--data FOLDER] [--results FOLDER]
        [--figure FILE.html] [--methods NAME ...] [--base NAME] [--steps 50] [--episodes 24]
        [--tokens 48] [--labels 1500] [--held-out 200] [--device NAME]

Real judgements (both_alpaca_eval, its train part) are cut into two halves that share no prompt.
From the first half come the SFT model (the best short answers), three reward models (preference,
absolute, combined) and the policies: PPO against each and against mixtures of preference and
absolute, once also with an adapter for the value alone, DPO, rejection sampling and GRPO, all from
the same SFT model. From the second half comes the gold model, a reward model that no policy ever
learns from. It compares each policy's answers with those of the SFT model on prompts that nothing
has seen: the win rate (ties half) with its interval by prompt, and the same at equal length. While
PPO learns, the gold model also watches held-out prompts, which gives the KL-reward frontier.

Everything made is a folder in the results folder, so a run that was cut off goes on where it was.
`ratios` is null: the methods are beside each other, and no other tool does this.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gain.frontier import draw
from gain.halves import Halves, halve

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from evaluation.length_control import length_controlled_win_rate  # noqa: E402
from evaluation.policy_card import mean_gain  # noqa: E402
from evaluation.statistics import win_rate  # noqa: E402
from storage.errors import NoConvergence  # noqa: E402
from storage.records import Message  # noqa: E402
from training import backbone  # noqa: E402
from training.policies import POLICIES  # noqa: E402
from training.rewards import REWARDS  # noqa: E402
from training.rewards.scoring import RewardScorer  # noqa: E402
from training.sampling import Policy  # noqa: E402
from training.sampling_config import SamplingConfig  # noqa: E402

DATA = ROOT.parent / "shared/data"
GOLD = "gold"
SEEDS = (0, 1)
"""Each prompt is answered so many times by each policy."""
MIXTURES = (0.25, 0.5, 0.75)
"""Weights of the preference reward; the rest is the absolute one's. The ends are methods of their
own."""


@dataclass(frozen=True, slots=True)
class Method:
    """A recipe, what rewards it by which weight, and options other than everybody's."""

    recipe: str
    rewards: Mapping[str, float]
    options: Mapping[str, Any] = field(default_factory=dict)


METHODS = {
    "ppo-preference": Method("ppo", {"preference": 1.0}),
    "ppo-absolute": Method("ppo", {"absolute": 1.0}),
    "ppo-combined": Method("ppo", {"combined": 1.0}),
    **{
        f"ppo-mix-{share:g}": Method("ppo", {"preference": share, "absolute": 1 - share})
        for share in MIXTURES
    },
    "ppo-value-adapter": Method("ppo", {"combined": 1.0}, {"value_trunk": "own_adapter"}),
    # It learns from the comparisons themselves.
    "dpo": Method("dpo", {}),
    "rejection-sampling": Method("rejection-sampling", {"combined": 1.0}),
    "grpo": Method("grpo", {"combined": 1.0}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the code path, on a random model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, help="folder of all models; kept between runs")
    parser.add_argument("--figure", type=Path, help="draw the frontier there, as a page of HTML")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--base", default=backbone.DEFAULT_BASE)
    parser.add_argument("--steps", type=int, default=50, help="of PPO and GRPO")
    parser.add_argument("--episodes", type=int, default=24, help="answers to a step")
    parser.add_argument("--tokens", type=int, default=48, help="of an answer at most")
    parser.add_argument("--labels", type=int, default=1500, help="of each reward model")
    parser.add_argument("--held-out", type=int, default=200, help="prompts to judge on")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    if asked.quick:
        asked.base, asked.steps, asked.episodes, asked.tokens = "tiny", 2, 8, 8
        asked.labels, asked.held_out = 100, 12
    if not asked.data.is_dir():
        sys.exit(f"There are no judgements in {asked.data}; name their folder with --data.")
    with tempfile.TemporaryDirectory() as scratch:
        workshop = Workshop(asked, asked.results or Path(scratch) / "results")
        rows = [workshop.row(method) for method in asked.methods]
        report = {
            "benchmark": "policy_gain",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {asked.device}",
            "options": workshop.options,
            "sft_against_base": workshop.against("sft", "base"),
            "gold": workshop.gold_card(),
            "rows": rows,
            "ratios": {"throughput": None, "memory": None},
        }
    if asked.figure:
        draw(rows, asked.figure)
    print(json.dumps(report) if asked.json else table(rows))


class Workshop:
    """Everything that was made so far, and makes what is missing."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked = asked
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.longest = 1500 if asked.quick else 384  # the tiny model has a token per letter
        """Tokens of a conversation that reward models and DPO learn from."""
        names = ("base", "steps", "episodes", "tokens", "labels", "held_out")
        self.options = {name: getattr(asked, name) for name in names}
        noted = folder / "options.json"
        if not noted.is_file():
            noted.write_text(json.dumps(self.options))
        if (found := json.loads(noted.read_text())) != self.options:
            sys.exit(f"{folder} was made with {found}, not {self.options}; name another folder.")
        self.halves: Halves = halve(
            asked.data, folder, held_out=asked.held_out, longest_answer=4 * asked.tokens
        )
        self.start = self._made(
            "sft",
            lambda **where: POLICIES["sft"].run(
                POLICIES["sft"].config.read({"base": asked.base, "max_tokens": 256}),
                data=self.halves.demonstrations,
                **where,
            ),
        )
        self.rewards = {
            kind: self._reward(kind, kind, self.halves.rewards)
            for kind in ("preference", "absolute", "combined")
        }
        self.rewards[GOLD] = self._reward(GOLD, "combined", self.halves.gold)

    def row(self, method: str) -> dict[str, Any]:
        """A method's policy beside its start."""
        made_by = METHODS[method]
        model = self._made(method, lambda **where: self._tune(made_by, **where))
        described = json.loads((model / "tandem.json").read_text())["metrics"]
        return {
            "method": method,
            **self.against(method, "sft"),
            "kl": described.get("kl"),
            "reward": described.get("reward"),
            "reward_at_start": described.get("reward_at_start"),
            "warnings": [one["title"] for one in described.get("health", {}).get("warnings", [])],
            "seconds": json.loads((model.parent / "seconds.json").read_text()),
            "frontier": self._frontier(model.parent),
        }

    def against(self, ours: str, theirs: str) -> dict[str, Any]:
        """How often the gold model finds one policy's answer better than the other's."""
        one, other = self._judged(ours), self._judged(theirs)
        rewards, others = (np.array(found["gold"]) for found in (one, other))
        scores = (np.sign(rewards - others) + 1) / 2
        longer_by = np.array(one["tokens"]) - np.array(other["tokens"])
        prompts = np.tile(np.arange(len(self.halves.held_out)), len(SEEDS))
        try:
            controlled = length_controlled_win_rate(scores, longer_by, prompts).as_json()
        except NoConvergence as error:
            controlled = {"refused": str(error)}
        return {
            "win_rate": win_rate(scores, prompts).as_json(),
            "length_controlled": controlled,
            "gold_gain": mean_gain(rewards - others, prompts).as_json(),
            "tokens": float(np.mean(one["tokens"])),
            "tokens_of_start": float(np.mean(other["tokens"])),
            "finished": float(np.mean(one["finished"])),
        }

    def gold_card(self) -> dict[str, Any]:
        """How well the gold model and the others agree about the SFT model's answers."""
        said = {
            kind: self._scored(kind, self._judged("sft")["texts"])
            for kind in ("preference", "absolute", "combined", GOLD)
        }
        return {
            "correlation_with_" + kind: float(np.corrcoef(said[GOLD], rewards)[0, 1])
            for kind, rewards in said.items()
            if kind != GOLD
        }

    def _reward(self, name: str, kind: str, snapshot: Path) -> Path:
        # Longer ones would teach little about such short answers as are written here.
        options = {"base": self.asked.base, "labels": self.asked.labels, "max_tokens": self.longest}
        config = REWARDS[kind].config.read(options)
        return self._made(
            f"reward-{name}",
            lambda **where: REWARDS[kind].run(config, snapshot=snapshot, **where),
        )

    def _tune(self, method: Method, **where: Any) -> None:
        recipe = POLICIES[method.recipe]
        known = recipe.config.model_fields
        options = {
            "start": str(self.start),
            "rewards": method.rewards,
            "steps": self.asked.steps,
            "episodes": self.asked.episodes,
            "max_new_tokens": self.asked.tokens,
            "watch": (GOLD,),
            "probe_every": max(1, self.asked.steps // 5),
            # As many answers as in all steps of the others.
            "prompts_per_round": self.asked.steps * self.asked.episodes // 12,
            **method.options,
        }
        if method.recipe == "dpo":
            options["max_tokens"] = self.longest
        config = recipe.config.read({k: v for k, v in options.items() if k in known})
        if recipe.learns_from == "snapshot":
            recipe.run(config, data=self.halves.rewards, **where)
            return
        recipe.run(config, prompts=self.halves.prompts, rewards=self.rewards, **where)

    def _made(self, name: str, make: Callable[..., Any]) -> Path:
        """The folder of a model, made now if it is not there yet."""
        folder = self.folder / name
        if not (folder / "model/tandem.json").is_file():
            folder.mkdir(exist_ok=True)
            began = time.monotonic()
            make(
                output=folder / "model",
                checkpoints=folder / "checkpoints",
                progress=Notes(name, folder),
                device=self.asked.device,
            )
            # Of the last try, where there were several.
            (folder / "seconds.json").write_text(json.dumps(round(time.monotonic() - began, 1)))
        return folder / "model"

    def _judged(self, name: str) -> dict[str, Any]:
        """A policy's answers to the held-out prompts, seed after seed, and their gold rewards."""
        file = self.folder / f"answers-{name}.json"
        if not file.is_file():
            source = self.asked.base if name == "base" else str(self.folder / name / "model")
            policy = Policy.load(source, device=self.asked.device)
            answers = [
                answer
                for seed in SEEDS
                for answer in policy.answer(
                    self.halves.held_out,
                    SamplingConfig(max_new_tokens=self.asked.tokens, seed=seed),
                )
            ]
            texts = [answer.text for answer in answers]
            said = {
                "texts": texts,
                "tokens": [answer.tokens for answer in answers],
                "finished": [answer.finished for answer in answers],
                "gold": self._scored(GOLD, texts).tolist(),
            }
            file.write_text(json.dumps(said))
            print(f"judged {name}", file=sys.stderr, flush=True)
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def _scored(self, kind: str, texts: Sequence[str]) -> np.ndarray:
        """Rewards of answers to the held-out prompts, in the reward model's standard deviations."""
        scorer = RewardScorer.load(self.rewards[kind], device=self.asked.device)
        asked: list[tuple[Message, ...]] = [*self.halves.held_out] * len(SEEDS)
        return scorer.standardise(scorer.score(list(zip(asked, texts, strict=True))))

    def _frontier(self, folder: Path) -> list[dict[str, float]]:
        """Divergence from the start, and what the gold model says, at each look."""
        said = {one["step"]: one for one in map(json.loads, (folder / NOTES).open())}
        return [
            {"step": step, "kl": one.get("kl", 0.0), "gold": one[WATCHED]}
            for step, one in sorted(said.items())
            if WATCHED in one
        ]


NOTES = "progress.jsonl"
WATCHED = f"watched/{GOLD}"


class Notes:
    """Progress as JSON lines in a folder, and now and then in a line for whoever waits."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.file = folder / NOTES
        self.told = 0.0

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Write the metrics down."""
        with self.file.open("a") as lines:
            lines.write(json.dumps({"step": step, **(metrics or {})}) + "\n")
        if time.monotonic() - self.told > 60:
            self.told = time.monotonic()
            print(f"{self.name}: {step} of {total}; {message}", file=sys.stderr, flush=True)

    def log(self, line: str) -> None:
        """Say it."""
        print(f"{self.name}: {line}", file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per method."""
    return "\n".join(
        f"{row['method']:20} against SFT {told(row['win_rate'])}"
        f"  at equal length {told(row['length_controlled'])}"
        f"  KL {number(row['kl'])}  reward {number(row['reward'])}"
        f"  {row['tokens']:.0f} tokens (start {row['tokens_of_start']:.0f})"
        f"  {row['seconds']:.0f} s"
        for row in rows
    )


def told(estimate: Mapping[str, Any]) -> str:
    if "refused" in estimate:
        return "cannot be told"
    return "{value:.1%} [{low:.1%}, {high:.1%}]".format(**estimate)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
