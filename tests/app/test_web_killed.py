"""A web process that dies in the middle of the work loses no judgement that it acknowledged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Web, answer
from serving import Served, serving

from storage.database import Database
from storage.settings import Settings

ANNOTATORS, TASKS = 12, 40


class Annotating:
    """Somebody whose browser sends until it hears that the judgement was kept."""

    def __init__(self, address: str, token: str) -> None:
        self.browser = httpx.Client(
            base_url=address, headers={"X-Requested-With": "fetch"}, timeout=10
        )
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.unheard = 0
        assert self.browser.post(f"/sign-in/{token}").status_code == 303

    def work(self) -> None:
        while tasks := self._until_heard("GET", "/api/v1/tasks?count=5").json()["tasks"]:
            for task in tasks:
                said = answer(task)
                reply = self._until_heard("POST", "/api/v1/submissions", json=said)
                assert reply.status_code == 200, reply.text
                self.acknowledged[said["submission"]] = said

    def _until_heard(self, method: str, path: str, **sent: Any) -> httpx.Response:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                reply = self.browser.request(method, path, **sent)
            except httpx.TransportError:
                self.unheard += 1
                time.sleep(0.05)
            else:
                if reply.status_code < 500:
                    return reply
        raise AssertionError("the server never answered again")


def kill_in_the_middle(server: Served, everybody: list[Annotating], goals: list[int]) -> None:
    for goal in goals:
        deadline = time.monotonic() + 120
        while sum(len(one.acknowledged) for one in everybody) < goal:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        server.kill()
        server.start()


@pytest.mark.timeout(600)
def test_every_acknowledged_judgement_is_kept_exactly_once(sqlite_url: str, data_dir: Path) -> None:
    database = Database(sqlite_url)
    web = Web(Settings(data_dir=data_dir), database, datetime.now(UTC))
    project = web.project(prompts=TASKS, overlap=4)
    tokens = [web.token(web.person(f"Annotator {number}")) for number in range(ANNOTATORS)]
    total = TASKS * 4
    with serving(data_dir, sqlite_url, pages="none") as server:
        everybody = [Annotating(server.address, token) for token in tokens]
        killer = threading.Thread(
            target=kill_in_the_middle, args=(server, everybody, [total // 4, total // 2])
        )
        killer.start()
        with ThreadPoolExecutor(ANNOTATORS) as pool:
            list(pool.map(Annotating.work, everybody))
        killer.join()

    kept = Counter(row.submission for row in web.kept(project))
    acknowledged = {name for one in everybody for name in one.acknowledged}
    assert acknowledged <= set(kept)
    assert set(kept.values()) == {1}
    assert sum(one.unheard for one in everybody) > 0, "nobody noticed that the server was killed"
    # Nothing is judged too often, and what was left over is judged in the end.
    assert max(Counter(row.task for row in web.kept(project)).values()) <= 4
    assert len(kept) == total
    database.close()
