"""Runway's models: the first of a capability is its default.

Not in the table, because no job type fits: `act_two` (a character that follows a performer's
video), dubbing, voice isolation and conversion, upscales of clips, HDR, avatars, and
`recraft_v4_1_vector`, which draws SVG. Kling O3's and Seedance 2's `video_to_video` make new clips
after a video; the length and the motion of a video-edit are the video's.
"""

from __future__ import annotations

from datetime import date

from taskreel.adapters.providers.model_row import ModelRow, PricePage, PriceUnit
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.adapters.providers.runway.clips import CLIPS, EDITS
from taskreel.adapters.providers.runway.model_rows import build_row
from taskreel.adapters.providers.runway.pictures import PICTURES
from taskreel.adapters.providers.runway.sounds import SOUND_EFFECTS, SPEECHES
from taskreel.ports import Capability

#: A ratio such as 1920:1080 is the size; references, drafts, searches, several shots and formats
#: for studios have prices of their own.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("ratio", "outputFormat", "proresProfile", "videoUri", "promptVideo", "promptImage"),
    *("references", "referenceImages", "referenceVideos", "referenceAudio", "referenceAudios"),
    *("draft", "draftTaskId", "mode", "grounding", "edit", "preciseEdit", "maskUri"),
    *("providerSettings", "thinkingLevel", "targetAspectRatio"),
}

UPSCALES: tuple[ModelRow, ...] = (
    build_row(
        "magnific_precision_upscaler_v2",
        Capability.UPSCALE,
        0.25,
        PriceUnit.IMAGE,
        scales=(2, 4, 8, 16),
        max_inputs=1,
        needs_input=True,
        max_pixels=25_300_000,
        aliases=("magnific",),
    ),
)

MODELS: tuple[ModelRow, ...] = (
    *CLIPS,
    *PICTURES,
    *UPSCALES,
    *SPEECHES,
    *SOUND_EFFECTS,
    *EDITS,
)

PRICE_PAGES = (
    # As a cost plan of 2026-09-15 quotes it.
    PricePage(
        url="https://docs.dev.runwayml.com/guides/pricing",
        read_on=date(2026, 9, 15),
        is_exact=False,
        capabilities=frozenset({Capability.SOUND_EFFECT}),
    ),
    # As public clients quote it that read it on 2026-09-23, 09-26, 09-27 and 10-04.
    PricePage(
        url="https://docs.dev.runwayml.com/guides/pricing",
        read_on=date(2026, 9, 23),
        is_exact=False,
    ),
)
