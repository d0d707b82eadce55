"""Runway's models of pictures.

Fields and sizes: the types of runwayml 5.24, which state some of the prices too. The others: its
price page, as public clients of 2026-09 and 2026-10 quote it. A picture to start from costs a
credit more at gpt_image_2_5 and at Grok; what a task cost is in its answer.
"""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.model_row import ModelRow, PriceUnit
from taskreel.adapters.providers.runway.model_rows import build_row
from taskreel.ports import Capability

PROMPT = {"prompt": "promptText"}
SEEDED = PROMPT | {"seed": "seed"}
GEN4_RATIOS = (
    *("1920:1080", "1080:1920", "1024:1024", "1360:768", "1080:1080"),
    *("1440:1080", "1080:1440", "2112:912"),
)
#: Those up to 2K: 4K costs up to twice as much, by the quality.
GPT_RATIOS = (
    *("1920:1920", "1920:1088", "1088:1920", "1920:1280", "1280:1920", "1920:1440", "1440:1920"),
    *("1920:1536", "1536:1920", "2048:880"),
    *("2560:2560", "2560:1440", "1440:2560", "2560:1712", "1712:2560", "2560:1920", "1920:2560"),
    *("2560:2048", "2048:2560", "2912:1248"),
)
GPT_FIELDS = PROMPT | {"quality": "quality"}
GPT_PIXELS = 2560 * 2560

GEMINI25_RATIOS = (
    *("1024:1024", "1344:768", "768:1344", "1184:864", "864:1184"),
    *("1248:832", "832:1248", "1152:896", "896:1152", "1536:672"),
)
_GEMINI_2K = (
    *("2048:2048", "2752:1536", "1536:2752", "2400:1792", "1792:2400"),
    *("2528:1696", "1696:2528", "2304:1856", "1856:2304", "3168:1344"),
)
_GEMINI_4K = (
    *("4096:4096", "5504:3072", "3072:5504", "4800:3584", "3584:4800"),
    *("5056:3392", "3392:5056", "4608:3712", "3712:4608", "6336:2688"),
)
LITE_RATIOS = (
    *("1024:1024", "1376:768", "768:1376", "1200:896", "896:1200"),
    *("1264:848", "848:1264", "1152:928", "928:1152", "1584:672"),
)
MUSE_RATIOS = (
    *("1600:1600", "2016:1152", "1152:2016", "1792:1344", "1344:1792"),
    *("1920:1280", "1280:1920", "2352:1008"),
)
SEEDREAM_PRO_RATIOS = (
    *("1024:1024", "1376:768", "768:1376", "1184:896", "896:1184", "1296:864", "864:1296"),
    *("2048:2048", "2720:1530", "1530:2720", "2304:1728", "1728:2304", "2496:1664", "1664:2496"),
)
SEEDREAM_LITE_RATIOS = (
    *("2048:2048", "2848:1600", "1600:2848", "2304:1728", "1728:2304", "2496:1664", "1664:2496"),
    "3136:1344",
    *("3072:3072", "4096:2304", "2304:4096", "3456:2592", "2592:3456", "3744:2496", "2496:3744"),
    "4704:2016",
)
SEEDREAM_FLASH_RATIOS = (
    *("1024:1024", "1376:768", "768:1376", "1184:896", "896:1184", "1248:832", "832:1248"),
    "1568:672",
    *("2048:2048", "2848:1600", "1600:2848", "2304:1728", "1728:2304", "2496:1664", "1664:2496"),
    "3136:1344",
)
GROK_RATIOS = (
    *("1024:1024", "1280:720", "720:1280", "1152:864", "864:1152", "1248:832", "832:1248"),
    *("1408:704", "704:1408", "1248:576", "576:1248", "1280:576", "576:1280"),
    *("2048:2048", "2816:1584", "1584:2816", "2368:1776", "1776:2368", "2496:1664", "1664:2496"),
    *("2912:1456", "1456:2912", "2912:1344", "1344:2912", "3200:1440", "1440:3200"),
)
FIBO_RATIOS = (
    *("1024:1024", "1024:576", "576:1024", "1024:768", "768:1024", "1152:768", "768:1152"),
    *("960:768", "768:960"),
    *("2048:2048", "2048:1152", "1152:2048", "2048:1536", "1536:2048", "2304:1536", "1536:2304"),
    *("1920:1536", "1536:1920"),
)
IDEOGRAM4_RATIOS = (
    *("2048:2048", "2560:1440", "1440:2560", "2304:1728", "1728:2304", "2496:1664", "1664:2496"),
    *("3072:1280", "1280:3072"),
)
_IDEOGRAM45_COMMON = (
    *("1024:1024", "1152:864", "864:1152", "1248:832", "832:1248", "1120:896", "896:1120"),
    *("2048:2048", "2560:1440", "1440:2560", "2304:1728", "1728:2304", "2496:1664", "1664:2496"),
    *("2240:1792", "1792:2240", "2880:1440", "1440:2880"),
)
IDEOGRAM45_TEXT = (*_IDEOGRAM45_COMMON, "1280:720", "720:1280", "1440:720", "720:1440")
IDEOGRAM45_INPUT = (*_IDEOGRAM45_COMMON, "1024:576", "576:1024", "1408:704", "704:1408")
RECRAFT_RATIOS = (
    *("1024:1024", "1344:768", "768:1344", "1280:832", "832:1280", "1216:896", "896:1216"),
    *("1152:896", "896:1152", "1280:896", "896:1280", "1536:768", "768:1536", "832:1344"),
)
#: The most pixels of a size that counts as 1K, 2K or 4K.
P1K, P2K, P4K = 1_400_000, 4_700_000, 17_300_000


