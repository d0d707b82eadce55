"""Requests without an answer, over real sockets: the provider's fault, this instance's, unknown."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from taskreel.adapters.providers.file_uploads import FileUploads
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import AmbiguousError
from taskreel.domain.breaker import counts_against_provider
from taskreel.domain.errors import ProviderDownError, RateLimitedError, RunError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


async def catch_failure(
    port: int, creates: str | None = None, read_seconds: float = 0.1
) -> RunError:
    client = ProviderClient(
        "bfl",
        base_url=f"http://127.0.0.1:{port}",
        hosts=(),
        headers={},
        transport=None,
        read_seconds=read_seconds,
    )
    try:
        with pytest.raises(RunError) as caught:
            await client.send("POST", "/v1/x", creates=creates)
    finally:
        await client.close()
    return caught.value


async def test_a_refused_connection_is_the_providers_doing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await catch_failure(unused.getsockname()[1])
    assert isinstance(error, ProviderDownError)
    assert not error.unanswered


@pytest.mark.parametrize(
    ("creates", "kind"), [(None, ProviderDownError), ("a picture", AmbiguousError)]
)
async def test_a_request_without_an_answer_may_be_due_to_this_instance(
    listener: socket.socket, creates: str | None, kind: type[RunError]
) -> None:
    error = await catch_failure(listener.getsockname()[1], creates)
    assert isinstance(error, kind)
    assert error.unanswered
    assert counts_against_provider(error)


async def test_without_a_free_descriptor_nothing_is_sent_and_no_provider_is_blamed(
    listener: socket.socket,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = listener.getsockname()[1]
    free = os.dup(listener.fileno())
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        error = await catch_failure(port, "a picture")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(error, RateLimitedError)
    assert error.code == "no_connection_free"
    assert not counts_against_provider(error)


async def test_an_upload_for_which_no_file_can_be_opened_waits_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client reads the machine's certificates when it is made."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("httpx.AsyncClient.__init__", refuse)
    uploads = FileUploads("fal", base_url="https://example.com", transport=None)
    with pytest.raises(RateLimitedError) as caught:
        await uploads.send("PUT", "https://example.com/a", content=b"a")
    assert caught.value.code == "no_connection_free"
