"""Judges that are AlpacaEval's annotators, asked through the `alpaca-eval` package itself.

The package decides what is asked, of whom, in which (drawn) order, and how the reply is read:
Li et al. (2023), "AlpacaEval: An Automatic Evaluator of Instruction-following Models",
github.com/tatsu-lab/alpaca_eval. One order is asked, as its published figures are. A preference
that is a probability, as the weighted annotators give it, counts by its side of one half.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from evaluation.endpoint import LONGEST_QUOTE, NO_KEY, OPENAI, Endpoint
from evaluation.endpoint_keys import DEFAULT_KEY_VARIABLE
from evaluation.judges.pair_prompt import as_text, defused
from evaluation.judges.voting import Abstention, Ballot, Judge, Spent
from feedback.assignment import ShownTask
from storage.errors import InvalidData, InvalidOption, NotFound, ServiceFailed
from storage.recipes import RecipeConfig
from storage.records import Kind

CONFIGS = "configs.yaml"
TIMEOUT, RETRIES = 120.0, 5
"""Seconds of a try, and further tries, of the package's OpenAI client."""

_PLACE = re.compile(r"\{(?=(?:instruction|input|output_1|output_2)\})")
_PLACES = re.compile(r"\{\w+\}")


class AlpacaEvalConfig(RecipeConfig):
    """Let one of AlpacaEval's annotators decide."""

    annotators: Annotated[
        str,
        Field(
            min_length=1,
            description="A name from the alpaca-eval package, such as"
            " weighted_alpaca_eval_gpt4_turbo, or a folder with a configs.yaml",
        ),
    ]
    base_url: Annotated[
        str | None,
        Field(description="OpenAI-compatible address, instead of OpenAI's own"),
    ] = None
    key_variable: Annotated[str, Field(description="Environment variable that holds the key")] = (
        DEFAULT_KEY_VARIABLE
    )


def alpaca_eval_judge(config: AlpacaEvalConfig) -> Judge:
    """One of AlpacaEval's annotators, ready to vote.

    Raises:
        NotFound: The package has no annotators of that name, and there is no such folder.
        InvalidOption: They need a key that is not there, a package that is not installed, or cannot
            be asked at another address.
        InvalidData: Their configuration is broken.
    """
    with _package() as package:
        folder = _folder(config.annotators, package.constants.EVALUATORS_CONFIG_DIR)
        annotator = _load(folder, package.annotators.PairwiseAnnotator)
    endpoint = _connect(annotator, config)

    def ballots(tasks: Sequence[ShownTask]) -> Iterator[Ballot | Abstention]:
        rows = [_row(task) for task in tasks]
        with _package():
            found = _annotated(annotator, rows, endpoint)
        yield from found

    where = f" at {endpoint.host}" if endpoint and config.base_url else ""
    name = f"judge: AlpacaEval {folder.name}{where}"
    return Judge(name=name, kind=Kind.PROGRAM, ballots=ballots)


def _annotated(
    annotator: Any,
    rows: Sequence[Mapping[str, str]],
    endpoint: Endpoint | None,
) -> list[Ballot | Abstention]:
    """What the package says of each row: of all at once, or one by one where that fails.

    The package gives up a whole batch when one request is refused.

    Raises:
        ServiceFailed: A request gets no answer at all.
        NotAllowed: The key is not accepted.
    """
    from openai import APIConnectionError, OpenAIError  # noqa: PLC0415 - half a second to import

    problem: Exception
    try:
        answers = annotator.annotate_pairs([dict(row) for row in rows])
    except OpenAIError as error:
        refusal = endpoint.refusal(error, llm=_model(annotator)) if endpoint else None
        if refusal is not None:
            raise refusal from error
        if isinstance(error, APIConnectionError):
            raise ServiceFailed(
                f"{endpoint.host if endpoint else 'The service'} cannot be reached; without it"
                " AlpacaEval's annotators cannot judge. The votes given before are kept."
            ) from error
        problem = error
    except Exception as error:  # noqa: BLE001 - the package raises all kinds, for one bad row too
        problem = error
    else:
        keys = ("instruction", "output_1", "output_2")
        by_texts = {tuple(one[key] for key in keys): one for one in answers}
        return [_ballot(by_texts.get(tuple(row[key] for key in keys), {})) for row in rows]
    if len(rows) > 1:
        found = [one for row in rows for one in _annotated(annotator, [row], endpoint)]
        if all(isinstance(one, Abstention) and one.why == "failed" for one in found):
            raise ServiceFailed(
                f"AlpacaEval's annotators failed on each of {len(rows)} tasks"
                f" ({type(problem).__name__}{_quoted(problem, endpoint)}). The votes given before"
                " are kept."
            ) from problem
        return found
    detail = f"alpaca-eval failed ({type(problem).__name__}{_quoted(problem, endpoint)})."
    return [Abstention(why="failed", detail=detail)]


def _quoted(problem: Exception, endpoint: Endpoint | None) -> str:
    if endpoint is not None:
        return endpoint.quoted(problem)
    said = " ".join(str(problem).split())[:LONGEST_QUOTE]
    return f", saying {said!r}" if said else ""


