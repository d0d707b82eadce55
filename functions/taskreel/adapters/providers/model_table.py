"""Models as data: by what names callers ask for one, where its provider has it, what it can do, costs, and until when.

Prices are list prices in US dollars as of 2026-11 (the providers' price pages and specifications; third-party tables
where a provider publishes none). They serve choice and estimates; what a job really cost is in `Done.cost_usd`.
A retired model stays as a row, so that asking for it names its successor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from taskreel.ports import Capability

IMAGE, VIDEO, UPSCALE = Capability.IMAGE, Capability.VIDEO, Capability.UPSCALE
TEXT, SPEECH, MUSIC = Capability.TEXT, Capability.SPEECH, Capability.MUSIC


class Unit(StrEnum):
    """What a price is for."""

    IMAGE = "image"
    MEGAPIXEL = "megapixel"
    SECOND = "second"
    CHARACTERS = "1k characters"
    TOKENS = "1m output tokens"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model of one provider in one capability."""

    name: str
    provider: str
    #: What goes into the provider's URL or `model` field.
    path: str
    #: Where several models share a path: the value of its `model` field.
    variant: str = ""
    capability: Capability
    #: None: not known (a model the table does not list).
    usd: float | None
    unit: Unit
    #: Each unit beyond the first, where that is cheaper.
    usd_further: float | None = None
    #: Per million input tokens, where they are priced apart.
    usd_input: float = 0.0
    #: By our `quality`, where the price depends on it.
    usd_by_quality: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    retires_on: date | None = None
    replaced_by: str = ""
    ratios: tuple[str, ...] = ()
    #: Seconds, ascending.
    durations: tuple[int, ...] = ()
    scales: tuple[int, ...] = ()
    max_pixels: int | None = None
    max_inputs: int = 0
    #: It starts from a picture; text alone is not enough.
    needs_input: bool = False
    #: How many results one request can ask for.
    max_results: int = 1
    #: How long a text it speaks.
    max_characters: int | None = None
    #: What it writes, where that is less than we know.
    formats: tuple[str, ...] = ()
    #: Our options that it takes: those that go to it under a name of its own, and those that its adapter works out.
    fields: Mapping[str, str] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()

    @property
    def options(self) -> frozenset[str]:
        """Every option of ours that it takes; what it is sent word for word, all take."""
        return self.computed | self.fields.keys() | {"providerOptions"}

    def current(self, on: date) -> bool:
        """Whether the provider still has it on a day."""
        return self.retires_on is None or on < self.retires_on


WIDE = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "9:21")
STABILITY_RATIOS = ("21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21")
GEMINI_RATIOS = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
GEN4_TURBO = ("1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672")
GEN4_IMAGE = (
    "1920:1080",
    "1080:1920",
    "1024:1024",
    "1360:768",
    "1080:1080",
    "1440:1080",
    "1080:1440",
    "2112:912",
)
LANDSCAPE_PORTRAIT = ("16:9", "9:16")
FOUR_MEGAPIXELS = 4_194_304
REAL_ESRGAN = (
    "nightmareai/real-esrgan:f121d640bd286e1fdc67f9799164c1d5be36ff74576ee11c803ae5b665dd46aa"
)


