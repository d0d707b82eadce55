"""Runway's models of clips, and of the editing of clips.

Fields and sizes: the types of runwayml 5.24. Seconds: Runway's API reference and models page, as
public clients of 2026-09 and 2026-10 have them. Prices: its price page, as these quote it.
"""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.model_row import HD_SIZES, ModelRow, PriceUnit, price_sizes
from taskreel.adapters.providers.runway.model_rows import build_row
from taskreel.ports import Capability

GEN4_RATIOS = ("1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672")
GEN4_FIELDS = {"prompt": "promptText", "seed": "seed"}
VEO_RATIOS = ("1280:720", "720:1280", "1920:1080", "1080:1920")
VEO_FIELDS = GEN4_FIELDS | {"negativePrompt": "negativePrompt", "audio": "audio"}

SEEDANCE_FIELDS = GEN4_FIELDS | {"audio": "audio"}
SEEDANCE_720P = ("1280:720", "720:1280", "960:960", "1112:834", "834:1112", "1470:630")
SEEDANCE_480P = ("864:496", "496:864", "640:640", "752:560", "560:752", "992:432")
SEEDANCE_1080P = ("1920:1080", "1080:1920", "1440:1440", "1664:1248", "1248:1664", "2206:946")
SEEDANCE_4K = ("3840:2160", "2160:3840", "3840:3840", "3840:2880", "2880:3840", "3840:1646")
SEEDANCE25_480P = ("854:480", "480:854", "640:640", "752:560", "560:752", "992:432")

WAN_FIELDS = {"prompt": "promptText", "audio": "audio"}
WAN_RATIOS = (
    *("1280:720", "720:1280", "960:960", "1104:832", "832:1104"),
    *("832:480", "480:832", "624:624", "720:544", "544:720"),
    *("1920:1080", "1080:1920", "1440:1440", "1648:1248", "1248:1648"),
)
HAPPYHORSE_RATIOS = (
    *("1280:720", "720:1280", "960:960", "1108:832", "832:1108"),
    *("1920:1080", "1080:1920", "1440:1440", "1662:1248", "1248:1662"),
)
OMNI_RATIOS = (
    *("1280:720", "720:1280", "640:360", "360:640"),
    *("1920:1080", "1080:1920", "3840:2160", "2160:3840"),
)
GROK_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3")
GROK_LITE_RATIOS = (
    *("1280:720", "720:1280", "720:720", "960:720", "720:960", "1088:720", "720:1088"),
    *("848:480", "480:848", "480:480", "640:480", "480:640", "720:480", "480:720"),
    *("1904:1072", "1072:1904", "1424:1424", "1648:1232", "1232:1648", "1744:1152", "1152:1744"),
)
HAILUO_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
HAILUO_SIZES = (("768p", 1366), ("2k", 2560))
KLING_FIELDS = {"prompt": "promptText", "audio": "audio"}
KLING_720P = ("1280:720", "720:1280", "960:960")
KLING_1080P = ("1920:1080", "1080:1920", "1440:1440")
KLING_4K = ("3840:2160", "2160:3840", "2880:2880")
KLING4_RATIOS = (
    *("1280:720", "720:1280", "940:940", "1460:624"),
    *("1920:1080", "1080:1920", "1440:1440", "2200:940"),
)
#: The most pixels of a size that Runway counts as 360p, 480p, 720p, 1080p or 4K.
P360, P480, P720, P1080, P4K = 230_400, 430_000, 930_000, 2_200_000, 15_000_000
AUTO_SIZES = (("auto_480p", P480), ("auto_720p", P720), ("auto_1080p", P1080))


def _build_clip(name: str, usd: float | None, **more: Any) -> ModelRow:
    """A model of clips; of two pictures the first is its first frame, the second its last."""
    return build_row(name, Capability.VIDEO, usd, PriceUnit.SECOND, **{"max_inputs": 2, **more})


def _build_seconds(least: int, most: int) -> dict[str, Any]:
    return {"ranges": {"duration": (least, most)}}


