"""Models of the sizes that people train, with random weights, where none can be downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from training import backbone

SHAPES = {
    "random-smollm2-135m": (576, 1536, 30, 9, 3),
    "random-llama-1b": (2048, 8192, 16, 32, 8),
    "random-llama-8b": (4096, 14336, 32, 32, 8),
}
"""Width, width inside the MLP, layers, heads, heads of keys and values."""


def find(name: str, tokenizer: str, folder: Path) -> str:
    """The folder of a model; one of `SHAPES` is made in `folder`, with that tokenizer, in bf16."""
    if name not in SHAPES:
        return backbone.resolve(name)
    width, inside, layers, heads, key_heads = SHAPES[name]
    tokens = backbone.load_tokenizer(tokenizer)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=inside,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=tokens.pad_token_id,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
    )
    torch.manual_seed(0)
    with backbone.pick_device():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return str(folder)
