"""A model without knowledge, for tests and dry runs: it takes the real code path in milliseconds.

Two random Llama layers over single bytes, with the chat template of SmolLM2. Nothing is read from
disk; the weights are the same in every process and on every machine with the same torch.
"""

from __future__ import annotations

import torch
from transformers import LlamaConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

PAD, BOS, EOS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
WIDTH, LAYERS, CONTEXT = 32, 2, 2048

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer with one token per byte (ids 3 to 258) after pad 0, bos 1 and eos 2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    specials = [PAD, BOS, EOS]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate([*specials, *alphabet])}
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytes_only.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def config() -> LlamaConfig:
    """The architecture: 2 layers of width 32, with grouped-query attention as in SmolLM2."""
    return LlamaConfig(
        vocab_size=259,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
        name_or_path="tiny",
    )


def build(auto_class: type, **options: object) -> torch.nn.Module:
    """A model of the given Auto class with weights drawn from seed 0, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture = config()
        for name, value in options.items():
            setattr(architecture, name, value)
        model: torch.nn.Module = auto_class.from_config(architecture)  # type: ignore[attr-defined]
        return model
