"""The scenario of `test_fal_api`, with the released `fal-client`."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import fal_client
import httpx

FLUX = "fal-ai/flux/schnell"
SMALL = {"prompt": "a kite", "image_size": {"width": 64, "height": 64}}
OWN = "taskreel/image-generation"


def own_input(mode: str, **how: Any) -> dict[str, Any]:
    return {"prompt": "a kite", "options": {"studio": {"mode": mode, **how}}}


def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    updates: list[fal_client.Status] = []
    found["subscribed"] = fal_client.subscribe(
        FLUX, SMALL, with_logs=True, on_queue_update=updates.append
    )
    found["ended"] = type(updates[-1]).__name__
    found["run"] = fal_client.run(FLUX, SMALL)

    handle = fal_client.submit(
        OWN, own_input("pending", times=4, seconds=15), priority="low", start_timeout=600
    )
    seen = [type(one).__name__ for one in handle.iter_events(with_logs=True)]
    found["slow"] = {"id": handle.request_id, "seen": sorted(set(seen)), "polls": len(seen)}
    found["result"] = sorted(handle.get())

    cancelled = fal_client.submit(OWN, own_input("pending", times=100, seconds=60))
    fal_client.cancel(OWN, cancelled.request_id)
    status = fal_client.status(OWN, cancelled.request_id)
    assert isinstance(status, fal_client.Completed)
    found["cancelled"] = [status.error_type, status.error]
    found["asynchronous"] = asyncio.run(subscribe_later())
    found["uploaded"] = upload_files()
    found["sounds"] = make_sounds()
    found["errors"] = collect_errors()
    return found


def upload_files() -> dict[str, Any]:
    """Both of the client's ways to send a file: the module's variables are the only setting."""
    fal_client.client.REST_URL = f"{os.environ['API_URL']}/fal/rest"
    fal_client.client.CDN_URL = f"{os.environ['API_URL']}/fal/cdn"
    answer = fal_client.run(FLUX, SMALL)
    picture = httpx.get(answer["images"][0]["url"]).content
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Drachen ä.png"
        file.write_bytes(picture)
        by_cdn = fal_client.upload_file(file)
        by_storage = asyncio.run(upload_later(file))
    sizes = []
    for url in (by_cdn, by_storage):
        larger = fal_client.subscribe("fal-ai/esrgan", {"image_url": url, "scale": 2})
        sizes.append(larger["image"]["width"])
    return {"sizes": sizes, "references": [by_cdn, by_storage]}


def make_sounds() -> list[str]:
    """Speech and music, with the inputs of their models."""
    asked: dict[str, dict[str, Any]] = {
        "fal-ai/minimax/speech-2.8-hd": {
            "prompt": "The lamp is lit.",
            "voice_setting": {"voice_id": "Wise_Woman", "speed": 1.2},
            "output_format": "url",
        },
        "fal-ai/elevenlabs/music": {"prompt": "a waltz", "music_length_ms": 3000},
    }
    answers = [fal_client.subscribe(model, given) for model, given in asked.items()]
    return [answer["audio"]["content_type"] for answer in answers]


async def upload_later(file: Path) -> str:
    return await fal_client.AsyncClient().upload_file(file, repository="fal")


async def subscribe_later() -> int:
    answer = await fal_client.subscribe_async(FLUX, {**SMALL, "num_images": 2})
    return len(answer["images"])


def collect_errors() -> dict[str, Any]:
    errors: dict[str, Any] = {}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "failed": (OWN, own_input("fail-permanent")),
        "unknown": ("fal-ai/flux/schnel", SMALL),
        "unlike": ("fal-ai/ideogram/v3", SMALL),
        "invalid": (FLUX, {"prompt": "a kite", "image_size": {"width": 5, "height": 64}}),
    }
    for name, (model, given) in asked.items():
        try:
            fal_client.subscribe(model, given)
        except fal_client.FalClientHTTPError as error:
            errors[name] = {
                "status": error.status_code,
                "type": error.error_type,
                "message": error.message,
            }
    try:
        fal_client.SyncClient(key="wrong").subscribe(FLUX, SMALL)
    except fal_client.FalClientHTTPError as error:
        errors["unauthenticated"] = error.status_code
    return errors


if __name__ == "__main__":
    print(json.dumps(main()))
