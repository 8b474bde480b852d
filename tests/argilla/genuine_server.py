"""A genuine Argilla 2.8 server on this machine, which can be stopped and started again.

The server is unmodified and has an environment of its own (`.ci/argilla` makes it from
`server.lock`). Beside it run what it wants: Redis, and osmem-server behind `search_shim.py` in the
place of a search engine. Everything listens on 127.0.0.1 only.

    python tests/argilla/genuine_server.py SERVER_PYTHON FOLDER

keeps one running until Ctrl-C, to look at in a browser (sign in as owner, password ownerpass123).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

sys.path[:0] = [str(Path(__file__).parents[1])] * (__name__ == "__main__")

from ports import free_port  # noqa: E402

PATIENCE = 240.0
"""Seconds a part may take to answer; a busy machine takes 60 to import Argilla three times."""
OWNER, OWNER_PASSWORD, OWNER_KEY = "owner", "ownerpass123", "owner.apikey"

# One process instead of two, since importing Argilla is what takes the time.
_FIRST_USE = """
import sys
from argilla_server.cli import app

app(["database", "migrate"], standalone_mode=False)
app(["database", "users", "create", *sys.argv[1:]], standalone_mode=False)
"""


@dataclass
class Part:
    """A process, and the file that holds what it says."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> str:
        """The last that it said."""
        return f"--- {self.name}\n{self.log.read_text(errors='replace')[-2000:]}"

    def stop(self) -> None:
        """Ask it to go, then make it and all that it started."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass
class GenuineServer:
    """A running server. What is said to it survives `stop` and `start`: the address stays, too."""

    python: Path
    folder: Path
    worker: bool
    environment: dict[str, str]
    owner_key: str = OWNER_KEY
    port: int = field(default_factory=free_port)
    _parts: list[Part] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the web server, and the worker if there is to be one; wait until it answers."""
        argilla = [str(self.python), "-m", "argilla_server"]
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        self._parts = [self.begin("server", [*argilla, "start", *address, "--no-access-log"])]
        if self.worker:
            self._parts.append(self.begin("worker", [*argilla, "worker", "--num-workers", "1"]))
        wait_until(lambda: httpx.get(f"{self.url}/api/v1/version").is_success, self._parts)

    def stop(self) -> None:
        """Stop the web server and the worker. Redis and the search index, which are kept, go on."""
        for part in reversed(self._parts):
            part.stop()
        self._parts = []

    def restart(self) -> None:
        """Stop, and start again at the same address with all that was kept."""
        self.stop()
        self.start()

    def begin(self, name: str, command: Sequence[str]) -> Part:
        """Start a process in the server's environment. It ends when we end, even if killed."""
        log = self.folder / f"{name}.log"
        tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*tied, *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Part(name, process, log)

    def run(self, *arguments: str) -> None:
        """Run Python in the server's environment to its end.

        Raises:
            RuntimeError: It failed; with what it said.
        """
        done = subprocess.run(
            [str(self.python), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stdout[-1000:] + done.stderr[-2000:]
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{said}")


@contextmanager
def running(python: Path, folder: Path, *, worker: bool = True) -> Iterator[GenuineServer]:
    """Run a server with its database in `folder`: the one found there, else a new one.

    Args:
        python: Interpreter of the environment that holds argilla-server and osmem-server. It is
            not resolved, for in a virtual environment it is a link.
        folder: Where the database and the logs are. It must exist.
        worker: Run a worker, too. Webhooks, and statuses after a change of the number of
            responses asked for, need it.

    Raises:
        FileNotFoundError: There is no redis-server.
        RuntimeError: A part ended; with the last that it said.
        TimeoutError: A part does not answer.
    """
    if not shutil.which("redis-server"):
        raise FileNotFoundError("redis-server is not installed: apt-get install redis-server")
    redis, osmem, shim = free_port(), free_port(), free_port()
    database = folder / "argilla.db"
    server = GenuineServer(
        Path(os.path.abspath(python)),  # noqa: PTH100 -- Path.resolve would follow the link
        folder,
        worker,
        environment={
            **os.environ,
            "ARGILLA_HOME_PATH": str(folder),
            "ARGILLA_DATABASE_URL": f"sqlite+aiosqlite:///{database}?check_same_thread=False",
            "ARGILLA_REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "ARGILLA_ELASTICSEARCH": f"http://127.0.0.1:{shim}",
            "ARGILLA_SEARCH_ENGINE": "opensearch",
            # People stay signed in over a restart.
            "ARGILLA_AUTH_SECRET_KEY": "kept over a restart, as in a real installation",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "1",
        },
    )
    find = "import osmem_server; print(osmem_server.resolve_binary())"
    binary = subprocess.check_output([server.python, "-c", find], text=True).strip()
    here = Path(__file__).parent
    front = [str(server.python), str(here / "search_shim.py"), "--listen", str(shim)]
    parts: list[Part] = []
    try:
        for name, command in {
            "redis": [
                *("redis-server", "--port", str(redis), "--bind", "127.0.0.1"),
                *("--save", "", "--dir", str(folder)),
            ],
            "osmem": [
                *(binary, "-addr", f"127.0.0.1:{osmem}", "-no-stdin-watch"),
                *("-parent-pid", str(os.getpid())),
            ],
            "shim": [*front, "--upstream", f"http://127.0.0.1:{osmem}"],
        }.items():
            parts.append(server.begin(name, command))
        known = database.exists()
        if not known:
            server.run(
                *("-c", _FIRST_USE, "--username", OWNER, "--first-name", OWNER, "--role", "owner"),
                *("--password", OWNER_PASSWORD, "--api-key", OWNER_KEY),
            )
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{shim}").is_success, parts)
        if known:  # The index was in memory.
            server.run("-m", "argilla_server", "search-engine", "reindex")
        server.start()
        yield server
    finally:
        server.stop()
        for part in reversed(parts):
            part.stop()


def wait_until(answers: Callable[[], bool], parts: Sequence[Part]) -> None:
    """Wait until it answers; a part that ends meanwhile is an error."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if answers():
                return
        for part in parts:
            if part.process.poll() is not None:
                raise RuntimeError(f"{part.name} ended ({part.process.returncode}):\n{part.end()}")
        time.sleep(0.1)
    raise TimeoutError("\n".join([f"No answer in {PATIENCE} s.", *(part.end() for part in parts)]))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running(Path(sys.argv[1]), Path(sys.argv[2])) as shown, suppress(KeyboardInterrupt):
        print(f"{shown.url} (API key {shown.owner_key})", flush=True)
        signal.pause()
