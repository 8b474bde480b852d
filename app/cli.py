"""The `tandem` command.

Groups of commands are named here and imported when one of them is used, so that `tandem --help`
answers in a tenth of a second. Exit codes: 0 done, 1 refused or failed with one sentence, 2 wrong
usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from app.commands.home import Home
from storage.errors import TandemError

GROUPS = {
    "serve": ("serving:serve", "Open Tandem in the browser: web server and worker in one."),
    "worker": ("serving:worker", "Work queued jobs off, here or on another machine."),
    "demo": ("serving:demo", "Run the whole loop without people and write a report."),
    "import": ("data:import_file", "Import prompts, responses and judgements from a file."),
    "check": ("check_data:check", "Say what would hurt in a file, a snapshot or a project."),
    "export": ("data:export", "Write a project's judgements as training data."),
    "snapshot": ("data:snapshot", "Freeze judgements so that models can be trained on them."),
    "train": ("train:train", "Train a reward model or a policy."),
    "sample": ("models:sample", "Let policies answer prompts."),
    "score": ("models:score", "Let a reward model score responses."),
    "evaluate": ("evaluate:evaluate", "Measure a reward model or a file of votes."),
    "study": ("studies:study", "Compare policies in blinded studies."),
    "judge": ("judge:judge", "Let a program vote in a study."),
    "argilla": ("argilla:argilla", "Let people judge in Argilla, and bring it back."),
    "models": ("models:models", "List, show and export trained models."),
    "jobs": ("jobs:jobs", "List, show and cancel slow work."),
    "users": ("users:users", "Add people and say what they may do."),
    "doctor": ("serving:doctor", "Say what is installed, which device works, what fits."),
}


def make_app() -> App:
    """The command with all its groups, none of them imported yet."""
    app = App(
        name="tandem",
        help="Learn from pairwise preferences and 1-7 ratings: collect, train, compare.",
        version=_version,
        # Markdown would be parsed by a library that takes longer to import than all the rest.
        help_format="plaintext",
        # Errors are printed by `main`, as one line.
        print_error=False,
        exit_on_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, (place, summary) in GROUPS.items():
        app.command(f"app.commands.{place}", name=name, help=summary)

    app.meta.suppress_keyboard_interrupt = False

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        data_dir: Annotated[
            Path | None,
            Parameter(help="Where everything is kept, instead of TANDEM_DATA_DIR."),
        ] = None,
    ) -> None:
        command, bound, injected = app.parse_args(tokens)
        given = {"home": Home(data_dir)} if "home" in injected else {}
        command(*bound.args, **bound.kwargs, **given)

    return app


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Read when torch is loaded. Threads that spin at barriers make everything several times slower
    # as soon as another process wants a core too; threads that sleep do not.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        make_app().meta(tokens)
    except CycloptsError as error:
        return _fail(str(error), code=2)
    except KeyboardInterrupt:
        return _fail("Interrupted.", code=130)
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # noqa: BLE001 - users see a sentence, whoever mends it the trace
        return _fail(_sentence(error))
    return 0


def _sentence(error: Exception) -> str:
    """What a user reads of an error."""
    if isinstance(error, TandemError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'}: {error.strerror or error}."
    return _reported(error)


def _reported(bug: Exception) -> str:
    """Keep the trace of a mistake of ours in a file, and name the file."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="tandem-trace-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(bug, file=file)
    return (
        f"This should not have happened ({type(bug).__name__}: {bug}). The trace is in {file.name};"
        " please report it."
    )


def _fail(sentence: str, *, code: int = 1) -> int:
    sys.stderr.write(f"error: {' '.join(sentence.split())}\n")
    return code


def _version() -> str:
    from app.version import tandem_version

    return tandem_version()


if __name__ == "__main__":
    sys.exit(main())