#: A size, or a ratio, which each adapter makes the nearest that the model has.
SHAPE = frozenset({"width", "height", "aspectRatio"})
#: `jobtypes.writing` tells all of these in the instructions.
TOLD = frozenset(
    {
        "kind",
        "genre",
        "format",
        "title",
        "sceneCount",
        "placeCount",
        "characterCount",
        "style",
        "tone",
        "audience",
    }
    | {"language", "schema"}
)
ANY = {"prompt": "prompt", "seed": "seed"}
FLUX = ANY | {"outputFormat": "output_format"}
BFL = FLUX | {"safetyTolerance": "safety_tolerance"}
BFL_UPSAMPLED = BFL | {"promptUpsampling": "prompt_upsampling"}
FAL_FLUX = FLUX | {"numImages": "num_images"}
FAL_OPEN_FLUX = FAL_FLUX | {"steps": "num_inference_steps", "guidance": "guidance_scale"}
REPLICATE_OPEN_FLUX = FLUX | {"numImages": "num_outputs", "steps": "num_inference_steps"}
RUNWAY = {"prompt": "promptText", "seed": "seed"}
RUNWAY_VEO = {"prompt": "promptText", "negativePrompt": "negativePrompt", "audio": "audio"}
STABILITY_UPSCALE = {
    "prompt": "prompt",
    "outputFormat": "output_format",
    "negativePrompt": "negative_prompt",
}
STABILITY = STABILITY_UPSCALE | {"style": "style_preset"}
OPENAI_PICTURE = {
    "prompt": "prompt",
    "numImages": "n",
    "quality": "quality",
    "outputFormat": "output_format",
}
OPENAI_TEXT = {
    "prompt": "input",
    "instructions": "instructions",
    "temperature": "temperature",
    "maxTokens": "max_output_tokens",
}
OPENAI_SPEECH = {"text": "input", "outputFormat": "response_format", "speed": "speed"}
GEMINI_TEXT = {"temperature": "temperature", "maxTokens": "maxOutputTokens"}
#: ElevenLabs' names, all under `voice_settings`.
VOICE_SETTINGS = {
    "stability": "stability",
    "similarityBoost": "similarity_boost",
    "style": "style",
    "speed": "speed",
}
VEO = {"negativePrompt": "negativePrompt", "audio": "generateAudio"}

#: What the local provider takes, by capability; it makes them itself, so there is no row of it.
STUDIO: Mapping[Capability, frozenset[str]] = {
    IMAGE: frozenset({"prompt", "seed", "width", "height", "outputFormat"}),
    VIDEO: frozenset({"prompt", "seed", "width", "height", "fps", "duration"}),
    UPSCALE: frozenset({"scale", "outputFormat"}),
    TEXT: (TOLD - {"tone", "audience"}) | {"prompt", "seed"},
    SPEECH: frozenset({"text", "voice", "language", "outputFormat", "speed", "pitch"}),
    MUSIC: frozenset({"prompt", "seed", "duration", "outputFormat"}),
}


def _bfl(
    name: str, usd: float, *, path: str = "", unit: Unit = Unit.IMAGE, **more: Any
) -> ModelRow:
    takes = {"fields": BFL, "computed": SHAPE, **more}
    return ModelRow(
        name=name, provider="bfl", path=path or name, capability=IMAGE, usd=usd, unit=unit, **takes
    )


def _runway(name: str, capability: Capability, usd: float, unit: Unit, **more: Any) -> ModelRow:
    computed = {
        IMAGE: SHAPE,
        VIDEO: SHAPE | {"duration"},
        UPSCALE: frozenset({"scale"}),
        SPEECH: frozenset({"voice"}),
    }
    takes = {"computed": computed[capability], **more}
    return ModelRow(
        name=name, provider="runway", path=name, capability=capability, usd=usd, unit=unit, **takes
    )


def _stability(
    name: str, path: str, usd: float, *, capability: Capability = IMAGE, **more: Any
) -> ModelRow:
    takes = {
        "fields": STABILITY,
        "computed": SHAPE | {"seed"} if capability is IMAGE else frozenset({"seed"}),
        **more,
    }
    return ModelRow(
        name=name,
        provider="stability",
        path=path,
        capability=capability,
        usd=usd,
        unit=Unit.IMAGE,
        **takes,
    )


def _openai(name: str, capability: Capability, usd: float, unit: Unit, **more: Any) -> ModelRow:
    takes: dict[Capability, dict[str, Any]] = {
        IMAGE: {"fields": OPENAI_PICTURE, "computed": SHAPE},
        VIDEO: {},
        TEXT: {"fields": OPENAI_TEXT, "computed": TOLD},
        SPEECH: {
            "computed": frozenset({"voice"}),
            "formats": ("mp3", "wav", "opus", "flac"),
            "max_characters": 4096,
        },
    }
    more = {**takes[capability], **more}
    return ModelRow(
        name=name, provider="openai", path=name, capability=capability, usd=usd, unit=unit, **more
    )


