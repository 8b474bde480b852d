"""`tandem models export` and `push`: models for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from app.commands.home import AsJson, InHome
from app.commands.output import agreed, tell, tell_json

if TYPE_CHECKING:
    from training.export_config import ExportConfig

AnyModel = Annotated[
    str,
    Parameter(
        name="NAME", help="A model, by its name or id; or the folder of one that Tandem trained."
    ),
]
Merge = Annotated[
    bool,
    Parameter(
        negative="--adapter",
        help="Whole weights with any adapter folded in; or the adapter alone, for PEFT.",
    ),
]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"] | None,
    Parameter(
        help="Of merged weights; when left out fp32 for a reward model, that of its base for a"
        " policy."
    ),
]
Licence = Annotated[
    str, Parameter(help="For the card, as the Hub abbreviates it, such as apache-2.0")
]


def export(
    name: AnyModel,
    /,
    *,
    home: InHome,
    output: Annotated[Path, Parameter(help="A new folder.")],
    merge: Merge = True,
    dtype: Precision = None,
    licence: Licence = "unknown",
    as_json: AsJson = False,
) -> None:
    """Write a model as a folder that Transformers, vLLM, TRL or PEFT open without Tandem.

    A policy opens as AutoModelForCausalLM, a reward model as AutoModelForSequenceClassification
    with one label. Merging takes 4 bytes of memory for each weight.
    """
    from app.model_export import export_model_to, exportable, told
    from app.progress import ConsoleProgress

    config = _config(merge=merge, dtype=dtype, licence=licence)
    with home.open() as (settings, database):
        with database.read() as connection:
            model = exportable(connection, settings, name)
        with ConsoleProgress("export") as progress:
            done = export_model_to(model, output, config, progress=progress)
    if as_json:
        tell_json({"model": model.name, "folder": str(output), **told(done)})
    else:
        tell(f"{model.name} written to {output} ({sum(done.files.values()) / 1e6:,.1f} MB)")


def push(
    name: AnyModel,
    /,
    *,
    home: InHome,
    to: Annotated[str, Parameter(help="OWNER/NAME on the Hugging Face Hub; private.")],
    merge: Merge = True,
    dtype: Precision = None,
    public: Annotated[
        bool, Parameter(negative=(), help="Let everybody read it on the Hub; asks first.")
    ] = False,
    yes: Annotated[bool, Parameter(negative=(), help="Publish without asking.")] = False,
    licence: Licence = "unknown",
    as_json: AsJson = False,
) -> None:
    """Write a model with its card into a repository on the Hugging Face Hub."""
    from app.model_export import exportable, push_model, told
    from app.progress import ConsoleProgress

    config = _config(merge=merge, dtype=dtype, licence=licence)
    with home.open() as (settings, database):
        with database.read() as connection:
            model = exportable(connection, settings, name)
        with ConsoleProgress("push") as progress:
            done, address = push_model(
                model,
                config,
                name=to,
                public=public,
                confirm=lambda question: yes or agreed(question),
                progress=progress,
            )
    if as_json:
        tell_json({"model": model.name, "place": address, "private": not public, **told(done)})
    else:
        tell(f"{model.name} is at {address} ({'public' if public else 'private'})")


def _config(**typed: Any) -> ExportConfig:
    from training.export_config import ExportConfig

    return ExportConfig.read(typed)