_RUNWAYS = (
    _build_clip(
        "gen4.5",
        0.12,
        quality="best",
        ratios=GEN4_RATIOS,
        text_ratios=("1280:720", "720:1280"),
        durations=tuple(range(2, 11)),
        max_inputs=1,
        fields=GEN4_FIELDS,
        aliases=("runway-gen4.5",),
    ),
    _build_clip(
        "gen4_turbo",
        0.05,
        quality="draft",
        ratios=GEN4_RATIOS,
        durations=tuple(range(2, 11)),
        max_inputs=1,
        needs_input=True,
        fields=GEN4_FIELDS,
        aliases=("runway-gen4", "gen4", "gen-4", "runway-gen4-turbo", "gen4-turbo"),
    ),
)

#: Google's.
_GOOGLES = (
    *(
        _build_clip(
            name,
            usd,
            silent_part=silent_part,
            quality=quality,
            ratios=VEO_RATIOS,
            durations=(4, 6, 8),
            fields=VEO_FIELDS,
            aliases=(name.replace("veo", "veo-").replace("_", "-"),),
        )
        for name, usd, silent_part, quality in (
            ("veo3.1", 0.40, 1 / 2, "best"),
            ("veo3.1_fast", 0.15, 2 / 3, "standard"),
        )
    ),
    # A picture costs a credit more.
    _build_clip(
        "gemini_omni_flash",
        0.10,
        ratios=("1280:720", "720:1280"),
        max_inputs=1,
        fields={"prompt": "promptText"},
        **_build_seconds(3, 10),
    ),
    _build_clip(
        "gemini_omni_flash_1.1",
        0.10,
        usd_by_pixels=((P360, 0.034), (P720, 0.10), (P1080, 0.15), (P4K, 0.30)),
        ratios=OMNI_RATIOS,
        fields={"prompt": "promptText"},
        **_build_seconds(3, 10),
    ),
)

#: ByteDance's.
_SEEDANCES = (
    _build_clip(
        "seedance2",
        0.36,
        usd_by_pixels=((P720, 0.36), (P1080, 0.40), (P4K, 1.50)),
        quality="best",
        ratios=(*SEEDANCE_720P, *SEEDANCE_480P, *SEEDANCE_1080P, *SEEDANCE_4K),
        fields=SEEDANCE_FIELDS,
        **_build_seconds(4, 15),
    ),
    *(
        _build_clip(
            name,
            usd,
            quality=quality,
            ratios=(*SEEDANCE_720P, *SEEDANCE_480P),
            fields=SEEDANCE_FIELDS,
            **_build_seconds(4, 15),
        )
        for name, usd, quality in (
            ("seedance2_fast", 0.29, "standard"),
            ("seedance2_mini", 0.16, "draft"),
        )
    ),
    _build_clip(
        "seedance2_5",
        0.30,
        usd_by_pixels=((P480, 0.20), (P720, 0.30), (P1080, 0.68)),
        quality="best",
        ratios=(*SEEDANCE_720P, *SEEDANCE25_480P, *SEEDANCE_1080P),
        fields=SEEDANCE_FIELDS,
        **_build_seconds(4, 30),
    ),
)

