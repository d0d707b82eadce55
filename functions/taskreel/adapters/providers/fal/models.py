"""Models at fal; it runs any other by its endpoint too."""

from __future__ import annotations

from datetime import date

from taskreel.adapters.providers.fal.clips import CHANGED_CLIPS, CLIPS
from taskreel.adapters.providers.fal.pictures import CUTOUTS, PICTURES
from taskreel.adapters.providers.fal.sounds import SOUNDS
from taskreel.adapters.providers.model_row import ModelRow, PricePage
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

#: The address of its webhook.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("fal_webhook", "seconds_total", "music_length_ms", "composition_plan"),
    *("video_url", "audio_url", "start_image_url", "hdr", "exr_export"),
    *("prompt", "text", "max_tokens", "multi_prompt", "enable_web_search", "thinking_level"),
}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (*PICTURES, *CUTOUTS, *CLIPS, *CHANGED_CLIPS, *SOUNDS)

PRICE_PAGES = (
    PricePage(
        url="https://fal.ai/pricing",
        read_on=date(2026, 11, 1),
        capabilities=frozenset(
            {
                Capability.CUTOUT,
                Capability.TRANSCRIPTION,
                Capability.VIDEO_EDIT,
                Capability.LIP_SYNC,
            }
        ),
    ),
    PricePage(
        url="https://fal.ai/models/fal-ai/elevenlabs/sound-effects/v2",
        read_on=date(2026, 9, 9),
        is_exact=False,
        capabilities=frozenset({Capability.SOUND_EFFECT}),
    ),
    PricePage(url="https://fal.ai/pricing", read_on=date(2026, 4, 1)),
)
