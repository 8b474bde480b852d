"""vLLM at work, in an interpreter that has it: a JSON line in, a JSON line out.

`training.policies.vllm_generator` runs this file by its path and speaks with it over standard input
and output. The first line holds what `vllm.LLM` takes; every other one is a batch of prompts. It
ends when its input does, so it never outlives the run that started it. Nothing of Tandem is
imported, because Tandem is not installed there.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Answer until the input ends."""
    # vLLM and what it loads print; the replies keep the true standard output for themselves.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = iter(sys.stdin.readline, "")
    engine = _engine(json.loads(next(asked)))
    _say(replies, {"ready": True})
    for line in asked:
        _say(replies, {"responses": _responses(engine, json.loads(line))})


def _engine(options: dict[str, Any]) -> Any:
    from vllm import LLM

    # Token ids in and out: no tokenizer, and none of the defaults that a model's maker hid in its
    # generation config, which would make log-probabilities wrong without a word.
    return LLM(**options, skip_tokenizer_init=True, generation_config="vllm", enable_lora=True)


def _responses(engine: Any, asked: dict[str, Any]) -> list[list[int]]:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    number = asked["number"]
    outputs = engine.generate(
        [{"prompt_token_ids": prompt} for prompt in asked["prompts"]],
        # A seed for each: rows that share one would draw the same numbers.
        [
            SamplingParams(
                temperature=asked["temperature"],
                max_tokens=asked["max_new_tokens"],
                stop_token_ids=asked["ends"],
                ignore_eos=True,
                seed=seed,
                detokenize=False,
            )
            for seed in asked["seeds"]
        ],
        # Under another number each time, because an adapter that is known is not read again.
        lora_request=LoRARequest(f"adapter-{number}", number, asked["adapter"]),
        use_tqdm=False,
    )
    return [list(output.outputs[0].token_ids) for output in outputs]


def _say(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