def _ballot(answer: Mapping[str, Any]) -> Ballot | Abstention:
    preference = answer.get("preference")
    is_number = isinstance(preference, int | float) and math.isfinite(preference)
    price = answer.get("preference_price_per_example")
    tokens = [
        kept["total_tokens"]
        for kept in (
            answer.get("preference_raw_completion"),
            answer.get("preference_completions_all"),
        )
        if isinstance(kept, Mapping) and "total_tokens" in kept
    ]
    spent = Spent(
        replies=1,
        parsed=int(is_number),
        tokens=round(tokens[0]) if tokens else 0,
        untold=int(not tokens),
        cost=float(price) if isinstance(price, int | float) and math.isfinite(price) else None,
    )
    if preference is None or not is_number:
        detail = "alpaca-eval read no preference in a reply."
        return Abstention(why="unparsable", detail=detail, spent=spent)
    return Ballot(choice=(preference > 1.5) - (preference < 1.5), spent=spent)


def _row(task: ShownTask) -> dict[str, str]:
    """What the package may know of a task. No identifier of anything is in it.

    It fills its templates by replacing `{output_1}` and the like one after the other, and takes
    the control tokens of ChatML from the result. Both are broken up where a text holds them.

    Raises:
        InvalidData: The task does not show two answers.
    """
    if len(task.responses) != 2:
        raise InvalidData(
            f"AlpacaEval's annotators compare two answers; this task shows {len(task.responses)}."
        )
    texts = (as_text(task.prompt), *task.responses)
    safe = [_PLACE.sub("{ ", defused(text)) for text in texts]
    return dict(zip(("instruction", "output_1", "output_2"), safe, strict=True))


def _folder(annotators: str, shipped_in: Path) -> Path:
    """Where the configuration lies: in a folder of that name, or among the package's own."""
    own = Path(annotators)
    if (own / CONFIGS).is_file():
        return own.resolve()
    shipped = {place.parent.name: place.parent for place in shipped_in.glob(f"*/{CONFIGS}")}
    if annotators not in shipped:
        raise NotFound(
            "annotator of AlpacaEval (nor folder with a configs.yaml)", annotators, shipped
        )
    return shipped[annotators]


def _load(folder: Path, make: Callable[..., Any]) -> Any:
    """The package's annotator, which keeps nothing on disk."""
    try:
        annotator = make(
            annotators_config=folder,
            # Its own cache would lie in the installed package.
            caching_path=None,
            is_avoid_reannotations=False,
            other_output_keys_to_keep=(
                "{annotation_key}_price_per_example",
                "{annotation_key}_raw_completion",
                "{annotation_key}_completions_all",
            ),
        )
    except ImportError as error:
        raise InvalidOption(
            "annotators", f"they need a Python package that is missing ({error})", folder.name
        ) from error
    except Exception as error:
        raise InvalidData(
            f"The annotators in {folder.name} cannot be used: {' '.join(str(error).split())[:300]}"
            f" ({type(error).__name__}). See alpaca-eval's README for what {CONFIGS} holds."
        ) from error
    for name, one in annotator.annotators.items():
        # Without them the annotator would be asked about nothing, and answer.
        if not {"{output_1}", "{output_2}"} <= set(_PLACES.findall(one.prompt_template)):
            raise InvalidData(f"The prompt_template of {name} lacks {{output_1}} or {{output_2}}.")
    return annotator


def _connect(annotator: Any, config: AlpacaEvalConfig) -> Endpoint | None:
    """Tell the package's OpenAI client where to ask, with which key; None if it is not used.

    Raises:
        InvalidOption: No key where one is needed, several services in one pool, or an address for
            annotators that have none.
    """
    pool = list(annotator.annotators.values())
    kinds = {one.fn_completions.__name__ for one in pool}
    if "openai_completions" not in kinds:
        if config.base_url is not None:
            raise InvalidOption(
                "base_url",
                f"the annotators ask by {', '.join(sorted(kinds))}, which takes no"
                " OpenAI-compatible address; leave it out",
                config.base_url,
            )
        return None
    own = {one.completions_kwargs.get("client_kwargs", {}).get("base_url") for one in pool}
    if len(kinds) > 1 or len(own) > 1:
        raise InvalidOption(
            "annotators", "they ask several services; take a pool with one", config.annotators
        )
    endpoint = Endpoint.of(
        config.base_url or own.pop() or OPENAI,
        key_variable=config.key_variable,
        environment=os.environ,
    )
    if endpoint.key is None and config.base_url is None:
        raise InvalidOption(
            "key_variable",
            f"these annotators ask {endpoint.host}, which needs a key, and the environment variable"
            " holds none; set it, or name another server with --base-url",
            "no key",
        )
    for one in pool:
        one.completions_kwargs = {
            **one.completions_kwargs,
            "openai_api_base": endpoint.base_url,
            "openai_api_keys": [endpoint.key or NO_KEY],
            "openai_organization_ids": [None],
            # Otherwise a file with addresses and keys of its own may be found.
            "client_config_path": os.devnull,
            "client_kwargs": {"timeout": TIMEOUT, "max_retries": RETRIES},
        }
    return endpoint


def _model(annotator: Any) -> str:
    names = (one.completions_kwargs.get("model_name") for one in annotator.annotators.values())
    return ", ".join(sorted({str(name) for name in names}))


@contextmanager
def _package() -> Iterator[Any]:
    """The package, working without leaving anything behind.

    When it is imported it reads a `.env` file into the environment, turns everybody's logging up,
    and asks who is signed in, which some containers do not know. When it works it logs texts.
    """
    root = logging.getLogger()
    level, before = root.level, set(os.environ)
    os.environ.setdefault("LOGNAME", "tandem")
    try:
        with warnings.catch_warnings(category=UserWarning, action="ignore"):  # pkg_resources is old
            import alpaca_eval.annotators  # noqa: PLC0415 - seconds to import

        root.setLevel(logging.CRITICAL)
        yield alpaca_eval
    finally:
        root.setLevel(level)
        for name in os.environ.keys() - before:
            del os.environ[name]
