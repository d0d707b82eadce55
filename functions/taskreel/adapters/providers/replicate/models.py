"""Models at Replicate; it runs any other by `owner/name` too.

The fields are those of the models' schemas, the prices those of their pages at replicate.com, read
between 2025-11 and 2026-08.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    FLUX_FIELDS,
    FLUX_RATIOS,
    FOUR_MEGAPIXELS,
    HD_SIZES,
    HOSTED_VEO_FIELDS,
    RAY_SIZES,
    SHAPE_OPTIONS,
    WIDE_OR_TALL,
    ModelRow,
    PricePage,
    PriceUnit,
    SecondsForm,
    price_sizes,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

REAL_ESRGAN = (
    "nightmareai/real-esrgan:f121d640bd286e1fdc67f9799164c1d5be36ff74576ee11c803ae5b665dd46aa"
)
OPEN_FLUX_FIELDS = FLUX_FIELDS | {"numImages": "num_outputs", "steps": "num_inference_steps"}
FLUX_2_RATIOS = ("16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
SEEDREAM_RATIOS = ("21:9", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16")
SEEDANCE_RATIOS = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "9:21")
LUMA_RATIOS = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
MINIMAX_VOICES = (
    *("Wise_Woman", "Friendly_Person", "Inspirational_girl", "Deep_Voice_Man", "Calm_Woman"),
    *("Casual_Guy", "Lively_Girl", "Patient_Man", "Young_Knight", "Determined_Man", "Lovely_Girl"),
    *("Decent_Boy", "Imposing_Manner", "Elegant_Man", "Abbess", "Sweet_Girl_2", "Exuberant_Girl"),
)
ELEVEN_VOICES = (
    *("Rachel", "Drew", "Clyde", "Paul", "Aria", "Domi", "Dave", "Roger", "Fin", "Sarah", "James"),
    *("Jane", "Juniper", "Arabella", "Hope", "Bradford", "Reginald", "Gaming", "Austin", "Kuon"),
    *("Blondie", "Priyanka", "Alexandra", "Monika", "Mark", "Grimblewood"),
)


def _build_row(
    name: str, path: str, usd: float, *, capability: Capability = Capability.IMAGE, **more: Any
) -> ModelRow:
    more = {"unit": PriceUnit.IMAGE, "fields": FLUX_FIELDS, "computed": SHAPE_OPTIONS, **more}
    return ModelRow(
        name=name, provider="replicate", path=path, capability=capability, usd=usd, **more
    )


#: The hardware sets the price, and so does HDR.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("input", "hardware", "deployment", "prompt", "text", "music_length_ms"),
    *("sequential_image_generation", "composition_plan", "hdr"),
}

PICTURES: tuple[ModelRow, ...] = (
    _build_row(
        "flux-2-pro",
        "black-forest-labs/flux-2-pro",
        0.03,
        unit=PriceUnit.MEGAPIXEL,
        usd_further=0.015,
        ratios=FLUX_2_RATIOS,
        sizes=(("1 MP", 1440), ("2 MP", 1999), ("4 MP", 4096)),
        max_pixels=FOUR_MEGAPIXELS,
        max_inputs=8,
        input_fields=("input_images[]",),
    ),
    _build_row(
        "flux-1.1-pro",
        "black-forest-labs/flux-1.1-pro",
        0.04,
        ratios=FLUX_RATIOS,
        max_inputs=1,
        input_fields=("image_prompt",),
    ),
    _build_row(
        "flux-schnell",
        "black-forest-labs/flux-schnell",
        0.003,
        quality="draft",
        ranges={"steps": (1, 4)},
        ratios=FLUX_RATIOS,
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
    ),
    _build_row(
        "flux-dev",
        "black-forest-labs/flux-dev",
        0.025,
        ratios=FLUX_RATIOS,
        max_inputs=1,
        max_results=4,
        fields=OPEN_FLUX_FIELDS | {"guidance": "guidance"},
        ranges={"steps": (1, 50), "guidance": (0, 10)},
    ),
    _build_row(
        "flux-kontext-pro",
        "black-forest-labs/flux-kontext-pro",
        0.04,
        ratios=FLUX_RATIOS,
        max_inputs=1,
        input_fields=("input_image",),
    ),
    _build_row(
        "seedream-4",
        "bytedance/seedream-4",
        0.03,
        ratios=SEEDREAM_RATIOS,
        sizes=(("1K", 1440), ("2K", 2880), ("4K", 4096)),
        size_field="size",
        max_inputs=10,
        input_fields=("image_input[]",),
        fields={"prompt": "prompt"},
    ),
    _build_row(
        "real-esrgan",
        REAL_ESRGAN,
        0.0017,
        capability=Capability.UPSCALE,
        unit=PriceUnit.RUN,
        scales=tuple(range(1, 11)),
        max_inputs=1,
        needs_input=True,
        fields={"scale": "scale", "faceEnhance": "face_enhance"},
        computed=frozenset(),
        aliases=("realesrgan", "real-esrgan-x4", "esrgan", "nightmareai/real-esrgan"),
    ),
)

#: Its page names $0.018 a picture, as it was read in 2026; it writes PNG alone.
CUTOUTS: tuple[ModelRow, ...] = (
    _build_row(
        "bria-remove-background",
        "bria/remove-background",
        0.018,
        capability=Capability.CUTOUT,
        unit=PriceUnit.RUN,
        max_inputs=1,
        needs_input=True,
        input_fields=("image",),
        fields={},
        computed=frozenset(),
        formats=("png",),
    ),
)

CLIPS: tuple[ModelRow, ...] = (
    *(
        _build_row(
            name,
            f"google/{name}",
            usd,
            capability=Capability.VIDEO,
            unit=PriceUnit.SECOND,
            silent_part=silent_part,
            quality=quality,
            ratios=WIDE_OR_TALL,
            durations=(4, 6, 8),
            sizes=HD_SIZES,
            max_inputs=2,
            input_fields=("image", "last_frame"),
            fields=HOSTED_VEO_FIELDS,
            computed=SHAPE_OPTIONS | {"duration"},
            aliases=(name.replace("-", "", 1),),
        )
        for name, usd, silent_part, quality in (
            ("veo-3.1-fast", 0.15, 2 / 3, "standard"),
            ("veo-3.1", 0.40, 0.5, "best"),
        )
    ),
    _build_row(
        "seedance-1-pro-fast",
        "bytedance/seedance-1-pro-fast",
        0.025,
        capability=Capability.VIDEO,
        unit=PriceUnit.SECOND,
        usd_by_side=((864, 0.015), (1280, 0.025), (1920, 0.06)),
        quality="draft",
        text_ratios=SEEDANCE_RATIOS,
        durations=tuple(range(2, 13)),
        sizes=(("480p", 864), *HD_SIZES),
        max_inputs=1,
        input_fields=("image",),
        fields={"prompt": "prompt", "seed": "seed"},
        computed=SHAPE_OPTIONS | {"duration"},
    ),
    # Schema and price as a public client quotes its page of 2026-09-25. It makes ten seconds too,
    # but not from a picture.
    _build_row(
        "ray-3.2",
        "luma/ray-3.2",
        0.06,
        capability=Capability.VIDEO,
        unit=PriceUnit.SECOND,
        usd_by_side=price_sizes(RAY_SIZES, (0.03, 0.06, 0.24)),
        quality="best",
        ratios=LUMA_RATIOS,
        durations=(5,),
        sizes=RAY_SIZES,
        max_inputs=2,
        input_fields=("start_image", "end_image"),
        fields={"prompt": "prompt"},
        computed=SHAPE_OPTIONS | {"duration"},
        aliases=("luma-ray", "luma-ray-3.2", "ray"),
    ),
)

SOUNDS: tuple[ModelRow, ...] = (
    _build_row(
        "minimax-speech-2.6-hd",
        "minimax/speech-2.6-hd",
        0.10,
        capability=Capability.SPEECH,
        unit=PriceUnit.CHARACTERS,
        max_characters=10_000,
        fields={
            "text": "text",
            "voice": "voice_id",
            "speed": "speed",
            "outputFormat": "audio_format",
        },
        computed=frozenset(),
        ranges={"speed": (0.5, 2.0)},
        formats=("mp3", "wav", "flac"),
        voices=MINIMAX_VOICES,
        voice_words={"narrator": "Wise_Woman"},
    ),
    _build_row(
        "eleven_v3",
        "elevenlabs/v3",
        0.10,
        capability=Capability.SPEECH,
        unit=PriceUnit.CHARACTERS,
        quality="best",
        max_characters=5_000,
        fields={
            "text": "prompt",
            "voice": "voice",
            "language": "language_code",
            "speed": "speed",
            "stability": "stability",
            "similarityBoost": "similarity_boost",
            "style": "style",
        },
        computed=frozenset(),
        ranges={"speed": (0.7, 1.2)},
        formats=("mp3",),
        voices=ELEVEN_VOICES,
        voice_words={"narrator": "Rachel"},
    ),
    _build_row(
        "stable-audio-2.5",
        "stability-ai/stable-audio-2.5",
        0.20,
        capability=Capability.MUSIC,
        unit=PriceUnit.RUN,
        fields={"prompt": "prompt", "seed": "seed"},
        computed=frozenset({"duration"}),
        ranges={"duration": (1, 190)},
    ),
    _build_row(
        "eleven-music",
        "elevenlabs/music",
        0.0083,
        capability=Capability.MUSIC,
        unit=PriceUnit.SECOND,
        quality="best",
        fields={"prompt": "prompt"},
        computed=frozenset({"duration"}),
        ranges={"duration": (5, 300)},
        seconds_field="music_length_ms",
        seconds_form=SecondsForm.MILLISECONDS,
        formats=("mp3",),
        aliases=("music_v1",),
    ),
)

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (*PICTURES, *CUTOUTS, *CLIPS, *SOUNDS)

PRICE_PAGES = (
    # As others quote it.
    PricePage(
        url="https://replicate.com/bria/remove-background",
        read_on=date(2026, 11, 27),
        is_exact=False,
        capabilities=frozenset({Capability.CUTOUT}),
    ),
    PricePage(url="https://replicate.com/pricing", read_on=date(2025, 11, 1)),
)
