"""The limits on sizes count what a document takes once it is encrypted, before credits are held."""

from __future__ import annotations

import base64
import string
from pathlib import Path
from random import Random
from typing import Any

import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    read_balance,
    read_job,
    submit_job,
)
from functions.test_encryption import KEY, open_world, read_stored
from taskreel.adapters.encryption.sealed_fields import seal
from taskreel.app.jobs.job_store import (
    MAX_DOCUMENT_BYTES,
    MAX_PAYLOAD_BYTES,
    MOST_SEALED_MORE_BYTES,
    is_larger,
    measure_bytes,
)
from taskreel.app.jobs.unit_runner import UnitRunner
from taskreel.ports.store import SEALED

#: Of a document, its name and fields included.
FIRESTORE_BYTES = 1_048_576
DRAW = Random(5)
#: Compressed and in base64, it takes about a tenth more than it does as it is.
LETTERS = string.ascii_letters + string.digits + string.punctuation
WITH_AND_WITHOUT = pytest.mark.parametrize("key", [KEY, None], ids=["encrypted", "in_clear"])


def draw_text(size: int) -> str:
    return "".join(DRAW.choices(LETTERS, k=size))


def build_request(text: str) -> dict[str, Any]:
    options = {"providerOptions": {"x": text}, **NOOP["options"]}
    return {**NOOP, "options": options}


@pytest.mark.parametrize(
    "value",
    [
        "a" * 900_000,
        draw_text(900_000),
        base64.b64encode(DRAW.randbytes(600_000)).decode(),
        [DRAW.random() for _ in range(90_000)],
        [DRAW.randrange(2**53) for _ in range(90_000)],
        "".join(chr(DRAW.randrange(0x4E00, 0x9FA5)) for _ in range(300_000)),
        "".join(chr(DRAW.randrange(1, 128)) for _ in range(500_000)),
    ],
    ids=["one_letter", "letters", "base64", "fractions", "integers", "chinese", "control"],
)
def test_a_value_is_larger_where_its_encrypted_form_is(value: Any) -> None:
    content = {"payload": value}
    sealed = len(seal("k" * 16, b"k" * 32, ("jobs", "job_a"), content))
    assert is_larger(content, sealed - MOST_SEALED_MORE_BYTES - 1)
    # It is not refused for much less than it takes.
    roomy = max(measure_bytes(content), sealed - MOST_SEALED_MORE_BYTES + 500)
    assert not is_larger(content, roomy)


def test_the_largest_encrypted_form_has_room_in_a_document() -> None:
    assert MAX_DOCUMENT_BYTES + MOST_SEALED_MORE_BYTES + 5_000 < FIRESTORE_BYTES


@WITH_AND_WITHOUT
async def test_a_request_that_has_no_room_encrypted_is_refused_before_it_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    body = build_request(draw_text(MAX_PAYLOAD_BYTES - 5_000))
    assert measure_bytes(body) < MAX_PAYLOAD_BYTES
    async with open_world(tmp_path, monkeypatch, key) as world:
        ada = world.as_user()
        expect_problem(await ada.post(IMAGE, json=body), 413, "too_large")
        expect_problem(await ada.post(f"{IMAGE}?validateOnly=true", json=body), 413, "too_large")
        assert (await read_balance(ada))["held"] == 0
        assert await read_stored(world, "jobs") == {}


@pytest.mark.parametrize(("characters", "status"), [(250_000, "COMPLETED"), (360_000, "FAILED")])
async def test_a_result_that_does_not_fit_encrypted_fails_its_job_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int, status: str
) -> None:
    record, result = UnitRunner._record_done, draw_text(characters)

    async def record_done(runner: UnitRunner, answer: Any) -> None:
        await record(runner, answer)
        runner.unit = runner.unit.with_changes(data={"text": result})

    monkeypatch.setattr(UnitRunner, "_record_done", record_done)
    body = build_request(draw_text(600_000))
    assert measure_bytes([body, result]) < MAX_DOCUMENT_BYTES - 20_000
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        ada = world.as_user()
        job = await submit_job(ada, body)
        await world.advance(30)
        found = await read_job(ada, job)
        assert found["status"] == status
        if status == "FAILED":
            assert found["error"]["code"] == "document_too_large"
        assert (await read_balance(ada))["held"] == 0
        stored = (await read_stored(world, "jobs"))[job["jobId"]]
        assert SEALED in stored
        assert measure_bytes(stored) < FIRESTORE_BYTES
