"""ElevenLabs' models."""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import ModelRow, PricePage, PriceUnit, SecondsForm
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

#: ElevenLabs' names, all under `voice_settings`.
VOICE_SETTING_FIELDS = {
    "stability": "stability",
    "similarityBoost": "similarity_boost",
    "style": "style",
    "speed": "speed",
}
#: A voice that every account has; callers name it, ElevenLabs takes its id.
RACHEL = "21m00Tcm4TlvDq8ikWAM"
SPEECH_OPTIONS: dict[str, Any] = {
    "voice_words": {"narrator": RACHEL, "rachel": RACHEL},
    "fields": {"text": "text", "seed": "seed"},
    "computed": frozenset({"voice", "language", "outputFormat", *VOICE_SETTING_FIELDS}),
    "ranges": {"speed": (0.7, 1.2)},
}
#: By the types of elevenlabs 2.78: without `style`.
FLASH_OPTIONS: dict[str, Any] = {
    **SPEECH_OPTIONS,
    "computed": SPEECH_OPTIONS["computed"] - {"style"},
    "max_characters": 40_000,
}
#: US dollars for a thousand characters, as inference.sh (2026-11-11) and muapi.ai quote the page.
SPEECH_USD, FLASH_USD = 0.08, 0.04
#: The models of which a character counts half in the answer's header.
HALVED = frozenset({"eleven_flash_v2_5"})
MUSIC_OPTIONS: dict[str, Any] = {
    "capability": Capability.MUSIC,
    "unit": PriceUnit.SECOND,
    "fields": {"prompt": "prompt"},
    "computed": frozenset({"duration", "outputFormat"}),
    "seconds_field": "music_length_ms",
    "seconds_form": SecondsForm.MILLISECONDS,
    "ranges": {"duration": (3, 600)},
}
#: By the types of elevenlabs 2.78. The model chooses a length that is not given.
EFFECT_OPTIONS: dict[str, Any] = {
    "capability": Capability.SOUND_EFFECT,
    "unit": PriceUnit.RUN,
    "fields": {"prompt": "text", "loop": "loop", "promptInfluence": "prompt_influence"},
    "computed": frozenset({"duration", "outputFormat"}),
    "seconds_field": "duration_seconds",
    "seconds_form": SecondsForm.DECIMAL,
    "ranges": {"duration": (0.5, 30)},
}
#: By the types of elevenlabs 2.78; by the second of the file.
SCRIBE_OPTIONS: dict[str, Any] = {
    "capability": Capability.TRANSCRIPTION,
    "unit": PriceUnit.SECOND,
    "fields": {"diarize": "diarize", "speakers": "num_speakers"},
    "computed": frozenset({"language", "seed"}),
    "max_inputs": 1,
    "needs_input": True,
    "formats": (),
}


def _build_row(
    name: str,
    usd: float | None,
    *,
    capability: Capability = Capability.SPEECH,
    unit: PriceUnit,
    **more: Any,
) -> ModelRow:
    return ModelRow(
        name=name,
        provider="elevenlabs",
        path=name,
        capability=capability,
        usd=usd,
        unit=unit,
        **{"formats": ("mp3", "wav", "opus"), **more},
    )


#: The characters and the seconds are what is paid for.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("text", "music_length_ms", "composition_plan"),
    # Of transcripts: other files, other answers, and work with a surcharge.
    *("file", "cloud_storage_url", "source_url", "webhook_id", "webhook_metadata"),
    *("timestamps_granularity", "additional_formats", "use_multi_channel"),
    *("transcript_edit", "keyterms", "entity_detection", "entity_redaction"),
    *("detect_speaker_roles",),
}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "eleven_multilingual_v2",
        SPEECH_USD,
        unit=PriceUnit.CHARACTERS,
        **SPEECH_OPTIONS,
        aliases=("elevenlabs", "multilingual-v2"),
    ),
    _build_row(
        "eleven_v3", SPEECH_USD, quality="best", unit=PriceUnit.CHARACTERS, **SPEECH_OPTIONS
    ),
    _build_row(
        "eleven_flash_v2_5",
        FLASH_USD,
        quality="draft",
        unit=PriceUnit.CHARACTERS,
        **FLASH_OPTIONS,
        aliases=("eleven-flash", "flash-v2.5"),
    ),
    # By the types of elevenlabs 2.78 and public clients; no price was found: by its name alone.
    _build_row("eleven_v4", None, quality="best", unit=PriceUnit.CHARACTERS, **SPEECH_OPTIONS),
    _build_row("music_v1", 0.80 / 60, **MUSIC_OPTIONS, aliases=("music", "eleven-music")),
    # By the types of elevenlabs 2.78, without prices: they serve only where they are named.
    *(_build_row(name, None, **MUSIC_OPTIONS) for name in ("music_v2", "music_v2_5")),
    # An effect of any length: the API's price page, as developer.puter.com read it in 2026-06.
    _build_row("eleven_text_to_sound_v2", 0.12, **EFFECT_OPTIONS, aliases=("sound-effects",)),
    _build_row("eleven_text_to_sound_v3", None, **EFFECT_OPTIONS),
    # $0.22 an hour, by the API's price page, as developer.puter.com read it in 2026-06.
    _build_row("scribe_v2", 0.22 / 3600, **SCRIBE_OPTIONS, aliases=("scribe",)),
    _build_row("scribe_v1", 0.22 / 3600, **SCRIBE_OPTIONS),
    _build_row("scribe_v3", None, quality="best", **SCRIBE_OPTIONS),
)

#: The price of a character depends on the account's plan; the others are quotations.
PRICE_PAGES = (
    PricePage(
        url="https://elevenlabs.io/pricing/api",
        read_on=date(2026, 11, 11),
        is_exact=False,
        capabilities=frozenset({Capability.SPEECH}),
    ),
    PricePage(url="https://elevenlabs.io/pricing/api", read_on=date(2026, 6, 1), is_exact=False),
)
