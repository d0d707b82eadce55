"""Mistakes that a request shows by itself are refused at once, by field, before any hold."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem

MP4, MP3, PNG = (
    "https://example.com/a.mp4",
    "https://example.com/a.mp3",
    "https://example.com/a.png",
)


def processing(operation: str, files: list[str], **parameters: Any) -> tuple[str, dict[str, Any]]:
    return "media-processing", {
        "operation": operation,
        "inputFiles": files,
        "parameters": parameters,
    }


@pytest.mark.parametrize(
    ("type_", "body", "path"),
    [
        (*processing("frame-extract", [MP4], duckDb=-3), "parameters.duckDb"),
        (*processing("frame-extract", [MP4], outputFormat="mp4"), "parameters.outputFormat"),
        (*processing("frame-extract", [MP4, MP4]), "inputFiles"),
        (*processing("music-mix", [MP3]), "inputFiles"),
        (
            *processing("audio-stitch", [MP3], gapSeconds=1, crossfadeSeconds=1),
            "parameters.crossfadeSeconds",
        ),
        (*processing("video-stitch", [MP4], atSeconds=1), "parameters.atSeconds"),
        (
            "video-assembly",
            {"sceneVideos": [MP4], "options": {"resolution": "10x10"}},
            "options.resolution",
        ),
        (
            "video-composition",
            {"scenes": [MP4], "options": {"resolution": "9000x720"}},
            "options.resolution",
        ),
        ("video-composition", {"scenes": [{"visual": MP4, "duration": 0.1}]}, "scenes[0].duration"),
        ("scene-creation", {"prompt": "a pier", "durationSeconds": 0.1}, "durationSeconds"),
        (
            "personalization",
            {"contentUrl": PNG, "aspects": {"palette": "sparkling"}},
            "aspects.palette",
        ),
        ("personalization", {"contentUrl": PNG, "aspects": {"language": "xx"}}, "aspects.language"),
        ("audio-synthesis", {"text": "Hello.", "language": "xx-US"}, "language"),
        ("content-analysis", {"content": "A text.", "contentType": "video"}, ""),
    ],
)
async def test_a_static_mistake_is_refused_with_its_field(
    type_: str, body: dict[str, Any], path: str, ada: httpx.AsyncClient
) -> None:
    refused = expect_problem(
        await ada.post(f"/api/jobs/{type_}", json=body), 422, "invalid_request"
    )
    assert [row["path"] for row in refused["errors"]] == [path]
