"""The command that made the starter answers: `python -m app.starter`.

Four answers to each prompt of `prompts.jsonl` by the small model, two from each of two settings: a
careful one, and a livelier one that was also told to be brief. Nothing is selected or edited, so
some answers are wrong, repeat themselves or stop at the limit; telling such answers apart is what
the annotators are asked to do. Writes `answers.jsonl.gz` beside this file.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from storage.records import Message, as_messages
from training.backbone import DEFAULT_BASE
from training.sampling import Policy
from training.sampling_config import SamplingConfig

HERE = Path(__file__).parent
BRIEF = Message(role="system", content="You answer briefly, in two to four sentences.")
SETTINGS = (
    ("careful", (), SamplingConfig(temperature=0.6, top_p=0.9, max_new_tokens=128, seed=1)),
    ("lively", (BRIEF,), SamplingConfig(temperature=1.0, top_p=0.95, max_new_tokens=128, seed=2)),
)
ANSWERS_PER_SETTING = 2


def main() -> None:
    """Sample every answer and write the data file."""
    lines = [json.loads(line) for line in (HERE / "prompts.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        line["responses"] = []
    policy = Policy.load(DEFAULT_BASE)
    for name, opening, settings in SETTINGS:
        asked = [(*opening, *as_messages(line["prompt"])) for line in lines]
        for draw in range(ANSWERS_PER_SETTING):
            drawn = settings.model_copy(update={"seed": settings.seed + 10 * draw})
            print(f"{name}, draw {draw + 1}: {len(asked)} prompts", file=sys.stderr, flush=True)
            for line, answer in zip(lines, policy.answer(asked, drawn), strict=True):
                line["responses"].append(
                    {
                        "text": answer.text,
                        "policy": f"SmolLM2-135M-Instruct ({name})",
                        "sampling": drawn.model_dump(exclude={"batch_size"}) | {"setting": name},
                    }
                )
    # No time stamp inside, so that the same answers give the same bytes.
    with (
        (HERE / "answers.jsonl.gz").open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed,
    ):
        for line in lines:
            packed.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main()
