"""An installation with a small reward model and a small policy, both registered, and their base."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from workshop import small_reward_model

from storage.database import Database
from storage.models import add_model
from storage.records import Model, ModelId
from storage.settings import Settings
from training import tiny
from training.adapters import adapt
from training.policies.folder import write_policy

NOW = datetime(2026, 3, 14, tzinfo=UTC)


def base_model(folder: Path) -> str:
    """The tiny model as a folder of this machine."""
    tiny.build(AutoModelForCausalLM).save_pretrained(folder)  # type: ignore[operator]
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


def fill(settings: Settings, database: Database, home: Path) -> str:
    """Train and register `combined-1` and `ppo-1`; returns the folder of their base."""
    base = base_model(home / "plain-base")
    models = settings.folder("models")
    shutil.copytree(small_reward_model(home, rank=2, layers=1, base=base), models / "combined-1")
    torch.manual_seed(0)
    learning = adapt(
        AutoModelForCausalLM.from_pretrained(base), rank=2, layers=None, task="CAUSAL_LM", base=base
    )
    for name, weight in learning.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    write_policy(
        models / "ppo-1",
        learning,  # type: ignore[arg-type]
        AutoTokenizer.from_pretrained(base),
        description={
            "recipe": "ppo",
            "purpose": "policy",
            "config": {"start": base},
            "base": base,
            "start": base,
            "rewards": {str(models / "combined-1"): 1.0},
            "metrics": {"reward": 0.5},
            "simulated": True,
        },
        story="# A policy\n",
    )
    with database.write() as connection:
        for name, parents in (("combined-1", ()), ("ppo-1", ("combined-1",))):
            said = json.loads((models / name / "tandem.json").read_text())
            model = Model(
                id=ModelId(name * 2),
                name=name,
                purpose=said["purpose"],
                recipe=said["recipe"],
                base=said["base"],
                folder=f"models/{name}",
                parents=tuple(ModelId(one * 2) for one in parents),
                metrics=said["metrics"],
                simulated=said["simulated"],
                created=NOW,
            )
            add_model(connection, model)
    return base
