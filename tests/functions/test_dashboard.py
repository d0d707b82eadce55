"""The dashboard's files, as jobs_api serves them."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import httpx
import pytest

from simulation.world import World
from taskreel.domain.health import REQUEST_FAULTS
from taskreel.web.dashboard import build_policy, load_files
from taskreel.web.issuer_sign_in import IssuerSignIn

FOLDER = Path(__file__).resolve().parents[2] / "functions" / "taskreel" / "dashboard"
#: The first paint of any page loads these at most.
MOST_BYTES = 250_000
GZIP = {"Accept-Encoding": "gzip"}


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/", "/dashboard/jobs/job_abc"])
async def test_each_of_its_addresses_answers_the_page_without_a_token(
    world: World, path: str
) -> None:
    answer = await world.api.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert f"/dashboard/assets/{load_files().version}/main.js" in answer.text


async def test_the_root_leads_a_browser_to_the_page_and_a_client_to_the_api(world: World) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    led = await world.api.get("/", headers=browser)
    assert (led.status_code, led.headers["location"]) == (303, "/dashboard")
    told = await world.api.get("/", headers={"Accept": "*/*"})
    for name, url in told.json().items():
        if name != "name":
            assert (await world.api.get(url)).status_code == 200, name
    assert (await world.api.post("/")).status_code == 404


async def test_the_page_runs_only_its_own_scripts_and_shows_only_the_buckets_files(
    world: World,
) -> None:
    policy = (await world.api.get("/dashboard")).headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "img-src 'self' https://storage.googleapis.com data:" in build_policy(
        ["https://storage.googleapis.com"]
    )


def test_the_page_may_call_the_issuer_of_its_sign_in_and_is_told_of_it() -> None:
    chosen = IssuerSignIn(
        issuer="https://auth.example.com/realms/films",
        client_id='a"b',
        scopes="openid",
        audience=None,
    )
    policy = build_policy(["https://storage.googleapis.com"], chosen)
    assert "connect-src 'self' https://storage.googleapis.com https://auth.example.com; " in policy
    assert policy.count("auth.example.com") == 1
    assert "auth.example.com" not in build_policy(["https://storage.googleapis.com"])
    page = load_files(chosen).files["index.html"].plain.decode()
    (content,) = re.findall(r'<meta name="taskreel-sign-in" content="([^"]+)">', page)
    assert json.loads(html.unescape(content))["clientId"] == 'a"b'
    plain = load_files().files["index.html"]
    assert b"taskreel-sign-in" not in plain.plain
    assert load_files(chosen).files["index.html"].etag != plain.etag


async def test_files_are_stored_for_good_under_the_digest_of_all_of_them(world: World) -> None:
    static = load_files()
    for name, file in static.files.items():
        if name == "index.html":
            continue
        answer = await world.api.get(f"/dashboard/assets/{static.version}/{name}")
        assert answer.status_code == 200, name
        assert answer.content == file.plain
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_another_revisions_address_is_answered_and_not_stored(world: World) -> None:
    answer = await world.api.get("/dashboard/assets/000000000000/main.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


async def test_the_page_is_not_sent_again_while_it_is_the_same(world: World) -> None:
    etag = (await world.api.get("/dashboard")).headers["etag"]
    again = await world.api.get("/dashboard", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["assets/x/nothing.js", "assets/x/%2e%2e/%2e%2e/config.py", "assets/x/vendor/README.md"]
)
async def test_what_is_no_file_of_it_is_a_problem(world: World, path: str) -> None:
    answer = await world.api.get(f"/dashboard/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_it_is_read_only(world: World) -> None:
    assert (await world.api.post("/dashboard")).status_code == 404


async def test_the_whole_dashboard_is_small(world: World) -> None:
    version, total = load_files().version, 0
    for name in load_files().files:
        path = f"/dashboard/assets/{version}/{name}" if name != "index.html" else "/dashboard"
        async with world.api.stream("GET", path, headers=GZIP) as answer:
            assert answer.status_code == 200
            total += sum([len(chunk) async for chunk in answer.aiter_raw()])
    assert total < MOST_BYTES


async def test_the_page_asks_for_its_first_modules_at_once(world: World) -> None:
    """A browser finds an import only once it has read the module that has it."""
    page = (await world.api.get("/dashboard")).text
    preloaded = re.findall(r'rel="modulepreload" href="/dashboard/assets/\w+/([^"]+)"', page)
    imported = set(re.findall(r'from "\./([^"]+)";', (FOLDER / "main.js").read_text()))
    assert imported <= set(preloaded)
    assert len(preloaded) == len(set(preloaded))
    assert not [name for name in preloaded if name.startswith("pages/")]
    assert "{{" not in page


def test_every_import_names_a_file_that_is_there() -> None:
    for path in FOLDER.rglob("*.js"):
        if path.parent.name == "vendor":
            continue
        for name in re.findall(r'(?:from |import\()"(\.[^"]+)"', path.read_text()):
            assert (path.parent / name).resolve().is_file(), f"{path.name} imports {name}"


def test_its_own_files_name_no_other_host() -> None:
    for path in FOLDER.rglob("*"):
        if path.suffix in {".js", ".css", ".html"} and path.parent.name != "vendor":
            hosts = re.findall(r"https?://([\w.]+)", path.read_text())
            assert not hosts, f"{path.name}: {hosts}"


def test_the_page_fetches_from_the_api_alone(world: World) -> None:
    """Every address that a module fetches is one of the API's."""
    del world
    for path in FOLDER.rglob("*.js"):
        for address in re.findall(r'(?:fetch|call|get)\([^)"`]*["`](/[^"`]*)', path.read_text()):
            assert address.startswith("/api/"), f"{path.name}: {address}"


async def test_an_answer_to_head_has_no_body(ada: httpx.AsyncClient) -> None:
    answer = await ada.head("/dashboard")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_page_and_the_server_agree_on_the_failures_that_a_request_explains() -> None:
    text = (FOLDER / "request_faults.js").read_text()
    codes = text.partition("new Set([")[2].partition("])")[0]
    assert set(re.findall(r'"(\w+)"', codes)) == REQUEST_FAULTS
