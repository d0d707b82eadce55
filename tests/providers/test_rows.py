"""One request for each row of the model table, to a fake that knows the model's own schema."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.case import (
    CUTOUT,
    EFFECT,
    LIP_SYNC,
    MUSIC,
    SPEECH,
    TEXT,
    TRANSCRIPT,
    UPSCALE,
    VIDEO,
    VIDEO_EDIT,
    build_generation,
    count_least_inputs,
    run_until_done,
)
from providers.case import IMAGE as IMAGE_PARAMS
from providers.fakes import FAKES
from providers.google.fake import FakeGoogle
from providers.openai.fake import explain_size
from taskreel.adapters.providers import load_adapter
from taskreel.adapters.providers.model_limits import list_ignored_options
from taskreel.adapters.providers.model_lookup import find_row, list_rows
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.adapters.providers.model_row import ModelRow, PriceUnit
from taskreel.adapters.providers.payloads import fit_size, meet_least_size
from taskreel.ports import Capability, Done

TODAY = datetime.now(UTC).date()
ROWS = [row for row in list_rows() if row.is_current(TODAY)]
PARAMS: dict[Capability, dict[str, Any]] = {
    Capability.IMAGE: IMAGE_PARAMS,
    Capability.VIDEO: VIDEO,
    Capability.UPSCALE: UPSCALE,
    Capability.TEXT: TEXT,
    Capability.SPEECH: SPEECH,
    Capability.MUSIC: MUSIC,
    Capability.SOUND_EFFECT: EFFECT,
    Capability.CUTOUT: CUTOUT,
    Capability.VIDEO_EDIT: VIDEO_EDIT,
    Capability.LIP_SYNC: LIP_SYNC,
    Capability.TRANSCRIPTION: TRANSCRIPT,
}


def name_row(row: ModelRow) -> str:
    return f"{row.provider} {row.name} {row.capability}"


async def send(folder: Path, row: ModelRow, params: dict[str, Any], pictures: int) -> Done:
    fake = FAKES[row.provider]()
    base_url = FakeGoogle.vertex_url if row.keyless_only else fake.base_url
    adapter = load_adapter(row.provider)(
        key=fake.key, transport=fake.transport(), base_url=base_url
    )
    request = build_generation(folder, row.capability, row.name, params, pictures)
    try:
        return await run_until_done(adapter, request)
    finally:
        await adapter.close()


@pytest.mark.parametrize("row", ROWS, ids=name_row)
async def test_each_model_takes_a_usual_request(row: ModelRow, tmp_path: Path) -> None:
    done = await send(tmp_path, row, PARAMS[row.capability], count_least_inputs(row))
    assert done.outputs or done.data


@pytest.mark.parametrize("row", [row for row in ROWS if row.max_inputs], ids=name_row)
async def test_each_model_that_takes_pictures_takes_as_many_as_its_row_says(
    row: ModelRow, tmp_path: Path
) -> None:
    done = await send(tmp_path, row, PARAMS[row.capability], row.max_inputs)
    assert done.outputs or done.data


@pytest.mark.parametrize("row", [row for row in ROWS if row.ranges], ids=name_row)
async def test_a_number_beyond_a_models_range_is_moved_into_it_and_said(
    row: ModelRow, tmp_path: Path
) -> None:
    """`steps: 30` failed a whole movie at flux-schnell, which takes at most 4."""
    far = {name: 10 * most for name, (_, most) in row.ranges.items()}
    params = {**PARAMS[row.capability], **far}
    done = await send(tmp_path, row, params, count_least_inputs(row))
    assert done.outputs
    said = list_ignored_options(row, params, far)
    assert said.keys() == far.keys()
    assert all("uses the nearest within" in reason for reason in said.values())


@pytest.mark.parametrize(
    ("width", "height"), [(512, 512), (2048, 256), (1024, 768), (64, 4096), (4096, 4096)]
)
@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-1.5"])
async def test_openai_gets_a_size_that_its_model_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, width: int, height: int
) -> None:
    row = next(row for row in list_rows("openai") if row.name == model)
    monkeypatch.setattr(
        "taskreel.adapters.providers.model_limits.get_today", lambda: date(2026, 11, 1)
    )
    assert (await send(tmp_path, row, {"prompt": "x", "width": width, "height": height}, 0)).outputs


@given(width=st.integers(64, 4096), height=st.integers(64, 4096))
def test_every_size_is_met_by_one_that_gpt_image_2_makes(width: int, height: int) -> None:
    row = find_row("openai", "gpt-image-2", Capability.IMAGE, TODAY)
    enlarged = meet_least_size(
        {"width": width, "height": height},
        min_pixels=row.min_pixels,
        max_ratio=row.max_ratio or 3,
        multiple=16,
    )
    size = fit_size(enlarged, multiple=16, least=256, most=3840, max_pixels=row.max_pixels or 0)
    assert size is not None
    assert explain_size("gpt-image-2", f"{size[0]}x{size[1]}") is None, size


@pytest.mark.parametrize(("pictures", "ratio"), [(0, "1280:720"), (1, "960:960")])
async def test_runway_gets_a_square_only_with_a_picture(
    tmp_path: Path, pictures: int, ratio: str
) -> None:
    row = find_row("runway", "gen4.5", Capability.VIDEO, TODAY)
    fake = FAKES["runway"]()
    adapter = load_adapter("runway")(key=fake.key, transport=fake.transport())
    params = {**VIDEO, "width": 720, "height": 720}
    await run_until_done(
        adapter, build_generation(tmp_path, Capability.VIDEO, row.name, params, pictures)
    )
    await adapter.close()
    (created,) = (call for call in fake.calls if call.method == "POST")
    assert created.body["ratio"] == ratio


TIMED = [
    row
    for row in ROWS
    if row.capability in {Capability.VIDEO, Capability.MUSIC, Capability.SOUND_EFFECT}
    and row.unit in {PriceUnit.SECOND, PriceUnit.MINUTE}
    and row.usd is not None
    and "duration" in row.options
]


def find_seconds(value: Any) -> Iterator[float]:
    """The lengths anywhere in a body, in seconds."""
    if isinstance(value, list):
        for one in value:
            yield from find_seconds(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in {"duration", "durationSeconds", "duration_seconds"}:
                yield float(str(one).removesuffix("s"))
            elif name == "music_length_ms":
                yield one / 1000
            else:
                yield from find_seconds(one)


@pytest.mark.parametrize("wished", [2.0, 4.6, 5.0, 9.0, 59.9, 61.0])
@pytest.mark.parametrize("row", TIMED, ids=name_row)
async def test_the_estimate_is_the_price_of_the_length_in_the_request_that_is_sent(
    row: ModelRow, wished: float, tmp_path: Path
) -> None:
    fake = FAKES[row.provider]()
    base_url = FakeGoogle.vertex_url if row.keyless_only else fake.base_url
    adapter = load_adapter(row.provider)(
        key=fake.key, transport=fake.transport(), base_url=base_url
    )
    params = {**PARAMS[row.capability], "duration": wished}
    pictures = count_least_inputs(row)
    request = build_generation(tmp_path, row.capability, row.name, params, pictures)
    await adapter.start(request, idempotency_key="job-1.0.0")
    await adapter.close()

    (bought,) = [seconds for call in fake.calls for seconds in find_seconds(call.body)]
    price = next((usd for most, usd in row.usd_by_side if most >= 1280), row.usd)  # of 720p
    assert price is not None
    expected = price * (math.ceil(bought / 60) if row.unit is PriceUnit.MINUTE else bought)
    expected = row.usd_by_seconds.get(round(bought), expected)
    assert estimate_cost(row, params) == pytest.approx(expected)
