"""Runway's models of speech and sound effects, by the types of runwayml 5.24.

Prices: its price page, as public clients of 2026-09 and 2026-10 quote it.
"""

from __future__ import annotations

from taskreel.adapters.providers.model_row import ModelRow, PriceUnit, SecondsForm
from taskreel.adapters.providers.runway.model_rows import build_row
from taskreel.ports import Capability

ELEVEN_FIELDS = {
    "text": "promptText",
    "seed": "seed",
    "speed": "speed",
    "stability": "stability",
    "similarityBoost": "similarityBoost",
    "style": "style",
}
VOICES = (
    *("Maya", "Arjun", "Serene", "Bernard", "Billy", "Mark", "Clint", "Mabel", "Chad", "Leslie"),
    *("Eleanor", "Elias", "Elliot", "Grungle", "Brodie", "Sandra", "Kirk", "Kylie", "Lara"),
    *("Lisa", "Malachi", "Marlene", "Martin", "Miriam", "Monster", "Paula", "Pip", "Rusty"),
    *("Ragnar", "Xylar", "Maggie", "Jack", "Katie", "Noah", "James", "Rina", "Ella", "Mariah"),
    *("Frank", "Claudia", "Niki", "Vincent", "Kendrick", "Myrna", "Tom", "Wanda", "Benjamin"),
    *("Kiana", "Rachel"),
)
NARRATOR = {"narrator": "Maya"}

SPEECHES: tuple[ModelRow, ...] = (
    # A credit for 50 characters, as for eleven_v3.
    build_row(
        "eleven_multilingual_v2",
        Capability.SPEECH,
        0.20,
        PriceUnit.CHARACTERS,
        fields={"text": "promptText"},
        max_characters=1000,
        voices=VOICES,
        voice_words=NARRATOR,
    ),
    *(
        build_row(
            name,
            Capability.SPEECH,
            usd,
            PriceUnit.CHARACTERS,
            quality="best",
            fields=ELEVEN_FIELDS,
            computed=frozenset({"voice", "language"}),
            ranges={"speed": (0.7, 1.2)},
            voices=VOICES,
            voice_words=NARRATOR,
        )
        # No price was found of eleven_v4.
        for name, usd in (("eleven_v3", 0.20), ("eleven_v4", None))
    ),
    # It has one voice, or that of a recording, which speech has no field for. A quarter of a credit
    # a second, at least 5 credits: its length is not known before.
    build_row(
        "seed_audio",
        Capability.SPEECH,
        None,
        PriceUnit.SECOND,
        fields={"text": "promptText", "outputFormat": "outputFormat"},
        computed=frozenset(),
        formats=("mp3", "wav"),
    ),
)

SOUND_EFFECTS: tuple[ModelRow, ...] = (
    # A credit a second where the length is given.
    build_row(
        "eleven_text_to_sound_v2",
        Capability.SOUND_EFFECT,
        0.01,
        PriceUnit.SECOND,
        fields={"prompt": "promptText", "loop": "loop"},
        seconds_form=SecondsForm.DECIMAL,
        ranges={"duration": (0.5, 30)},
        formats=("mp3",),
    ),
    # No price was found. It needs a length.
    build_row(
        "mirelo_sfx_2_0",
        Capability.SOUND_EFFECT,
        None,
        PriceUnit.SECOND,
        fields={"prompt": "promptText", "seed": "seed", "outputFormat": "format"},
        seconds_form=SecondsForm.DECIMAL,
        constants={"duration": 5.0},
        formats=("mp3", "wav", "flac"),
    ),
    # It chooses the length by the prompt.
    build_row(
        "seed_audio",
        Capability.SOUND_EFFECT,
        None,
        PriceUnit.SECOND,
        fields={"prompt": "promptText", "outputFormat": "outputFormat"},
        computed=frozenset(),
        formats=("mp3", "wav"),
    ),
)
