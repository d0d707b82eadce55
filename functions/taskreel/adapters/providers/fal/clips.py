"""fal's models of clips, and those that change a clip.

The fields are those of the types of @fal-ai/client 1.10.1. The prices are those of the models'
pages at fal.ai, read between 2026-04 and 2026-09.
"""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.fal.model_rows import build_row
from taskreel.adapters.providers.model_row import (
    HD_SIZES,
    HOSTED_VEO_FIELDS,
    RAY_BLOCK_SECONDS,
    RAY_SIZES,
    SHAPE_OPTIONS,
    WIDE_OR_TALL,
    ModelRow,
    PriceUnit,
    SecondsForm,
    price_sizes,
)
from taskreel.ports import Capability

KLING_FIELDS = {"prompt": "prompt", "negativePrompt": "negative_prompt", "audio": "generate_audio"}
SEEDANCE_FIELDS = {"prompt": "prompt", "seed": "seed", "audio": "generate_audio"}
SEEDANCE_RATIOS = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
WIDE_TALL_OR_SQUARE = ("16:9", "9:16", "1:1")
#: fal's page counts tokens, height × width × 24 × seconds / 1024, at $2.40 a million with sound.
SEEDANCE_USD = ((864, 0.0233), (1280, 0.0518), (1920, 0.1166))
SYNC_FIELDS = {"syncMode": "sync_mode"}
VIDEO_OPTIONS = SHAPE_OPTIONS | {"duration"}


def _build_video(name: str, path: str, usd: float, **more: Any) -> ModelRow:
    return build_row(
        name,
        path,
        usd,
        capability=Capability.VIDEO,
        **{"unit": PriceUnit.SECOND, "computed": VIDEO_OPTIONS, **more},
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

#: Schemas and prices by the models' pages, read 2026-11.
CHANGED_CLIPS: tuple[ModelRow, ...] = (
    build_row(
        "ray-3.2-edit",
        "luma/agent/ray/v3.2/video-to-video",
        0.216,
        capability=Capability.VIDEO_EDIT,
        unit=PriceUnit.SECOND,
        usd_by_side=price_sizes(RAY_SIZES, (0.144, 0.216, 0.432)),
        block_seconds=RAY_BLOCK_SECONDS,
        sizes=RAY_SIZES,
        fields={"prompt": "prompt"},
        computed=frozenset({"width", "height", "resolution"}),
        max_inputs=1,
        needs_input=True,
        input_fields=("video_url",),
        aliases=("ray-3.2", "luma-ray", "luma-ray-3.2", "ray"),
    ),
    *(
        build_row(
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
