"""A stand-in for vLLM that takes what Tandem passes and answers as vLLM would, slowly and exactly.

It opens the start's folder and the adapter's as anybody would, with Transformers and PEFT, so the
tests see whether these hold the policy. `STAND_IN` may tell it to fail.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from vllm.lora.request import LoRARequest


@dataclass(kw_only=True)
class SamplingParams:
    temperature: float
    max_tokens: int
    seed: int
    stop_token_ids: list[int]
    ignore_eos: bool
    detokenize: bool
    top_p: float = field(default=1.0, init=False)


class LLM:
    def __init__(self, **options: Any) -> None:
        print("noise that vLLM makes on its standard output")
        if os.environ.get("STAND_IN") == "no memory":
            print("loading", "CUDA out of memory", file=sys.stderr, sep="\n")
            raise MemoryError("out of memory")
        assert options["skip_tokenizer_init"]
        assert options["enable_lora"]
        assert options["generation_config"] == "vllm"
        self.options = options
        self.known: dict[int, Any] = {}

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        params: Sequence[SamplingParams],
        *,
        lora_request: LoRARequest,
        use_tqdm: bool,
    ) -> list[Any]:
        limit = os.environ.get("STAND_IN_BATCHES")
        if limit and lora_request.lora_int_id > int(limit):
            raise RuntimeError("CUDA error: device-side assert triggered")
        number = lora_request.lora_int_id
        if number not in self.known:  # an adapter that is known is not read again
            base = AutoModelForCausalLM.from_pretrained(
                self.options["model"], dtype=getattr(torch, self.options["dtype"])
            )
            model = PeftModel.from_pretrained(base, lora_request.lora_path)
            assert model.peft_config["default"].r <= self.options["max_lora_rank"]
            self.known = {number: model.eval()}
        return [
            SimpleNamespace(outputs=[SimpleNamespace(token_ids=self._continue(prompt, asked))])
            for prompt, asked in zip(prompts, params, strict=True)
        ]

    @torch.no_grad()
    def _continue(self, prompt: dict[str, list[int]], asked: SamplingParams) -> tuple[int, ...]:
        [model] = self.known.values()
        ids, random = list(prompt["prompt_token_ids"]), torch.Generator().manual_seed(asked.seed)
        assert len(ids) + asked.max_tokens <= self.options["max_model_len"]
        new: list[int] = []
        while len(new) < asked.max_tokens and not (new and new[-1] in asked.stop_token_ids):
            logits = model(input_ids=torch.tensor([ids + new])).logits[0, -1].float()
            if asked.temperature:
                chances = (logits / asked.temperature).softmax(-1)
                new.append(int(torch.multinomial(chances, 1, generator=random)))
            else:
                new.append(int(logits.argmax()))
        return tuple(new)
