"""Who may come in, and how far."""

from __future__ import annotations

import re
import stat
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import Web, answer, open_plain_web, open_web

from app.access import (
    PARTICIPANT,
    SESSION,
    SESSION_LIFETIME,
    first_link,
    link_address,
    may,
    secret,
)
from app.server import MEGABYTE
from storage.annotators import annotators, set_active, set_role
from storage.database import Database
from storage.errors import StorageFailed
from storage.records import Role

EXPORT = "/api/v1/projects/Balcony/export/preference"
PAGE = {"Accept": "text/html"}


@pytest.fixture
def web(database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Web:
    return open_plain_web(database, data_dir, now, monkeypatch)


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize("needed", Role)
@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_all_that_the_later_ones_may(web: Web, role: Role, needed: Role) -> None:
    order = [Role.ADMINISTRATOR, Role.RESEARCHER, Role.ANNOTATOR, Role.PARTICIPANT]
    assert may(web.person("Mira", role), needed) is (order.index(role) <= order.index(needed))


def test_a_link_signs_in_once(web: Web) -> None:
    mira = web.person("Mira")
    token = web.token(mira)
    first = web.browser().post(f"/sign-in/{token}")
    assert (first.status_code, first.headers["location"]) == (303, "/annotate/")
    second = web.browser().post(f"/sign-in/{token}")
    assert second.status_code == 403
    assert "used already" in second.text
    assert SESSION not in second.cookies


def test_looking_at_a_link_does_not_use_it_up(web: Web) -> None:
    token = web.token(web.person("Mira"))
    for _ in range(3):
        preview = web.browser().get(f"/sign-in/{token}")
        assert preview.status_code == 200
        assert SESSION not in preview.cookies
    assert web.browser().post(f"/sign-in/{token}").status_code == 303


def test_an_old_link_does_not_work(web: Web) -> None:
    token = web.token(web.person("Mira"), now=web.now - timedelta(days=2))
    assert web.browser().post(f"/sign-in/{token}").status_code == 403


def test_the_form_works_without_a_script_and_only_from_our_own_page(web: Web) -> None:
    token = web.token(web.person("Mira"))
    plain = TestClient(web.app, base_url=web.settings.address, follow_redirects=False)
    stranger = TestClient(web.app, base_url=web.settings.address, follow_redirects=False)
    page = plain.get(f"/sign-in/{token}").text
    assert stranger.post(f"/sign-in/{token}").status_code == 403
    stolen = {"form_token": form_token(page)}
    assert stranger.post(f"/sign-in/{token}", data=stolen).status_code == 403
    assert plain.post(f"/sign-in/{token}", data=stolen).status_code == 303


def test_a_pasted_link_signs_in_and_leads_on(web: Web) -> None:
    mira = web.person("Mira")
    for link in (link_address(web.settings, web.token(mira)), f"  {web.token(mira)} "):
        browser = web.browser()
        page = browser.get("/sign-in", params={"next": "/annotate/?project=Balcony"}).text
        reply = browser.post(
            "/sign-in",
            data={
                "link": link,
                "form_token": form_token(page),
                "next": "/annotate/?project=Balcony",
            },
        )
        assert (reply.status_code, reply.headers["location"]) == (303, "/annotate/?project=Balcony")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"],
)
def test_signing_in_leads_to_our_own_pages_only(web: Web, elsewhere: str) -> None:
    token = web.token(web.person("Mira"))
    reply = web.browser().post("/sign-in", data={"link": token, "next": elsewhere})
    assert reply.headers["location"] == "/annotate/"


def test_what_the_address_bar_says_is_shown_as_text(web: Web) -> None:
    for path in ('/sign-in?next="><script>alert(1)</script>', "/sign-in/<script>alert(1)</script>"):
        assert "<script>alert" not in web.browser().get(path, headers=PAGE).text


