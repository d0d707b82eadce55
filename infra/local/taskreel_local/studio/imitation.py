"""The imitation of every generation service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.adapters.media.file_operations import upscale_image
from taskreel.adapters.media.in_house import Maker, make
from taskreel.ports import Capability, Done, Generation, MediaWorkers, Pending
from taskreel_local.studio.pictures_and_clips import make_image, make_video
from taskreel_local.studio.speech_and_music import compose_tune, speak_text
from taskreel_local.studio.written_texts import write_text

LABEL = "Made by studio, Taskreel's local provider; no generation service was called."

_MAKERS: Mapping[Capability, Maker] = {
    Capability.IMAGE: make_image,
    Capability.VIDEO: make_video,
    Capability.UPSCALE: upscale_image,
    Capability.TEXT: write_text,
    Capability.SPEECH: speak_text,
    Capability.MUSIC: compose_tune,
}


class Studio:
    """`Provider` without a service behind it. It answers at once."""

    name = "studio"

    def __init__(self, workers: MediaWorkers) -> None:
        self._workers = workers

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        del idempotency_key  # the same request draws the same picture
        return await make(_MAKERS, self._workers, request, provider=self.name, label=LABEL)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        del operation  # `start` never leaves one
        return await self.start(request, idempotency_key="")

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on after `start`."""

    async def close(self) -> None:
        """The workers are closed by their owner."""
