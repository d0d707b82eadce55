"""The scenario of `test_replicate_api`, with the released `replicate` client."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import replicate
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

FLUX = "black-forest-labs/flux-schnell"
SMALL = {"prompt": "a kite", "width": 64, "height": 64}
OWN = "taskreel/image-generation"


def own_input(mode: str, **how: Any) -> dict[str, Any]:
    return {"prompt": "a kite", "options": {"studio": {"mode": mode, **how}}}


def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    output: Any = replicate.run(FLUX, input=SMALL)
    found["run"] = {"url": output.url, "begins": list(output.read()[:8])}
    several: Any = replicate.run(FLUX, input={**SMALL, "num_outputs": 2, "output_format": "jpg"})
    found["several"] = [list(one.read()[:2]) for one in several]
    found["asynchronous"] = asyncio.run(run_later())

    started = replicate.predictions.create(model=FLUX, input=SMALL, wait=False)
    found["created"] = started.status
    started.wait()
    found["waited"] = {
        "status": started.status,
        "percentage": started.progress.percentage if started.progress else None,
        "model": started.model,
        "input": started.input,
        "metrics": sorted(started.metrics or {}),
    }
    found["same"] = replicate.predictions.get(started.id).output == started.output

    slow = replicate.predictions.create(
        model=OWN, input=own_input("pending", times=100, seconds=5), wait=False
    )
    found["cancelled"] = replicate.predictions.cancel(slow.id).status
    pages = list(replicate.paginate(replicate.predictions.list))
    found["listed"] = [one.status for page in pages for one in page]

    model = replicate.models.get(FLUX)
    version = model.latest_version
    assert version is not None
    found["schema"] = sorted(version.openapi_schema["components"]["schemas"]["Input"]["properties"])
    found["by_version"] = str(replicate.run(f"{FLUX}:{version.id}", input=SMALL))[:5]
    found["models"] = [one.id for one in replicate.models.list()]
    found["account"] = Client().accounts.current().username
    picture = io.BytesIO(several[0].read())
    picture.name = "kite.jpg"
    larger: Any = replicate.run(
        "nightmareai/real-esrgan", input={"image": picture, "scale": 2, "output_format": "png"}
    )
    found["upscaled"] = list(larger.read()[:4])
    file = replicate.files.create(io.BytesIO(b"some words"), filename="notes.txt")
    found["file"] = [file.name, file.size, replicate.files.get(file.id).checksums["sha256"][:4]]
    found["deleted"] = replicate.files.delete(file.id)
    found["streamed"] = collect_stream("taskreel/script-generation", {"prompt": "two bakers"})
    several = {"prompts": ["a kite", "a boat"], "options": {"width": 64, "height": 64}}
    found["streamed_files"] = collect_stream("taskreel/batch-generation", several)
    found["errors"] = collect_errors()
    return found


def collect_stream(model: str, given: dict[str, Any]) -> list[list[str]]:
    events = replicate.stream(model, input=given)
    return [[event.event.value, str(event.data), event.id] for event in events]


async def run_later() -> list[int]:
    output: Any = await replicate.async_run(FLUX, input=SMALL)
    return list((await output.aread())[:4])


def collect_errors() -> dict[str, Any]:
    errors: dict[str, Any] = {}
    try:
        replicate.run(OWN, input=own_input("fail-permanent"))
    except ModelError as error:
        errors["failed"] = {"status": error.prediction.status, "message": str(error)}
    try:
        collect_stream(OWN, own_input("fail-permanent"))
    except RuntimeError as error:
        errors["streamed"] = str(error)
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "unknown": ("black-forest-labs/flux-schnel", SMALL),
        "invalid": (FLUX, {"prompt": "a kite", "width": 5}),
    }
    for name, (model, given) in asked.items():
        try:
            replicate.run(model, input=given)
        except ReplicateError as error:
            errors[name] = {"status": error.status, "title": error.title, "detail": error.detail}
    try:
        Client(api_token="wrong").run(FLUX, input=SMALL)
    except ReplicateError as error:
        errors["unauthenticated"] = error.status
    return errors


if __name__ == "__main__":
    print(json.dumps(main()))