def test_the_cookie_is_closed_to_scripts_and_other_sites(
    database: Database, data_dir: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address, secure in (("", False), ("https://tandem.example", True)):
        web = open_plain_web(database, data_dir, now, monkeypatch, public_url=address)
        mira = web.person(f"Mira {secure}")
        header = web.browser().post(f"/sign-in/{web.token(mira)}").headers["set-cookie"].lower()
        assert "httponly" in header
        assert "samesite=lax" in header
        assert ("secure" in header) is secure


def test_a_changed_or_expired_cookie_is_nobody(web: Web) -> None:
    web.project()
    browser = web.browser(web.person("Mira"))
    assert browser.get("/api/v1/tasks").status_code == 200
    web.now += SESSION_LIFETIME - timedelta(seconds=1)
    assert browser.get("/api/v1/tasks").status_code == 200
    web.now += timedelta(seconds=2)
    assert browser.get("/api/v1/tasks").status_code == 401
    web.now -= timedelta(days=10)
    value = browser.cookies[SESSION]
    browser.cookies.clear()
    for changed in (value[:-2] + "xx", "x" + value, "", "null", value.partition(".")[0]):
        browser.cookies.set(SESSION, changed)
        assert browser.get("/api/v1/tasks").status_code == 401
        browser.cookies.clear()


def test_taking_a_person_or_a_role_away_works_at_once(web: Web) -> None:
    web.project()
    rosa = web.person("Rosa", Role.RESEARCHER)
    browser = web.browser(rosa)
    assert browser.get("/api/v1/openapi.json").status_code == 200
    with web.database.write() as connection:
        set_role(connection, rosa.id, Role.ANNOTATOR)
    assert browser.get("/api/v1/openapi.json").status_code == 403
    assert browser.get("/api/v1/tasks").status_code == 200
    with web.database.write() as connection:
        set_active(connection, rosa.id, False)
    assert browser.get("/api/v1/tasks").status_code == 401


def test_signing_out_takes_the_cookie_back(web: Web) -> None:
    browser = web.browser(web.person("Mira"))
    bare = TestClient(web.app, base_url=web.settings.address, cookies=browser.cookies)
    assert bare.post("/sign-out").status_code == 403
    assert browser.post("/sign-out").status_code == 303
    assert browser.get("/api/v1/tasks").status_code == 401


def test_the_account_page_says_who_is_signed_in_and_what_is_closed_to_them(web: Web) -> None:
    mira, rosa = web.person("Mira <b>"), web.person("Rosa", Role.RESEARCHER)
    wanted = "/sign-in?next=/research/train"
    page = web.browser(mira).get(wanted).text
    assert "Mira &lt;b&gt;" in page
    assert mira.pseudonym in page
    assert "That page is for researchers" in page
    assert 'href="/research/"' not in page
    page = web.browser(rosa).get(wanted).text
    assert "That page is for researchers" not in page
    assert 'href="/research/"' in page


def test_the_account_page_signs_out_without_a_script(web: Web) -> None:
    browser = web.browser(web.person("Mira"))
    bare = TestClient(
        web.app, base_url=web.settings.address, cookies=browser.cookies, follow_redirects=False
    )
    token = form_token(bare.get("/sign-in").text)
    reply = bare.post("/sign-out", data={"form_token": token})
    assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in")
    assert bare.get("/").headers["location"] == "/sign-in"


def test_the_first_page_leads_everybody_to_their_work(web: Web) -> None:
    for person, home in (
        (None, "/sign-in"),
        (web.person("Mira"), "/annotate/"),
        (web.person("Rosa", Role.RESEARCHER), "/research/"),
        (web.person("Ada", Role.ADMINISTRATOR), "/research/"),
    ):
        assert web.browser(person).get("/").headers["location"] == home


def test_a_page_leads_to_the_sign_in_page_and_an_endpoint_says_so(web: Web) -> None:
    reply = web.browser().get("/api/v1/tasks?count=3", headers=PAGE)
    assert reply.status_code == 303
    assert reply.headers["location"] == "/sign-in?next=/api/v1/tasks%3Fcount%3D3"
    reply = web.browser().get("/api/v1/tasks")
    assert reply.status_code == 401
    assert reply.json() == {"error": "Nobody is signed in here. Open your sign-in link again."}


def test_whoever_may_not_is_told_by_name_which_role_it_takes(web: Web) -> None:
    reply = web.browser(web.person("Mira")).get("/api/v1/openapi.json")
    assert reply.status_code == 403
    assert "needs the role researcher; Mira is signed in as annotator" in reply.json()["error"]


def test_a_participants_cookie_opens_that_study_and_nothing_else(web: Web) -> None:
    project = web.project()
    study, other = web.study(project), web.study(project)
    browser = web.browser()
    assert browser.get("/api/v1/tasks", params={"study": study.code}).status_code == 401
    entered = browser.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
    assert entered.status_code == 200
    assert browser.get("/api/v1/tasks", params={"study": study.code}).status_code == 200
    for path in (
        "/api/v1/tasks",
        f"/api/v1/tasks?study={other.code}",
        f"/api/v1/tasks?study={study.id}",
        EXPORT,
        "/api/v1/openapi.json",
    ):
        assert browser.get(path).status_code == 401
    assert browser.get("/").headers["location"] == "/sign-in"
    # Nor does the value open anything under the name of the other cookie.
    browser.cookies.set(SESSION, browser.cookies[PARTICIPANT])
    assert browser.get("/api/v1/tasks").status_code == 401


def test_a_session_is_no_participation(web: Web) -> None:
    # The name under which a session keeps whose it is.
    study = web.study(web.project(), code="annotator")
    browser = web.browser(web.person("Mira"))
    browser.cookies.set(PARTICIPANT, browser.cookies[SESSION])
    assert browser.get("/api/v1/tasks", params={"study": study.code}).status_code == 401


def test_a_participant_cannot_hand_in_for_the_project(web: Web) -> None:
    project = web.project()
    study = web.study(project)
    task = web.browser(web.person("Mira")).get("/api/v1/tasks?count=1").json()["tasks"][0]
    browser = web.browser()
    browser.post(f"/api/v1/study/{study.code}/enter", json={"consent": True})
    assert browser.post("/api/v1/submissions", json=answer(task)).status_code == 401
    path = f"/api/v1/submissions?study={study.code}"
    assert browser.post(path, json=answer(task)).status_code == 409
    assert web.kept(project) == []


def test_one_browser_may_take_part_in_several_studies_under_several_names(web: Web) -> None:
    project = web.project()
    studies = [web.study(project) for _ in range(3)]
    browser = web.browser()
    names = set()
    for study in studies:
        path = f"/api/v1/study/{study.code}/enter"
        names.add(browser.post(path, json={"consent": True}).json()["annotator"])
        assert browser.post(path, json={"consent": True}).json()["annotator"] in names
    assert len(names) == 3
    for study in studies:
        assert browser.get("/api/v1/tasks", params={"study": study.code}).status_code == 200


def test_nothing_is_changed_without_the_header_that_other_sites_cannot_send(web: Web) -> None:
    project = web.project()
    study = web.study(project)
    browser = web.browser(web.person("Mira"))
    task = browser.get("/api/v1/tasks").json()["tasks"][0]
    bare = TestClient(web.app, base_url=web.settings.address, cookies=browser.cookies)
    for path, body in (
        ("/api/v1/submissions", answer(task)),
        (f"/api/v1/study/{study.code}/enter", {"consent": True}),
    ):
        reply = bare.post(path, json=body)
        assert reply.status_code == 403
        assert "X-Requested-With: fetch" in reply.json()["error"]
    assert web.kept(project) == []


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:8888"},  # another program on this machine: same cookies
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_from_other_sites_and_ports_are_refused(web: Web, header: dict[str, str]) -> None:
    project = web.project()
    browser = web.browser(web.person("Mira"))
    task = browser.get("/api/v1/tasks").json()["tasks"][0]
    reply = browser.post("/api/v1/submissions", json=answer(task), headers=header)
    assert reply.status_code == 403
    assert web.kept(project) == []
    preflight = browser.options(
        "/api/v1/submissions",
        headers={**header, "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "https://tandem.example"])
def test_our_own_address_is_no_other_site(
    database: Database,
    data_dir: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    origin: str,
) -> None:
    # Behind a proxy the host that the server sees may be another than the one people type.
    web = open_plain_web(database, data_dir, now, monkeypatch, public_url="https://tandem.example")
    mira = web.person("Mira")
    browser = TestClient(web.app, base_url="http://127.0.0.1:7860", follow_redirects=False)
    headers = {"X-Requested-With": "fetch", "Origin": origin}
    assert browser.post(f"/sign-in/{web.token(mira)}", headers=headers).status_code == 303


def test_a_body_has_a_limit(web: Web) -> None:
    browser = web.browser(web.person("Mira"))
    large = b"x" * (MEGABYTE + 1)
    reply = browser.post("/api/v1/submissions", content=large)
    assert (reply.status_code, reply.json()["error"][:19]) == (413, "This is larger than")
    # Also when it does not say beforehand how large it is.
    reply = browser.post(
        "/api/v1/submissions", content=(large[i : i + 1000] for i in range(0, len(large), 1000))
    )
    assert (reply.status_code, reply.json()["error"][:19]) == (413, "This is larger than")


def test_replies_forbid_what_tandem_never_does(web: Web) -> None:
    for path in ("/sign-in", "/api/v1/health", "/no-such-page"):
        headers = web.browser().get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_the_first_link_signs_in_one_administrator(web: Web) -> None:
    first, second = (first_link(web.database, web.settings, web.now) for _ in range(2))
    assert first.startswith(f"{web.settings.address}/sign-in/")
    assert first != second
    for link in (first, second):
        browser = web.browser()
        path = link.removeprefix(web.settings.address)
        assert browser.post(path).headers["location"] == "/research/"
        assert browser.get("/api/v1/openapi.json").status_code == 200
    with web.database.read() as connection:
        assert [one.role for one in annotators(connection)] == [Role.ADMINISTRATOR]


def test_the_first_link_passes_over_administrators_who_are_kept_out(web: Web) -> None:
    ada = web.person("Ada", Role.ADMINISTRATOR)
    with web.database.write() as connection:
        set_active(connection, ada.id, False)
    link = first_link(web.database, web.settings, web.now)
    assert web.browser().post(link.removeprefix(web.settings.address)).status_code == 303


def test_the_key_is_its_owners_alone_and_stays_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    keys = [secret(folder) for _ in range(3)]
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 43
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret"]


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(secret(tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len(set(keys)) == 1


def test_a_key_that_cannot_be_kept_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match=r"file/secret, cannot be read or made"):
        secret(tmp_path / "file")


def test_the_gradio_pages_are_closed_to_lower_roles(
    database: Database, data_dir: Path, now: datetime
) -> None:
    web = open_web(database, data_dir, now)
    web.project()
    nobody, mira = web.browser(), web.browser(web.person("Mira"))
    rosa = web.browser(web.person("Rosa", Role.RESEARCHER))
    called = {"data": [], "fn_index": 0, "session_hash": "x"}
    for mount, inside, outside in (
        ("/annotate", (mira, rosa), (nobody,)),
        ("/research", (rosa,), (nobody, mira)),
    ):
        for browser in inside:
            assert browser.get(f"{mount}/", headers=PAGE).status_code == 200
            assert browser.get(f"{mount}/config").status_code == 200
        for browser in outside:
            page = browser.get(f"{mount}/", headers=PAGE)
            assert (page.status_code, page.headers["location"]) == (303, f"/sign-in?next={mount}/")
            assert browser.get(f"{mount}/config").status_code == 401
            for path in ("run/predict", "queue/join"):
                reply = browser.post(f"{mount}/gradio_api/{path}", json=called)
                assert reply.status_code == 401
        for browser in (*inside, *outside):
            for path in ("openapi.json", "docs", "monitoring"):
                assert browser.get(f"{mount}/{path}").status_code in (401, 403, 404)
    # A page of the right role still cannot be called from elsewhere.
    reply = rosa.post(
        "/research/gradio_api/run/predict", json=called, headers={"Origin": "https://evil.example"}
    )
    assert reply.status_code == 403
