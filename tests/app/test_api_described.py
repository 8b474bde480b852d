"""Every endpoint keeps to its OpenAPI description, whatever is sent to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import Web, answer, open_plain_web

from storage.database import Database
from storage.records import Role
from storage.settings import Settings

DESCRIBED = [
    ("get", "/api/v1/tasks"),
    ("post", "/api/v1/submissions"),
    ("post", "/api/v1/skip"),
    ("post", "/api/v1/flag"),
    ("post", "/api/v1/undo"),
    ("get", "/api/v1/progress"),
    ("get", "/api/v1/statistics"),
    ("post", "/api/v1/messages/{message}/read"),
    ("post", "/api/v1/known"),
    ("post", "/api/v1/score"),
    ("post", "/api/v1/study/{code}/enter"),
    ("post", "/api/v1/study/{code}/begin"),
    ("post", "/api/v1/study/{code}/withdraw"),
    ("get", "/api/v1/projects/{name}/export/{form}"),
    ("get", "/api/v1/jobs/{job}/report"),
    ("get", "/api/v1/studies/{study}/report"),
    ("get", "/api/v1/studies/{study}/package"),
    ("get", "/api/v1/health"),
]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
junk = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def web(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Web, TestClient, dict[str, Any]]]:
    """One installation for all, since what is refused changes nothing."""
    folder = tmp_path_factory.mktemp("described")
    path = folder / "tandem.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(Settings(data_dir=folder).database)
    with pytest.MonkeyPatch.context() as patch:
        opened = open_plain_web(database, folder, datetime(2026, 3, 14, tzinfo=UTC), patch)
        opened.project(overlap=2)  # Rosa may lease a task on the way
        browser = opened.browser(opened.person("Rosa", Role.RESEARCHER))
        described = browser.get("/api/v1/openapi.json").json()
        yield opened, browser, described


def test_this_file_knows_every_endpoint(web: tuple[Web, TestClient, dict[str, Any]]) -> None:
    described = web[2]["paths"]
    assert {(method, path) for path, methods in described.items() for method in methods} == set(
        DESCRIBED
    )


def test_each_address_in_the_readme_is_there() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    addresses = re.findall(r":7860(/api/v1/[a-z/]+)", readme.read_text("utf-8"))
    assert addresses
    assert set(addresses) <= {path for _, path in DESCRIBED}


@pytest.mark.parametrize(("method", "path"), DESCRIBED, ids=lambda part: part.rsplit("v1/")[-1])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_sent_the_reply_is_one_that_is_described(
    web: tuple[Web, TestClient, dict[str, Any]], method: str, path: str, data: st.DataObject
) -> None:
    _, browser, described = web
    told = described["paths"][path][method]
    query, address, body = {}, path, None
    for parameter in told.get("parameters", []):
        sent = data.draw(texts.filter(bool) | st.integers().map(str), label=parameter["name"])
        if parameter["in"] == "path":
            address = address.replace(
                "{" + parameter["name"] + "}", "".join(one for one in sent if one.isalnum()) or "x"
            )
        elif data.draw(st.booleans()):
            query[parameter["name"]] = sent
    if "requestBody" in told:
        name = told["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
        fields = described["components"]["schemas"][name]["properties"]
        body = data.draw(junk | st.fixed_dictionaries({}, optional=dict.fromkeys(fields, junk)))
    reply = browser.request(method, address, params=query, json=body)
    assert str(reply.status_code) in told["responses"], (reply.status_code, reply.text)
    if reply.status_code >= 400:
        assert set(reply.json()) == {"error"}


def test_a_whole_reply_has_just_the_fields_that_are_described(
    web: tuple[Web, TestClient, dict[str, Any]],
) -> None:
    opened, _, described = web
    schemas = described["components"]["schemas"]
    browser = opened.browser(opened.person("Mira"))
    work = browser.get("/api/v1/tasks").json()
    assert set(work) == set(schemas["Work"]["properties"])
    assert set(work["tasks"][0]) == set(schemas["TaskShown"]["properties"])
    assert set(work["project"]) == set(schemas["ProjectShown"]["properties"])
    kept = browser.post("/api/v1/submissions", json=answer(work["tasks"][0])).json()
    assert set(kept) == set(schemas["Kept"]["properties"])
    assert set(browser.get("/api/v1/statistics").json()) == set(schemas["Figures"]["properties"])
    assert "from" in schemas["MessageShown"]["properties"]
