"""Models at fal; it runs any other by its endpoint too.

The fields are those of the types of @fal-ai/client 1.10.1. The prices are those of the models'
pages at fal.ai, read between 2026-04 and 2026-09.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    FLUX_FIELDS,
    FLUX_RATIOS,
    FOUR_MEGAPIXELS,
    GEMINI_RATIOS,
    GEMINI_SIZES,
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

FAL_FLUX_FIELDS = FLUX_FIELDS | {"numImages": "num_images"}
OPEN_FLUX_FIELDS = FAL_FLUX_FIELDS | {"steps": "num_inference_steps", "guidance": "guidance_scale"}
KLING_FIELDS = {"prompt": "prompt", "negativePrompt": "negative_prompt", "audio": "generate_audio"}
SEEDANCE_FIELDS = {"prompt": "prompt", "seed": "seed", "audio": "generate_audio"}
SEEDANCE_RATIOS = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
WIDE_TALL_OR_SQUARE = ("16:9", "9:16", "1:1")
#: fal's page counts tokens, height × width × 24 × seconds / 1024, at $2.40 a million with sound.
SEEDANCE_USD = ((864, 0.0233), (1280, 0.0518), (1920, 0.1166))
#: A voice that every ElevenLabs account has, and one of MiniMax's.
RACHEL, WISE_WOMAN = "Rachel", "Wise_Woman"
SYNC_FIELDS = {"syncMode": "sync_mode"}
VIDEO_OPTIONS = SHAPE_OPTIONS | {"duration"}


def _build_row(
    name: str, path: str, usd: float, *, capability: Capability = Capability.IMAGE, **more: Any
) -> ModelRow:
    more = {
        "unit": PriceUnit.MEGAPIXEL,
        "fields": FAL_FLUX_FIELDS,
        "computed": SHAPE_OPTIONS,
        "formats": ("png", "jpeg") if capability is Capability.IMAGE else (),
        **more,
    }
    return ModelRow(name=name, provider="fal", path=path, capability=capability, usd=usd, **more)


def _build_video(name: str, path: str, usd: float, **more: Any) -> ModelRow:
    return _build_row(
        name,
        path,
        usd,
        capability=Capability.VIDEO,
        **{"unit": PriceUnit.SECOND, "computed": VIDEO_OPTIONS, **more},
    )


def _build_speech(name: str, path: str, narrator: str, **more: Any) -> ModelRow:
    return _build_row(
        name,
        path,
        0.10,
        capability=Capability.SPEECH,
        unit=PriceUnit.CHARACTERS,
        formats=("mp3",),
        voice_words={"narrator": narrator, narrator.lower(): narrator},
        computed=frozenset(),
        **more,
    )


#: The address of its webhook.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("fal_webhook", "seconds_total", "music_length_ms", "composition_plan"),
    *("video_url", "audio_url", "start_image_url", "hdr", "exr_export"),
    *("prompt", "text", "max_tokens", "multi_prompt", "enable_web_search", "thinking_level"),
}

PICTURES: tuple[ModelRow, ...] = (
    _build_row(
        "flux-2-pro",
        "fal-ai/flux-2-pro",
        0.03,
        usd_further=0.015,
        input_path="fal-ai/flux-2-pro/edit",
        input_fields=("image_urls[]",),
        max_inputs=9,
        max_pixels=FOUR_MEGAPIXELS,
        size_multiple=16,
        fields=FLUX_FIELDS,
    ),
    _build_row("flux-1.1-pro", "fal-ai/flux-pro/v1.1", 0.04, max_results=4),
    _build_row(
        "flux-schnell",
        "fal-ai/flux/schnell",
        0.003,
        quality="draft",
        ranges={"steps": (1, 12), "guidance": (1, 20)},
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
    ),
    _build_row(
        "flux-dev",
        "fal-ai/flux/dev",
        0.025,
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
        ranges={"steps": (1, 50), "guidance": (1, 20)},
    ),
    _build_row(
        "flux-kontext-pro",
        "fal-ai/flux-pro/kontext",
        0.04,
        unit=PriceUnit.IMAGE,
        ratios=FLUX_RATIOS,
        max_inputs=1,
        needs_input=True,
        fields=FAL_FLUX_FIELDS | {"guidance": "guidance_scale"},
        ranges={"guidance": (1, 20)},
    ),
    *(
        _build_row(
            name,
            path,
            prices[0],
            unit=PriceUnit.IMAGE,
            usd_by_side=price_sizes(GEMINI_SIZES, prices),
            quality=quality,
            input_path=f"{path}/edit",
            input_fields=("image_urls[]",),
            max_inputs=14,
            max_results=4,
            ratios=GEMINI_RATIOS,
            sizes=GEMINI_SIZES,
            formats=("png", "jpeg", "webp"),
        )
        for name, path, prices, quality in (
            ("nano-banana-2", "fal-ai/nano-banana-2", (0.08, 0.12, 0.16), "standard"),
            ("nano-banana-pro", "fal-ai/nano-banana-pro", (0.15, 0.15, 0.30), "best"),
        )
    ),
    _build_row(
        "esrgan",
        "fal-ai/esrgan",
        0.003,
        capability=Capability.UPSCALE,
        unit=PriceUnit.RUN,
        scales=tuple(range(1, 9)),
        max_inputs=1,
        needs_input=True,
        fields={"scale": "scale", "faceEnhance": "face"},
        computed=frozenset(),
        aliases=("real-esrgan",),
    ),
    _build_row(
        "seedvr2",
        "fal-ai/seedvr/upscale/image",
        0.001,
        capability=Capability.UPSCALE,
        quality="best",
        ranges={"scale": (1, 10)},
        max_inputs=1,
        needs_input=True,
        fields={"scale": "upscale_factor", "seed": "seed"},
        computed=frozenset({"outputFormat"}),
        formats=("png", "jpeg", "webp"),
        constants={"upscale_mode": "factor"},
    ),
    _build_row(
        "clarity-upscaler",
        "fal-ai/clarity-upscaler",
        0.03,
        capability=Capability.UPSCALE,
        ranges={"scale": (1, 4)},
        max_inputs=1,
        needs_input=True,
        fields={
            "scale": "upscale_factor",
            "seed": "seed",
            "prompt": "prompt",
            "creativity": "creativity",
        },
        computed=frozenset(),
    ),
)

#: Schemas and prices by the models' pages, read 2026-11. They write PNG alone.
CUTOUTS: tuple[ModelRow, ...] = tuple(
    _build_row(
        name,
        path,
        usd,
        capability=Capability.CUTOUT,
        unit=unit,
        quality=quality,
        max_inputs=1,
        needs_input=True,
        fields={"seed": "seed"},
        computed=frozenset(),
        formats=("png",),
    )
    for name, path, usd, unit, quality in (
        ("feynobg", "fal-ai/feynobg", 0.001, PriceUnit.RUN, "standard"),
        ("ben-v2", "fal-ai/ben/v2/image", 0.025, PriceUnit.MEGAPIXEL, "best"),
    )
)

CLIPS: tuple[ModelRow, ...] = (
    *(
        _build_video(
            name,
            path,
            usd,
            silent_part=silent_part,
            quality=quality,
            input_path=f"{path}/image-to-video",
            max_inputs=1,
            ratios=WIDE_OR_TALL,
            durations=(4, 6, 8),
            seconds_form=SecondsForm.TEXT_S,
            sizes=HD_SIZES,
            fields=HOSTED_VEO_FIELDS,
            aliases=(name.replace("-", "", 1),),
        )
        for name, path, usd, silent_part, quality in (
            ("veo-3.1-fast", "fal-ai/veo3.1/fast", 0.15, 2 / 3, "standard"),
            ("veo-3.1", "fal-ai/veo3.1", 0.40, 0.5, "best"),
        )
    ),
    *(
        _build_video(
            name,
            f"{path}/text-to-video",
            usd,
            silent_part=2 / 3,
            quality=quality,
            input_path=f"{path}/image-to-video",
            input_fields=("start_image_url", "end_image_url"),
            max_inputs=2,
            text_ratios=WIDE_TALL_OR_SQUARE,
            durations=tuple(range(3, 16)),
            seconds_form=SecondsForm.TEXT,
            fields=KLING_FIELDS,
            aliases=(name.replace("-", "", 1),),
        )
        for name, path, usd, quality in (
            ("kling-3.0-standard", "fal-ai/kling-video/v3/standard", 0.126, "standard"),
            ("kling-3.0-pro", "fal-ai/kling-video/v3/pro", 0.168, "best"),
        )
    ),
    _build_video(
        "kling-2.5-turbo-pro",
        "fal-ai/kling-video/v2.5-turbo/pro/text-to-video",
        0.07,
        input_path="fal-ai/kling-video/v2.5-turbo/pro/image-to-video",
        input_fields=("image_url", "tail_image_url"),
        max_inputs=2,
        text_ratios=WIDE_TALL_OR_SQUARE,
        durations=(5, 10),
        seconds_form=SecondsForm.TEXT,
        fields={"prompt": "prompt", "negativePrompt": "negative_prompt"},
    ),
    _build_video(
        "seedance-1.5-pro",
        "fal-ai/bytedance/seedance/v1.5/pro/text-to-video",
        SEEDANCE_USD[1][1],
        usd_by_side=SEEDANCE_USD,
        silent_part=0.5,
        quality="draft",
        input_path="fal-ai/bytedance/seedance/v1.5/pro/image-to-video",
        input_fields=("image_url", "end_image_url"),
        max_inputs=2,
        ratios=SEEDANCE_RATIOS,
        durations=tuple(range(4, 13)),
        seconds_form=SecondsForm.TEXT,
        sizes=(("480p", 864), *HD_SIZES),
        fields=SEEDANCE_FIELDS,
    ),
    _build_video(
        "hailuo-2.3",
        "fal-ai/minimax/hailuo-2.3/standard/text-to-video",
        0.056,
        usd_by_seconds={6: 0.28, 10: 0.56},
        input_path="fal-ai/minimax/hailuo-2.3/standard/image-to-video",
        max_inputs=1,
        durations=(6, 10),
        seconds_form=SecondsForm.TEXT,
        fields={"prompt": "prompt"},
        computed=frozenset({"duration"}),
        aliases=("hailuo", "minimax-hailuo-2.3"),
    ),
)

#: Schemas and prices by the models' pages, read 2026-11. Ray bills blocks of five seconds.
CHANGED_CLIPS: tuple[ModelRow, ...] = (
    _build_row(
        "ray-3.2-edit",
        "luma/agent/ray/v3.2/video-to-video",
        0.216,
        capability=Capability.VIDEO_EDIT,
        unit=PriceUnit.SECOND,
        usd_by_side=price_sizes(RAY_SIZES, (0.144, 0.216, 0.432)),
        sizes=RAY_SIZES,
        fields={"prompt": "prompt"},
        computed=frozenset({"width", "height", "resolution"}),
        max_inputs=1,
        needs_input=True,
        input_fields=("video_url",),
        aliases=("ray-3.2", "luma-ray", "luma-ray-3.2", "ray"),
    ),
    *(
        _build_row(
            name,
            path,
            usd_a_minute / 60,
            capability=Capability.LIP_SYNC,
            unit=PriceUnit.SECOND,
            quality=quality,
            fields=fields,
            computed=frozenset(),
            max_inputs=2,
            needs_input=True,
            input_fields=("video_url", "audio_url"),
        )
        for name, path, usd_a_minute, quality, fields in (
            ("lipsync-2", "fal-ai/sync-lipsync/v2", 3.0, "standard", SYNC_FIELDS),
            ("lipsync-1.9", "fal-ai/sync-lipsync", 0.7, "draft", SYNC_FIELDS),
            ("sync-3", "fal-ai/sync-lipsync/v3", 8.0, "best", SYNC_FIELDS),
            ("creatify-lipsync", "creatify/lipsync", 1.0, "draft", {}),
        )
    ),
)

SOUNDS: tuple[ModelRow, ...] = (
    _build_speech(
        "eleven_multilingual_v2",
        "fal-ai/elevenlabs/tts/multilingual-v2",
        RACHEL,
        max_characters=10_000,
        fields={
            "text": "text",
            "voice": "voice",
            "language": "language_code",
            "speed": "speed",
            "stability": "stability",
            "similarityBoost": "similarity_boost",
            "style": "style",
        },
        ranges={"speed": (0.7, 1.2)},
        aliases=("elevenlabs",),
    ),
    _build_speech(
        "eleven_v3",
        "fal-ai/elevenlabs/tts/eleven-v3",
        RACHEL,
        quality="best",
        max_characters=5_000,
        fields={
            "text": "text",
            "voice": "voice",
            "language": "language_code",
            "stability": "stability",
        },
    ),
    _build_speech(
        "minimax-speech-2.8-hd",
        "fal-ai/minimax/speech-2.8-hd",
        WISE_WOMAN,
        max_characters=10_000,
        fields={
            "text": "prompt",
            "voice": "voice_setting.voice_id",
            "speed": "voice_setting.speed",
        },
        ranges={"speed": (0.5, 2.0)},
        constants={"output_format": "url"},
    ),
    _build_row(
        "eleven-music",
        "fal-ai/elevenlabs/music",
        0.80,
        capability=Capability.MUSIC,
        unit=PriceUnit.MINUTE,
        fields={"prompt": "prompt"},
        computed=frozenset({"duration"}),
        ranges={"duration": (3, 600)},
        seconds_field="music_length_ms",
        seconds_form=SecondsForm.MILLISECONDS,
        formats=("mp3",),
        constants={"force_instrumental": True},
        aliases=("music_v1",),
    ),
    _build_row(
        "stable-audio-2.5",
        "fal-ai/stable-audio-25/text-to-audio",
        0.20,
        capability=Capability.MUSIC,
        unit=PriceUnit.RUN,
        fields={"prompt": "prompt", "seed": "seed"},
        computed=frozenset({"duration"}),
        ranges={"duration": (1, 190)},
        seconds_field="seconds_total",
    ),
    # Schema and price by its page, read 2026-09.
    _build_row(
        "eleven_text_to_sound_v2",
        "fal-ai/elevenlabs/sound-effects/v2",
        0.002,
        capability=Capability.SOUND_EFFECT,
        unit=PriceUnit.SECOND,
        fields={"prompt": "text", "loop": "loop", "promptInfluence": "prompt_influence"},
        computed=frozenset({"duration"}),
        ranges={"duration": (0.5, 22)},
        seconds_field="duration_seconds",
        seconds_form=SecondsForm.DECIMAL,
        formats=("mp3",),
    ),
    # Schema and price by its page, read 2026-11.
    _build_row(
        "scribe_v1",
        "fal-ai/elevenlabs/speech-to-text",
        0.03 / 60,
        capability=Capability.TRANSCRIPTION,
        unit=PriceUnit.SECOND,
        fields={"diarize": "diarize"},
        computed=frozenset({"language"}),
        max_inputs=1,
        input_fields=("audio_url",),
        needs_input=True,
    ),
)

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