def _google(name: str, capability: Capability, usd: float, unit: Unit, **more: Any) -> ModelRow:
    takes: dict[Capability, dict[str, Any]] = {
        IMAGE: {"computed": SHAPE | {"prompt", "seed"}},
        VIDEO: {"fields": VEO, "computed": SHAPE | {"prompt", "seed", "duration"}},
        TEXT: {"fields": GEMINI_TEXT, "computed": TOLD | {"prompt", "instructions", "seed"}},
    }
    more = {"path": name, **takes[capability], **more}
    return ModelRow(name=name, provider="google", capability=capability, usd=usd, unit=unit, **more)


def _eleven(
    name: str, usd: float, *, capability: Capability = SPEECH, unit: Unit, **more: Any
) -> ModelRow:
    return ModelRow(
        name=name,
        provider="elevenlabs",
        path=name,
        capability=capability,
        usd=usd,
        unit=unit,
        formats=("mp3", "wav", "opus"),
        **more,
    )


def _replicate(
    name: str, path: str, usd: float, *, capability: Capability = IMAGE, **more: Any
) -> ModelRow:
    more = {"unit": Unit.IMAGE, "fields": FLUX, "computed": SHAPE, **more}
    return ModelRow(
        name=name, provider="replicate", path=path, capability=capability, usd=usd, **more
    )


def _fal(
    name: str, path: str, usd: float, *, capability: Capability = IMAGE, **more: Any
) -> ModelRow:
    more = {"unit": Unit.MEGAPIXEL, "fields": FAL_FLUX, "computed": SHAPE, **more}
    return ModelRow(name=name, provider="fal", path=path, capability=capability, usd=usd, **more)


SD3: dict[str, Any] = {"fields": STABILITY | {"guidance": "cfg_scale"}, "formats": ("png", "jpeg")}
ELEVEN_SPEECH: dict[str, Any] = {
    "fields": {"text": "text", "seed": "seed"},
    "computed": frozenset({"voice", "language", "outputFormat", *VOICE_SETTINGS}),
}
GPT_IMAGE_2 = {"low": 0.006, "medium": 0.053, "high": 0.211}

