"""Bringing a URL that a user named: bounded, and never from inside the network."""

from __future__ import annotations

import asyncio
import gzip
import resource
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from streamed_answers import StreamedAnswers
from taskreel.adapters.fetch import Fetcher
from taskreel.domain.errors import PermanentError, RunError, TemporaryError

PUBLIC = "http://93.184.216.34"
Handler = Callable[[httpx.Request], httpx.Response]


def fetcher(handler: Handler, own: tuple[str, ...] = ()) -> Fetcher:
    return Fetcher(own, transport=StreamedAnswers(handler))


def picture(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b"a picture", headers={"content-type": "image/png; q=1"})


async def fetch(
    handler: Handler, url: str, target: Path, *, max_bytes: int = 100, own: tuple[str, ...] = ()
) -> str:
    return await fetcher(handler, own)(url, target, max_bytes=max_bytes, seconds=5)


async def code(
    handler: Handler, url: str, target: Path, kind: type[RunError] = PermanentError
) -> str:
    """The code of the error with which the fetch fails."""
    with pytest.raises(kind) as failed:
        await fetch(handler, url, target)
    return failed.value.code


async def test_a_file_is_brought_with_its_type(tmp_path: Path) -> None:
    assert await fetch(picture, f"{PUBLIC}/a.png?x=1", tmp_path / "a") == "image/png"
    assert (tmp_path / "a").read_bytes() == b"a picture"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - not bound, refused
        "224.0.0.1",
        "[::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        # Python 3.11's own tables count these as public.
        "[fec0::1]",
        "[64:ff9b:1::1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "localhost",
    ],
)
async def test_a_private_address_is_refused_however_it_is_written(
    tmp_path: Path, host: str
) -> None:
    def reached(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was called")

    assert (
        await code(reached, f"http://{host}/latest/meta-data", tmp_path / "a") == "input_forbidden"
    )


async def test_a_redirect_to_a_private_address_is_refused(tmp_path: Path) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "93.184.216.34"
        return httpx.Response(302, headers={"location": "http://169.254.169.254/"})

    assert await code(away, PUBLIC, tmp_path / "a") == "input_forbidden"


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers otherwise the second time gains nothing."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (next(answers), 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)

    def served(request: httpx.Request) -> httpx.Response:
        assert (request.url.host, request.headers["host"]) == ("93.184.216.34", "pictures.example")
        return picture(request)

    assert await fetch(served, "http://pictures.example/a.png", tmp_path / "a") == "image/png"


async def test_one_private_address_among_several_is_enough_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    assert await code(picture, "http://pictures.example/", tmp_path / "a") == "input_forbidden"


async def test_our_own_files_may_be_at_a_private_address(tmp_path: Path) -> None:
    own = ("http://127.0.0.1:8080/",)
    assert (
        await fetch(picture, "http://127.0.0.1:8080/files/a.png", tmp_path / "a", own=own)
        == "image/png"
    )
    with pytest.raises(PermanentError, match="private address"):
        await fetch(picture, "http://127.0.0.1:8081/files/a.png", tmp_path / "a", own=own)


async def test_redirects_are_followed_a_few_times(tmp_path: Path) -> None:
    def once(request: httpx.Request) -> httpx.Response:
        return (
            picture(request)
            if request.url.path == "/b"
            else httpx.Response(301, headers={"location": "/b"})
        )

    def forever(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "/again"})

    assert await fetch(once, f"{PUBLIC}/a", tmp_path / "a") == "image/png"
    assert await code(forever, f"{PUBLIC}/a", tmp_path / "a") == "input_unreachable"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_what_is_not_there_is_not_asked_for_again(tmp_path: Path, status: int) -> None:
    assert (
        await code(lambda _: httpx.Response(status), PUBLIC, tmp_path / "a") == "input_unreachable"
    )


@pytest.mark.parametrize("status", [429, 500, 503, 204])
async def test_what_may_be_there_later_is_tried_again(tmp_path: Path, status: int) -> None:
    found = await code(lambda _: httpx.Response(status), PUBLIC, tmp_path / "a", TemporaryError)
    assert found == "input_unreachable"


async def test_a_file_over_the_limit_is_cut_off(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 40

    assert (
        await code(lambda _: httpx.Response(200, content=endless()), PUBLIC, tmp_path / "a")
        == "input_too_large"
    )
    assert (tmp_path / "a").stat().st_size <= 100


async def test_a_host_that_cannot_be_reached_is_tried_again(tmp_path: Path) -> None:
    def broken(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    assert await code(broken, PUBLIC, tmp_path / "a", TemporaryError) == "input_unreachable"


async def test_a_host_that_takes_too_long_is_tried_again(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    slow = fetcher(lambda _: httpx.Response(200, content=never()))
    with pytest.raises(TemporaryError, match="took longer"):
        await slow(PUBLIC, tmp_path / "a", max_bytes=100, seconds=0.05)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://a..b/",
        f"http://{'a' * 64}.example/",
        "http://\u200b/",
        "http://a\tb/",
        "http:///x",
        "ftp://a/",
    ],
)
async def test_what_is_no_url_is_refused_for_good(tmp_path: Path, url: str) -> None:
    assert await code(picture, url, tmp_path / "a") == "input_invalid"


async def test_an_error_does_not_show_the_urls_signature(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as failed:
        await fetch(lambda _: httpx.Response(404), f"{PUBLIC}/a?signature=secret", tmp_path / "a")
    assert "secret" not in failed.value.message


async def test_it_closes(tmp_path: Path) -> None:
    closing = fetcher(picture)
    await closing.close()
    with pytest.raises(RuntimeError, match="closed"):
        await closing(PUBLIC, tmp_path / "a", max_bytes=1, seconds=1)


# ── Compressed transfers ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "br", "zstd", "identity, deflate"])
async def test_a_compressed_transfer_is_refused_and_takes_no_memory(
    tmp_path: Path, coding: str
) -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * (64 << 20)))
    asked_for: list[str] = []

    def send_bomb(request: httpx.Request) -> httpx.Response:
        asked_for.append(request.headers["accept-encoding"])
        return httpx.Response(
            200, headers={"content-encoding": coding}, stream=Chunks(lambda: bomb)
        )

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await code(send_bomb, f"{PUBLIC}/a", tmp_path / "a") == "input_encoded"
    assert asked_for == ["identity"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10


async def test_a_transfer_without_coding_is_counted_as_it_is_on_the_wire(tmp_path: Path) -> None:
    content = gzip.compress(b"\0" * 100_000)

    def send_archive(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"content-encoding": "identity"}, stream=Chunks(lambda: content)
        )

    await fetch(send_archive, f"{PUBLIC}/a.gz", tmp_path / "a", max_bytes=len(content))
    assert (tmp_path / "a").read_bytes() == content


async def test_the_time_limit_ends_a_server_that_never_stops_sending(tmp_path: Path) -> None:
    async def send_for_ever() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"x"

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=send_for_ever())

    with pytest.raises(TemporaryError) as failed:
        await fetcher(answer)(f"{PUBLIC}/a", tmp_path / "a", max_bytes=1 << 40, seconds=0.2)
    assert failed.value.code == "input_timeout"


class Chunks(httpx.AsyncByteStream):
    """A body in one piece, which httpx does not decode when the response is made."""

    def __init__(self, build: Callable[[], bytes]) -> None:
        self._build = build

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._build()