#: Alibaba's, MiniMax's and xAI's.
_OTHERS = (
    *(
        _build_clip(
            name,
            prices[1],
            usd_by_pixels=tuple(zip((P480, P720, P1080), prices, strict=True)),
            text_ratios=WAN_RATIOS,
            input_sizes=AUTO_SIZES,
            size_field="ratio",
            fields=WAN_FIELDS,
            **_build_seconds(2, 30),
        )
        for name, prices in (("wan3", (0.05, 0.10, 0.20)), ("wan3_prime", (0.068, 0.14, 0.28)))
    ),
    _build_clip(
        "happyhorse_1_0",
        0.15,
        usd_by_pixels=((P720, 0.15), (P1080, 0.30)),
        text_ratios=HAPPYHORSE_RATIOS,
        input_sizes=(("720p", P720), ("1080p", P1080)),
        max_inputs=1,
        fields={"prompt": "promptText"},
        **_build_seconds(3, 15),
    ),
    _build_clip(
        "hailuo3",
        0.10,
        usd_by_side=price_sizes(HAILUO_SIZES, (0.10, 0.15)),
        ratios=HAILUO_RATIOS,
        sizes=HAILUO_SIZES,
        fields={"prompt": "promptText"},
        **_build_seconds(5, 15),
    ),
    # It has no field for a shape.
    _build_clip(
        "h3_max",
        0.08,
        quality="draft",
        constants={"resolution": "768p"},
        fields=GEN4_FIELDS,
        computed=frozenset({"duration"}),
        **_build_seconds(5, 15),
    ),
    _build_clip(
        "grok_imagine_1_5",
        0.16,
        usd_by_side=price_sizes((("480p", 854), *HD_SIZES), (0.10, 0.16, 0.29)),
        text_ratios=GROK_RATIOS,
        sizes=(("480p", 854), *HD_SIZES),
        max_inputs=1,
        fields={"prompt": "promptText"},
        **_build_seconds(1, 15),
    ),
    # No price was found of this one, and no range of seconds: that of its family is assumed.
    _build_clip(
        "grok_imagine_1_5_lite",
        None,
        text_ratios=GROK_LITE_RATIOS,
        input_sizes=AUTO_SIZES,
        size_field="ratio",
        max_inputs=1,
        fields={"prompt": "promptText"},
        **_build_seconds(1, 15),
    ),
)

#: Kuaishou's, which Runway's price page does not list.
_KLINGS = (
    *(
        _build_clip(
            f"{family}_{tier}",
            None,
            ratios=ratios,
            fields=KLING_FIELDS,
            # Of Kling O3 and of Kling 4 no range was found: that of Kling 3.0 is assumed.
            **_build_seconds(3, 15),
        )
        for family in ("kling3.0", "klingO3")
        for tier, ratios in (("standard", KLING_720P), ("pro", KLING_1080P), ("4k", KLING_4K))
    ),
    _build_clip(
        "kling2.5_turbo_pro",
        None,
        text_ratios=(*KLING_1080P, "1280:720", "720:1280", "720:720"),
        durations=(5, 10),
        fields={"prompt": "promptText"},
    ),
    _build_clip(
        "kling_4",
        None,
        text_ratios=KLING4_RATIOS,
        input_sizes=(("auto_720p", P720), ("auto_1080p", P1080)),
        size_field="ratio",
        fields={"prompt": "promptText"},
        **_build_seconds(3, 15),
    ),
)

CLIPS: tuple[ModelRow, ...] = (*_RUNWAYS, *_GOOGLES, *_SEEDANCES, *_OTHERS, *_KLINGS)


def _build_edit(name: str, usd: float | None, video_field: str, **more: Any) -> ModelRow:
    return build_row(
        name,
        Capability.VIDEO_EDIT,
        usd,
        PriceUnit.SECOND,
        input_fields=(video_field,),
        max_inputs=1,
        needs_input=True,
        **more,
    )


EDITS: tuple[ModelRow, ...] = (
    # 28 credits a second of 2 to 30, at least 56.
    _build_edit(
        "aleph2",
        0.28,
        "videoUri",
        least_seconds=2,
        fields={"prompt": "promptText", "seed": "seed"},
        aliases=("aleph", "gen4_aleph", "runway-aleph"),
    ),
    # 30 credits a second of the result and 15 of the video: they have the same length. An edit must
    # leave its length open, and its size is the video's.
    _build_edit(
        "seedance2_5",
        0.45,
        "promptVideo",
        quality="best",
        constants={"mode": "edit", "duration": "auto"},
        fields={"prompt": "promptText", "seed": "seed"},
    ),
    # The price page names those of clips alone.
    _build_edit("gemini_omni_flash", None, "videoUri", fields={"prompt": "promptText"}),
    _build_edit(
        "gemini_omni_flash_1.1",
        None,
        "videoUri",
        constants={"mode": "edit"},
        fields={"prompt": "promptText"},
    ),
    _build_edit("kling_4", None, "videoUri", fields={"prompt": "promptText"}),
)
