"""Load a language model by name, from wherever it is, in the precision that suits the machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from storage.errors import InvalidData, InvalidOption
from storage.records import Message
from training import tiny
from training.places import DEFAULT_BASE, TINY, ModelNotFound, fingerprint, resolve
from training.quiet import quietly

__all__ = [
    "DEFAULT_BASE",
    "TINY",
    "ModelNotFound",
    "answer_ids",
    "best_dtype",
    "chat_ids",
    "default_dtype",
    "fingerprint",
    "load_causal",
    "load_scalar",
    "load_tokenizer",
    "pick_device",
    "resolve",
]

# For base models that bring no template of their own; saved with whatever is trained from them.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}"
)

log = logging.getLogger(__name__)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, with a chat template and a padding token that is not the end token.

    Padding with the end token would hide the end of every answer from training. `padding_side` is
    left as it comes; whoever generates sets it to left.

    Raises:
        ModelNotFound: See `resolve`.
        InvalidData: It has no end token, or no token that can serve as padding.
    """
    source = resolve(name)
    if source == TINY:
        return tiny.tokenizer()
    tokenizer = _read(name, lambda: AutoTokenizer.from_pretrained(source, trust_remote_code=False))
    if tokenizer.eos_token_id is None:
        raise InvalidData(f"The tokenizer of {name!r} has no end token; choose another base model.")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.pad_token = _padding(name, tokenizer)
    if not tokenizer.chat_template:
        log.warning("%s has no chat template; turns are written as 'User: ...'", name)
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def load_causal(
    name: str, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> PreTrainedModel:
    """A model that continues text, in evaluation mode.

    Args:
        name: `tiny`, a folder, or a name on the Hub.
        dtype: Precision of the weights; by default the one that is fastest on the device.
        device: By default the best one there is.

    Raises:
        ModelNotFound: See `resolve`.
        InvalidData: The folder holds no weights in safetensors.
    """
    return _load(AutoModelForCausalLM, name, dtype, device)


def load_scalar(
    name: str, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> PreTrainedModel:
    """A model that gives a conversation one number: `AutoModelForSequenceClassification`.

    The head `score` is in fp32 whatever the rest is in, because bf16 there moves rewards by a third
    of their spread. A new head starts at zero: every reward is 0 and the first loss is known.

    Raises:
        As `load_causal`; and InvalidData for architectures whose head is not called `score`.
    """
    model = _load(AutoModelForSequenceClassification, name, dtype, device, num_labels=1)
    if not isinstance(getattr(model, "score", None), torch.nn.Linear):
        raise InvalidData(f"{name!r} cannot carry a reward head; choose a decoder-only base model.")
    model.score.to(torch.float32)
    return model


def pick_device(name: str = "auto") -> torch.device:
    """The device to compute on; `auto` takes CUDA, then Apple's, then the processor.

    Raises:
        InvalidOption: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidOption("device", "there is no such device here", name) from error
    return device


def best_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it faster than fp32, else fp32.

    On processors that means AVX512-BF16 or AMX. Measured with SmolLM2-135M, tokens per second of
    one core: with AVX512-BF16 alone forward 390 in fp32, 1200 in bf16, backward 125 and 330; with
    AMX about 8 times in matrix products. fp32 weights with `set_float32_matmul_precision("medium")`
    lie between, 650 and 190. Without either, bf16 is emulated and slower than fp32. The answer is
    read from the processor's flags, not from a stopwatch, so that a resumed run chooses the same.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        flags = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        fast = bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32


def default_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision a model is loaded in when none is asked for: the tiny one is always exact."""
    return torch.float32 if name == TINY else best_dtype(device)


def chat_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, answer: str | None = None
) -> list[int]:
    """Token ids of a conversation up to where the assistant speaks, and of its answer if given.

    The answer is closed with the end token, where its reward is read. Special tokens written out in
    the answer's text are taken as text, so that an answer cannot end itself early.

    Raises:
        InvalidData: The model's chat template refuses the conversation.
    """
    from jinja2 import TemplateError

    try:
        ids: list[int] = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
        )
    except TemplateError as error:
        raise InvalidData(f"The model's chat template refuses a conversation: {error}.") from error
    return ids if answer is None else ids + answer_ids(tokenizer, answer)


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Token ids of an answer alone, closed with the end token."""
    # Without verbose=False it would warn of answers that are too long, whoever checks that anyway.
    encoded = tokenizer(answer, add_special_tokens=False, split_special_tokens=True, verbose=False)
    return [*encoded["input_ids"], tokenizer.eos_token_id]


def _load(
    auto_class: Any,
    name: str,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    **options: Any,
) -> PreTrainedModel:
    device = torch.device(device) if device else pick_device()
    dtype = dtype or default_dtype(name, device)
    source = resolve(name)
    tokenizer = load_tokenizer(name)
    new_head = True
    if source == TINY:
        model: Any = tiny.build(auto_class, **options).to(dtype)
    else:
        model, report = _read(
            name,
            lambda: auto_class.from_pretrained(
                source,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            ),
        )
        new_head = "score.weight" in report["missing_keys"]
    head = getattr(model, "score", None)
    if new_head and isinstance(head, torch.nn.Linear):
        torch.nn.init.zeros_(head.weight)
    # Scalar models read the reward at the last token that the config does not call padding.
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval()


def _read(name: str, read: Callable[[], Any]) -> Any:
    try:
        with quietly():
            return read()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InvalidData(
            f"The model {name!r} cannot be read: {reason}. Tandem reads Hugging Face folders with"
            " weights in safetensors."
        ) from error


def _padding(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """A special token to pad with: the usual names first, then any that does not end an answer."""
    usual = ["<|endoftext|>", "<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"]
    known = tokenizer.get_vocab()
    usual = [token for token in usual if token in known]
    others = [token for token in (tokenizer.unk_token, tokenizer.bos_token) if token]
    for token in [*usual, *others, *tokenizer.all_special_tokens]:
        if token != tokenizer.eos_token:
            return str(token)
    raise InvalidData(
        f"The tokenizer of {name!r} has no special token besides the end token, so nothing can pad;"
        " choose another base model."
    )
