"""fal's and Replicate's released clients in JavaScript."""

from __future__ import annotations

from pathlib import Path

from other_apis.conftest import OtherApis

PNG = [0x89, 0x50, 0x4E, 0x47]


async def test_the_javascript_clients_run_models_follow_and_cancel(
    apis: OtherApis, node_project: Path
) -> None:
    found = await apis.run_client(["node", "released_clients.mjs"], {}, node_project)

    fal = found["fal"]
    assert fal["polled"]["id"].startswith("job_")
    assert fal["polled"] | {"id": ""} == {
        "id": "",
        "seen": "COMPLETED",
        "type": "image/png",
        "width": 64,
    }
    assert fal["streamed"] == fal["ran"] == 1
    assert fal["larger"] == 128
    assert fal["text"].startswith("upload:upl_")
    assert fal["cancelled"] == "cancelled"
    assert fal["invalid"] == {
        "status": 422,
        "name": "ValidationError",
        "fields": [["body", "image_size", "width"]],
    }
    assert fal["failed"]["status"] == 422
    assert "fails permanently" in fal["failed"]["detail"]

    replicate = found["replicate"]
    assert replicate["begins"] == PNG
    assert replicate["ended"] == "succeeded"
    assert replicate["polled"] == "https:"
    assert replicate["cancelled"] == "canceled"
    assert replicate["listed"] >= 3
    [*_, output, done] = replicate["streamed"]
    assert output[0] == "output"
    assert len(output[1].splitlines()) > 5
    assert done == ["done", "{}"]
    assert "fails permanently" in replicate["failed"]
    assert replicate["invalid"] == 422