def _build_picture(name: str, usd: float | None, **more: Any) -> ModelRow:
    return build_row(name, Capability.IMAGE, usd, PriceUnit.IMAGE, **{"fields": PROMPT, **more})


_RUNWAYS = (
    _build_picture("gen4_image", 0.08, ratios=GEN4_RATIOS, max_inputs=3, fields=SEEDED),
    _build_picture(
        "gen4_image_turbo",
        0.02,
        quality="draft",
        ratios=GEN4_RATIOS,
        max_inputs=3,
        needs_input=True,
        fields=SEEDED,
    ),
)

#: OpenAI's; "high" is Runway's default.
_GPTS = tuple(
    _build_picture(
        name,
        high,
        usd_by_quality={"low": 0.01, "medium": 0.05, "high": high},
        quality="best",
        ratios=GPT_RATIOS,
        max_inputs=16,
        max_pixels=GPT_PIXELS,
        fields=GPT_FIELDS,
        aliases=(alias,),
    )
    for name, high, alias in (
        ("gpt_image_2", 0.20, "gpt-image-2"),
        ("gpt_image_2_5_flare", 0.16, "gpt-image-2.5-flare"),
        ("gpt_image_2_5_sunburst", 0.16, "gpt-image-2.5-sunburst"),
    )
)

#: Google's.
_GEMINIS = (
    _build_picture("gemini_2.5_flash", 0.05, ratios=GEMINI25_RATIOS, max_inputs=3),
    _build_picture(
        "gemini_image3_pro",
        0.20,
        usd_by_pixels=((P2K, 0.20), (P4K, 0.40)),
        quality="best",
        ratios=(*GEMINI25_RATIOS, *_GEMINI_2K, *_GEMINI_4K),
        max_inputs=14,
        aliases=("nano-banana-pro",),
    ),
    # Of these no price was found, or that of one size alone.
    _build_picture(
        "gemini_image3.1_flash",
        None,
        ratios=(*GEMINI25_RATIOS, *_GEMINI_2K, *_GEMINI_4K),
        max_inputs=14,
        aliases=("nano-banana-2",),
    ),
    _build_picture("gemini_image3.1_flash_lite", None, ratios=LITE_RATIOS, max_inputs=14),
    _build_picture(
        "nano_banana_2.1",
        None,
        ratios=(*LITE_RATIOS, *_GEMINI_2K, *_GEMINI_4K),
        max_inputs=14,
        aliases=("nano-banana-2.1",),
    ),
)

_OTHERS = (
    _build_picture(
        "muse_image",
        0.01,
        quality="draft",
        ratios=MUSE_RATIOS,
        max_inputs=10,
        formats=("png", "jpeg", "webp"),
        fields=PROMPT | {"outputFormat": "outputFormat"},
    ),
    *(
        _build_picture(
            name,
            usd,
            usd_by_pixels=by_pixels,
            ratios=ratios,
            # The types state no greatest number.
            max_inputs=10,
            formats=("png", "jpeg"),
            fields=PROMPT | {"outputFormat": "outputFormat"},
        )
        for name, usd, by_pixels, ratios in (
            ("seedream5_pro", 0.05, ((P1K, 0.05), (P2K, 0.09)), SEEDREAM_PRO_RATIOS),
            ("seedream5_lite", 0.04, (), SEEDREAM_LITE_RATIOS),
            ("seedream5_flash", None, (), SEEDREAM_FLASH_RATIOS),
        )
    ),
    _build_picture(
        "grok_imagine_image_2",
        0.06,
        usd_by_pixels=((P1K, 0.06), (P2K, 0.08)),
        ratios=GROK_RATIOS,
        max_inputs=3,
    ),
    _build_picture(
        "bria_fibo_1_5",
        0.05,
        usd_by_pixels=((P1K, 0.05), (P2K, 0.10)),
        ratios=FIBO_RATIOS,
        max_inputs=1,
        formats=("png", "jpeg"),
        fields=SEEDED | {"outputFormat": "outputFormat"},
    ),
    # One picture has its own shape, and several that of the first.
    _build_picture(
        "bria_fibo_edit_1_5",
        None,
        max_inputs=4,
        needs_input=True,
        formats=("png", "jpeg"),
        fields=SEEDED | {"outputFormat": "outputFormat"},
        computed=frozenset(),
    ),
    _build_picture(
        "ideogram_4_0",
        0.07,
        usd_by_quality={"low": 0.04, "medium": 0.07, "high": 0.11},
        ratios=IDEOGRAM4_RATIOS,
        max_inputs=1,
        constants={"quality": "medium"},
        fields=GPT_FIELDS,
    ),
    _build_picture(
        "ideogram_4_5",
        0.08,
        usd_by_quality={"low": 0.04, "medium": 0.08, "high": 0.25},
        ratios=IDEOGRAM45_INPUT,
        text_ratios=IDEOGRAM45_TEXT,
        max_inputs=5,
        constants={"quality": "medium"},
        fields=GPT_FIELDS,
    ),
    _build_picture(
        "recraft_v4_1_flash",
        None,
        ratios=RECRAFT_RATIOS,
        constants={"outputFormat": "png"},
        fields=SEEDED,
    ),
)

PICTURES: tuple[ModelRow, ...] = (*_RUNWAYS, *_GPTS, *_GEMINIS, *_OTHERS)
