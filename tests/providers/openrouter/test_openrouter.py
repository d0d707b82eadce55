from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.openrouter.fake import FakeOpenRouter
from taskreel.adapters.providers.openrouter.adapter import OpenRouter
from taskreel.domain.errors import PermanentError, RunError
from taskreel.ports import Capability

ASKED: dict[str, Any] = {"prompt": "A lamp", "instructions": "Be brief", "temperature": 0.5}


async def write_text(params: dict[str, Any], folder: Path, fake: FakeOpenRouter) -> Any:
    provider = OpenRouter(fake.key, transport=fake.transport())
    return await run_until_done(
        provider, build_generation(folder, Capability.TEXT, "claude", params)
    )


async def test_a_text(tmp_path: Path) -> None:
    fake = FakeOpenRouter()
    done = await write_text(ASKED, tmp_path, fake)
    assert fake.calls[0].body == {
        "model": "anthropic/claude-sonnet-4.6",
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "A lamp"},
        ],
        "temperature": 0.5,
    }
    assert done.data == {"text": fake.answer}
    assert done.cost_usd == pytest.approx(0.0012)


async def test_a_text_by_a_schema(tmp_path: Path) -> None:
    fake = FakeOpenRouter()
    done = await write_text({**ASKED, "schema": {"type": "object"}}, tmp_path, fake)
    assert fake.calls[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "result", "strict": True, "schema": {"type": "object"}},
    }
    assert done.data == {"title": "The lamp"}


@pytest.mark.parametrize(("status", "code"), [(403, "moderation"), (502, "operation_failed")])
async def test_an_error_with_status_200(tmp_path: Path, status: int, code: str) -> None:
    fake = FakeOpenRouter()
    fake.late_error = status
    with pytest.raises(RunError) as caught:
        await write_text(ASKED, tmp_path, fake)
    assert caught.value.code == code


async def test_there_are_no_operations(tmp_path: Path) -> None:
    provider = OpenRouter("k", transport=FakeOpenRouter().transport())
    request = build_generation(tmp_path, Capability.TEXT, "", ASKED)
    with pytest.raises(PermanentError):
        await provider.poll({"id": "x"}, request)


@pytest.mark.live
async def test_write_live(tmp_path: Path) -> None:
    provider = OpenRouter(require_live_key("OPENROUTER_API_KEY"))
    await buy_live(provider, build_generation(tmp_path, Capability.TEXT, "", ASKED))
