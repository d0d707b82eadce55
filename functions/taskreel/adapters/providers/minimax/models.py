"""MiniMax's models of clips and of speech.

Prices: MiniMax's pay-as-you-go page of 2026-10-24, as laozhang.ai's comparison quotes it.
"""

from __future__ import annotations

from datetime import date

from taskreel.adapters.providers.model_row import SHAPE_OPTIONS, ModelRow, PricePage, PriceUnit
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

#: What the clip starts from: files that are referred to are paid for apart.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("content", "text", "output_format"),
    *("first_frame_image", "last_frame_image", "subject_reference", "callback_url"),
}

MODELS: tuple[ModelRow, ...] = (
    ModelRow(
        name="minimax-h3",
        provider="minimax",
        path="MiniMax-H3",
        capability=Capability.VIDEO,
        usd=0.13,
        unit=PriceUnit.SECOND,
        usd_by_side=((1366, 0.08),),
        quality="best",
        ratios=("21:9", "16:9", "4:3", "1:1", "3:4", "9:16"),
        durations=tuple(range(5, 16)),
        sizes=(("768P", 1366), ("2K", 2560)),
        max_inputs=2,
        computed=SHAPE_OPTIONS | {"prompt", "duration"},
        aliases=("hailuo-3", "hailuo3", "hailuo"),
    ),
    # By version 1 of the API, as public clients use it; MiniMax's own price was not found, so it
    # serves only where it is named.
    ModelRow(
        name="minimax-hailuo-2.3",
        provider="minimax",
        path="MiniMax-Hailuo-2.3",
        capability=Capability.VIDEO,
        usd=None,
        unit=PriceUnit.SECOND,
        durations=(6, 10),
        # 1080P is for six seconds alone.
        constants={"resolution": "768P"},
        max_inputs=1,
        input_fields=("first_frame_image",),
        fields={"prompt": "prompt"},
        computed=frozenset({"duration"}),
        aliases=("hailuo-2.3",),
    ),
    # Of its voices an account has its own, by ids.
    ModelRow(
        name="minimax-speech-2.8-hd",
        provider="minimax",
        path="speech-2.8-hd",
        capability=Capability.SPEECH,
        usd=0.10,
        unit=PriceUnit.CHARACTERS,
        max_characters=10_000,
        fields={
            "text": "text",
            "voice": "voice_setting.voice_id",
            "speed": "voice_setting.speed",
            "outputFormat": "audio_setting.format",
        },
        ranges={"speed": (0.5, 2.0)},
        constants={"stream": False, "output_format": "hex"},
        formats=("mp3", "wav", "flac"),
        voice_words={"narrator": "Wise_Woman"},
        aliases=("speech-2.8-hd",),
    ),
)

PRICE_PAGES = (
    # As the pages of fal and Replicate price the same model.
    PricePage(
        url="https://fal.ai/models/fal-ai/minimax/speech-2.8-hd",
        read_on=date(2026, 9, 1),
        is_exact=False,
        capabilities=frozenset({Capability.SPEECH}),
    ),
    # As docs.laozhang.ai quotes it.
    PricePage(
        url="https://platform.minimax.io/docs/guides/pricing-paygo",
        read_on=date(2026, 10, 24),
        is_exact=False,
    ),
)