#: The first row of a provider and capability is its default.
ROWS: tuple[ModelRow, ...] = (
    # Black Forest Labs
    _bfl(
        "flux-2-pro",
        0.03,
        unit=Unit.MEGAPIXEL,
        usd_further=0.015,
        max_inputs=8,
        max_pixels=FOUR_MEGAPIXELS,
        aliases=("flux-pro", "flux"),
    ),
    *(
        _bfl(
            name,
            usd,
            unit=Unit.MEGAPIXEL,
            max_inputs=pictures,
            max_pixels=FOUR_MEGAPIXELS,
            fields=fields,
        )
        for name, usd, pictures, fields in (
            ("flux-2-max", 0.07, 8, BFL),
            ("flux-2-flex", 0.06, 8, BFL_UPSAMPLED | {"steps": "steps", "guidance": "guidance"}),
            ("flux-2-klein-4b", 0.014, 4, BFL),
            ("flux-2-klein-9b", 0.015, 4, BFL),
        )
    ),
    _bfl(
        "flux-1.1-pro",
        0.04,
        path="flux-pro-1.1",
        max_inputs=1,
        max_pixels=1440 * 1440,
        fields=BFL_UPSAMPLED,
        aliases=("flux-pro-1.1",),
    ),
    _bfl(
        "flux-1.1-pro-ultra",
        0.06,
        path="flux-pro-1.1-ultra",
        max_inputs=1,
        ratios=WIDE,
        aliases=("flux-pro-1.1-ultra",),
    ),
    _bfl(
        "flux-kontext-pro",
        0.04,
        max_inputs=4,
        ratios=WIDE,
        fields=BFL_UPSAMPLED,
        aliases=("flux-kontext",),
    ),
    _bfl("flux-kontext-max", 0.08, max_inputs=4, ratios=WIDE, fields=BFL_UPSAMPLED),
    # Runway
    _runway(
        "gen4.5",
        VIDEO,
        0.12,
        Unit.SECOND,
        ratios=GEN4_TURBO,
        durations=tuple(range(2, 11)),
        max_inputs=1,
        fields=RUNWAY,
        aliases=("runway-gen4.5",),
    ),
    _runway(
        "gen4_turbo",
        VIDEO,
        0.05,
        Unit.SECOND,
        ratios=GEN4_TURBO,
        durations=tuple(range(2, 11)),
        max_inputs=1,
        needs_input=True,
        fields=RUNWAY,
        aliases=("runway-gen4", "gen4", "gen-4", "runway-gen4-turbo", "gen4-turbo"),
    ),
    *(
        _runway(
            name,
            VIDEO,
            usd,
            Unit.SECOND,
            ratios=("1280:720", "720:1280"),
            durations=(4, 6, 8),
            max_inputs=2,
            fields=RUNWAY_VEO,
        )
        for name, usd in (("veo3.1", 0.40), ("veo3.1_fast", 0.15))
    ),
    _runway("gen4_image", IMAGE, 0.08, Unit.IMAGE, ratios=GEN4_IMAGE, max_inputs=3, fields=RUNWAY),
    _runway(
        "gen4_image_turbo",
        IMAGE,
        0.02,
        Unit.IMAGE,
        ratios=GEN4_IMAGE,
        max_inputs=3,
        needs_input=True,
        fields=RUNWAY,
    ),
    _runway(
        "magnific_precision_upscaler_v2",
        UPSCALE,
        0.25,
        Unit.IMAGE,
        scales=(2, 4, 8, 16),
        max_inputs=1,
        needs_input=True,
        max_pixels=25_300_000,
        aliases=("magnific",),
    ),
    _runway(
        "eleven_multilingual_v2",
        SPEECH,
        0.20,
        Unit.CHARACTERS,
        fields={"text": "promptText"},
        max_characters=1000,
    ),
    # Stability AI
    _stability(
        "stable-image-core",
        "generate/core",
        0.03,
        ratios=STABILITY_RATIOS,
        aliases=("core", "stable-core"),
    ),
    _stability(
        "stable-image-ultra",
        "generate/ultra",
        0.08,
        ratios=STABILITY_RATIOS,
        max_inputs=1,
        aliases=("ultra", "stable-ultra"),
    ),
    _stability(
        "sd3.5-large",
        "generate/sd3",
        0.065,
        variant="sd3.5-large",
        ratios=STABILITY_RATIOS,
        max_inputs=1,
        **SD3,
        # SDXL is no longer behind this API; Stability names SD 3.5 its successor.
        aliases=(
            "sd3",
            "sd3.5",
            "stable-diffusion-3",
            "stable-diffusion-xl",
            "stable-diffusion",
            "sdxl",
        ),
    ),
    *(
        _stability(
            name, "generate/sd3", usd, variant=name, ratios=STABILITY_RATIOS, max_inputs=1, **SD3
        )
        for name, usd in (
            ("sd3.5-large-turbo", 0.04),
            ("sd3.5-medium", 0.035),
            ("sd3.5-flash", 0.025),
        )
    ),
    _stability(
        "upscale-fast",
        "upscale/fast",
        0.02,
        capability=UPSCALE,
        scales=(4,),
        max_inputs=1,
        needs_input=True,
        fields={"outputFormat": "output_format"},
        computed=frozenset({"scale"}),
        aliases=("fast",),
    ),
    _stability(
        "upscale-conservative",
        "upscale/conservative",
        0.40,
        capability=UPSCALE,
        max_inputs=1,
        needs_input=True,
        max_pixels=FOUR_MEGAPIXELS,
        fields=STABILITY_UPSCALE | {"creativity": "creativity"},
        aliases=("conservative",),
    ),
    _stability(
        "upscale-creative",
        "upscale/creative",
        0.60,
        capability=UPSCALE,
        max_inputs=1,
        needs_input=True,
        fields=STABILITY | {"creativity": "creativity"},
        aliases=("creative",),
    ),
    # OpenAI
    _openai(
        "gpt-image-2",
        IMAGE,
        0.053,
        Unit.IMAGE,
        usd_by_quality=GPT_IMAGE_2,
        usd_input=5.0,
        max_inputs=16,
        max_results=10,
        max_pixels=3840 * 2160,
        aliases=("gpt-image",),
    ),
    *(
        _openai(
            name,
            IMAGE,
            0.053,
            Unit.IMAGE,
            usd_by_quality=GPT_IMAGE_2,
            usd_input=5.0,
            max_inputs=16,
            max_results=10,
            max_pixels=3840 * 2160,
        )
        for name in (
            "gpt-image-2.5-flare",
            "gpt-image-2.5-sunburst",
            "gpt-image-2.6-flare",
            "gpt-image-2.6-sunburst",
        )
    ),
    *(
        _openai(
            name,
            IMAGE,
            0.04,
            Unit.IMAGE,
            max_inputs=16,
            max_results=10,
            retires_on=date(2026, 12, 1),
            replaced_by="gpt-image-2",
        )
        for name in ("gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest")
    ),
    _openai(
        "gpt-image-1",
        IMAGE,
        0.04,
        Unit.IMAGE,
        retires_on=date(2026, 10, 23),
        replaced_by="gpt-image-2",
    ),
    *(
        _openai(
            name,
            IMAGE,
            0.04,
            Unit.IMAGE,
            retires_on=date(2026, 5, 12),
            replaced_by="gpt-image-2",
            aliases=(name.replace("-", "", 1),),
        )
        for name in ("dall-e-3", "dall-e-2")
    ),
    _openai(
        "sora-2",
        VIDEO,
        0.10,
        Unit.SECOND,
        retires_on=date(2026, 9, 24),
        replaced_by="gen4.5 (runway) or veo-3.1 (google)",
        aliases=("sora", "sora-2-pro", "openai-sora"),
    ),
    _openai("gpt-5.4-mini", TEXT, 4.50, Unit.TOKENS, usd_input=0.75, aliases=("gpt", "gpt-5-mini")),
    _openai("gpt-5.4", TEXT, 15.0, Unit.TOKENS, usd_input=2.50, aliases=("gpt-5",)),
    _openai("gpt-5.4-nano", TEXT, 1.25, Unit.TOKENS, usd_input=0.20),
    *(
        _openai(
            name,
            SPEECH,
            usd,
            Unit.CHARACTERS,
            retires_on=date(2027, 1, 6),
            replaced_by="elevenlabs",
            fields=fields,
        )
        for name, usd, fields in (
            ("gpt-4o-mini-tts", 0.015, OPENAI_SPEECH | {"instructions": "instructions"}),
            ("tts-1", 0.015, OPENAI_SPEECH),
            ("tts-1-hd", 0.030, OPENAI_SPEECH),
        )
    ),
    # Google
    _google(
        "gemini-3.1-flash-image",
        IMAGE,
        0.067,
        Unit.IMAGE,
        ratios=GEMINI_RATIOS,
        max_inputs=14,
        aliases=("gemini-image", "nano-banana", "nano-banana-2"),
    ),
    _google(
        "gemini-3-pro-image",
        IMAGE,
        0.134,
        Unit.IMAGE,
        ratios=GEMINI_RATIOS,
        max_inputs=14,
        aliases=("nano-banana-pro",),
    ),
    *(
        _google(
            name,
            IMAGE,
            0.04,
            Unit.IMAGE,
            retires_on=date(2026, 6, 30),
            replaced_by="gemini-3.1-flash-image",
        )
        for name in ("imagen-4", "imagen-3", "imagen")
    ),
    _google(
        "veo-3.1",
        VIDEO,
        0.40,
        Unit.SECOND,
        path="veo-3.1-generate-001",
        ratios=LANDSCAPE_PORTRAIT,
        durations=(4, 6, 8),
        max_inputs=2,
        # "Veo 3" is the guides' name of the line, of which 3.1 is what remains.
        aliases=("veo", "veo-3", "veo3", "veo3.1", "veo-3.1-generate-001"),
    ),
    _google(
        "veo-3.1-fast",
        VIDEO,
        0.10,
        Unit.SECOND,
        path="veo-3.1-fast-generate-001",
        ratios=LANDSCAPE_PORTRAIT,
        durations=(4, 6, 8),
        max_inputs=2,
        aliases=("veo-3-fast", "veo-3.1-fast-generate-001"),
    ),
    _google(
        "veo-3.1-lite",
        VIDEO,
        0.05,
        Unit.SECOND,
        path="veo-3.1-lite-generate-001",
        ratios=LANDSCAPE_PORTRAIT,
        durations=(4, 6, 8),
        max_inputs=1,
        aliases=("veo-3.1-lite-generate-001",),
    ),
    *(
        _google(
            name,
            VIDEO,
            0.40,
            Unit.SECOND,
            retires_on=date(2026, 6, 30),
            replaced_by="veo-3.1",
            aliases=aliases,
        )
        for name, aliases in (
            ("veo-3.0-generate-001", ("veo-3.0",)),
            ("veo-2.0-generate-001", ("veo-2", "veo2")),
        )
    ),
    _google(
        "gemini-3.7-flash",
        TEXT,
        3.75,
        Unit.TOKENS,
        usd_input=0.75,
        max_inputs=14,
        aliases=("gemini-flash",),
    ),
    _google("gemini-3.5-flash", TEXT, 9.0, Unit.TOKENS, usd_input=1.50, max_inputs=14),
    # ElevenLabs
    _eleven(
        "eleven_multilingual_v2",
        0.18,
        unit=Unit.CHARACTERS,
        **ELEVEN_SPEECH,
        aliases=("elevenlabs", "multilingual-v2"),
    ),
    _eleven("eleven_v3", 0.18, unit=Unit.CHARACTERS, **ELEVEN_SPEECH),
    _eleven(
        "music_v1",
        0.80 / 60,
        capability=MUSIC,
        unit=Unit.SECOND,
        fields={"prompt": "prompt"},
        computed=frozenset({"duration", "outputFormat"}),
        aliases=("music", "eleven-music"),
    ),
    # Replicate
    _replicate(
        "flux-schnell",
        "black-forest-labs/flux-schnell",
        0.003,
        ratios=WIDE,
        max_results=4,
        fields=REPLICATE_OPEN_FLUX,
    ),
    _replicate(
        "flux-dev",
        "black-forest-labs/flux-dev",
        0.025,
        ratios=WIDE,
        max_inputs=1,
        max_results=4,
        fields=REPLICATE_OPEN_FLUX | {"guidance": "guidance"},
    ),
    _replicate("flux-1.1-pro", "black-forest-labs/flux-1.1-pro", 0.04, ratios=WIDE, max_inputs=1),
    _replicate(
        "flux-kontext-pro", "black-forest-labs/flux-kontext-pro", 0.04, ratios=WIDE, max_inputs=1
    ),
    _replicate(
        "real-esrgan",
        REAL_ESRGAN,
        0.0017,
        capability=UPSCALE,
        unit=Unit.RUN,
        scales=tuple(range(1, 11)),
        max_inputs=1,
        needs_input=True,
        fields={"scale": "scale", "faceEnhance": "face_enhance"},
        computed=frozenset(),
        aliases=("realesrgan", "real-esrgan-x4", "esrgan", "nightmareai/real-esrgan"),
    ),
    # fal
    _fal("flux-schnell", "fal-ai/flux/schnell", 0.003, max_results=4, fields=FAL_OPEN_FLUX),
    _fal("flux-dev", "fal-ai/flux/dev", 0.025, max_results=4, fields=FAL_OPEN_FLUX),
    _fal("flux-1.1-pro", "fal-ai/flux-pro/v1.1", 0.04, max_results=4),
    _fal(
        "flux-kontext-pro",
        "fal-ai/flux-pro/kontext",
        0.04,
        unit=Unit.IMAGE,
        ratios=WIDE,
        max_inputs=1,
        needs_input=True,
        fields=FAL_FLUX | {"guidance": "guidance_scale"},
    ),
    _fal(
        "esrgan",
        "fal-ai/esrgan",
        0.003,
        capability=UPSCALE,
        unit=Unit.RUN,
        scales=tuple(range(1, 9)),
        max_inputs=1,
        needs_input=True,
        fields={"scale": "scale", "faceEnhance": "face"},
        computed=frozenset(),
        aliases=("real-esrgan",),
    ),
)
