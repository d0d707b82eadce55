"""One row of the model table: a model's names, address, abilities, price and last day.

Prices are list prices in US dollars as of 2026-11 (the providers' price pages and specifications;
third-party tables where a provider publishes none). They serve the choice of a provider and
estimates; the true cost of a job is in `Done.cost_usd`. A retired model stays as a row, so that a
request for it can be answered with its successor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from msgspec import field

from taskreel.domain.provider_choice import ModelQuality
from taskreel.domain.record import Record
from taskreel.ports import Capability

#: A model is not chosen by itself this long before its last day, as its jobs and pipelines may
#: still wait then; an operator is warned earlier.
AVOIDED_BEFORE = timedelta(days=30)
WARNED_BEFORE = timedelta(days=90)


class SecondsForm(StrEnum):
    """The form in which a service takes a length in seconds."""

    NUMBER = "5"
    TEXT = '"5"'
    TEXT_S = '"5s"'
    MILLISECONDS = "5000"
    #: Not rounded to whole seconds.
    DECIMAL = "5.0"


class PriceUnit(StrEnum):
    """The quantity that `ModelRow.usd` is the price of."""

    IMAGE = "image"
    MEGAPIXEL = "megapixel"
    SECOND = "second"
    #: A minute that has begun is paid for whole.
    MINUTE = "minute"
    CHARACTERS = "1k characters"
    TOKENS = "1m output tokens"
    RUN = "run"


class ModelRow(Record, kw_only=True):
    """One model of one provider in one capability."""

    name: str
    provider: str
    #: The provider's own name of it: a part of the URL, or the `model` field of a request.
    path: str
    #: Its path for a request that starts from files, where that is another one.
    input_path: str = ""
    #: Where several models share a path: the value of its `model` field.
    variant: str = ""
    capability: Capability
    #: US dollars a unit. None: unknown (a model that the table does not list).
    usd: float | None
    unit: PriceUnit
    #: US dollars for each unit after the first, where that differs.
    usd_further: float | None = None
    #: US dollars a million input tokens, where they are priced apart.
    usd_input: float = 0.0
    #: US dollars a unit by the longest side up to which it holds, ascending.
    usd_by_side: tuple[tuple[int, float], ...] = ()
    #: The same by its pixels, where `ratios` are sizes: of the one that the request gets.
    usd_by_pixels: tuple[tuple[int, float], ...] = ()
    #: US dollars a unit by our option `quality`, where the price depends on it.
    usd_by_quality: Mapping[str, float] = field(default_factory=dict)
    #: US dollars a clip by its seconds, where they are not in proportion; of the size of `usd`.
    usd_by_seconds: Mapping[int, float] = field(default_factory=dict)
    #: Of a model that is billed by the length of its file: the fewest seconds that are, and the
    #: whole blocks in which they are counted.
    least_seconds: float = 0.0
    block_seconds: int = 0
    #: The part of the price that a clip without sound costs.
    silent_part: float = 1.0
    #: Its class among all models of the capability.
    quality: ModelQuality = "standard"
    aliases: tuple[str, ...] = ()
    #: The first day on which the provider no longer has it.
    retires_on: date | None = None
    replaced_by: str = ""
    #: Aspect ratios (`16:9`), or sizes written in the same way (`1280:720`).
    ratios: tuple[str, ...] = ()
    #: Those of work from text alone, where they differ from those from a picture.
    text_ratios: tuple[str, ...] = ()
    #: Seconds, ascending.
    durations: tuple[int, ...] = ()
    #: The provider's name and form of the seconds.
    seconds_field: str = "duration"
    seconds_form: SecondsForm = SecondsForm.NUMBER
    #: The provider's names of sizes, with the longest side up to which each is made; ascending.
    sizes: tuple[tuple[str, int], ...] = ()
    size_field: str = "resolution"
    #: Those of work from a picture, whose shape is the picture's, in place of `sizes`: each with
    #: the pixels of the text ratio (a size) that the request would get, ascending.
    input_sizes: tuple[tuple[str, int], ...] = ()
    #: Width and height are multiples of it.
    size_multiple: int = 8
    #: Factors of an upscale, ascending.
    scales: tuple[int, ...] = ()
    max_pixels: int | None = None
    #: The smallest picture; a smaller request is made larger in its own shape.
    min_pixels: int = 0
    #: The longest side by the shortest.
    max_ratio: float | None = None
    #: The least and the greatest number of an option of ours; others are moved into the range.
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    #: The number of files that one request can start from.
    max_inputs: int = 0
    #: The provider's names of these files, in their order; `name[]` takes all of them as a list.
    input_fields: tuple[str, ...] = ()
    #: It is sold only where the provider is configured by its `keyless_variable`: not by its key.
    keyless_only: bool = False
    #: The reverse: it is sold by the provider's key alone.
    key_only: bool = False
    #: It needs a picture to start from; a text alone is not enough.
    needs_input: bool = False
    #: The number of results that one request can ask for.
    max_results: int = 1
    #: The length of a text to speak.
    max_characters: int | None = None
    #: The names of its voices; empty where an account has its own, by ids.
    voices: tuple[str, ...] = ()
    #: Its voice for a word that is none of its names, such as `narrator`; in lower case.
    voice_words: Mapping[str, str] = field(default_factory=dict)
    #: The file formats that it writes, where these are fewer than ours.
    formats: tuple[str, ...] = ()
    #: Our options that it takes: sent as they are under its own names (ours: its) …
    fields: Mapping[str, str] = field(default_factory=dict)
    #: … or translated by its adapter.
    computed: frozenset[str] = frozenset()
    #: Fields of its own that every request has.
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> frozenset[str]:
        """All of our options that it takes; every model takes `providerOptions`, word for word."""
        return self.computed | self.fields.keys() | {"providerOptions"}

    def find_seconds(self, wished: float) -> float:
        """The length that is bought of a model that takes one: the nearest that it makes."""
        if self.durations:
            return find_nearest(wished, self.durations)
        least, most = self.ranges.get("duration", (1, math.inf))
        seconds = min(max(wished, least), most)
        is_exact = self.seconds_form in {SecondsForm.MILLISECONDS, SecondsForm.DECIMAL}
        return seconds if is_exact else round(seconds)

    def bill_seconds(self, seconds: float) -> float:
        """The seconds that are billed of a file that plays so many."""
        if self.block_seconds:
            seconds = math.ceil(seconds / self.block_seconds) * self.block_seconds
        return max(self.find_seconds(seconds), self.least_seconds)

    def is_current(self, on: date) -> bool:
        """True while the provider has it, on a given day."""
        return self.retires_on is None or on < self.retires_on

    def is_lasting(self, on: date) -> bool:
        """True where it may be chosen for a request that names no model."""
        return self.is_current(on + AVOIDED_BEFORE)

    def explain_retirement(self, on: date) -> str | None:
        """The warning that the provider soon no longer has it; None before and afterwards."""
        if not self.is_current(on) or self.is_current(on + WARNED_BEFORE):
            return None
        chosen = "" if self.is_lasting(on) else "; requests that name no model no longer get it"
        return f"{self.name} retires on {self.retires_on}{chosen}; use {self.replaced_by}"


class PricePage(Record, kw_only=True):
    """A page with the prices of some of a provider's models."""

    url: str
    #: The first day on which one of its prices here may have been read.
    read_on: date
    #: False: the figures are others' quotation of the page, or computed from its tokens.
    is_exact: bool = True
    #: The capabilities that it prices; without any, all that no earlier page does.
    capabilities: frozenset[Capability] = frozenset()


#: The options for a shape, which an adapter turns into the nearest that its model can make.
SHAPE_OPTIONS = frozenset({"width", "height", "aspectRatio"})
#: The options of a text; `jobtypes.text_schemas` writes all of them into its instructions.
TEXT_OPTIONS = frozenset(
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
        "language",
        "schema",
    }
)
#: The fields that any model of an open platform is likely to have.
PROMPT_FIELDS = {"prompt": "prompt", "seed": "seed"}
#: FLUX, which several providers run under the same field names.
FLUX_FIELDS = PROMPT_FIELDS | {"outputFormat": "output_format"}
FLUX_RATIOS = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "9:21")
#: Gemini's pictures (Nano Banana), which several providers sell.
GEMINI_RATIOS = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
#: The longest side up to which one is made, and billed, as 1K, 2K or 4K.
GEMINI_SIZES = (("1K", 1440), ("2K", 2880), ("4K", 4096))
#: Veo, as it is run by others than Google.
HOSTED_VEO_FIELDS = PROMPT_FIELDS | {
    "negativePrompt": "negative_prompt",
    "audio": "generate_audio",
}
WIDE_OR_TALL = ("16:9", "9:16")
HD_SIZES = (("720p", 1280), ("1080p", 1920))
#: Luma's clips (Ray), which fal sells too.
RAY_SIZES = (("540p", 960), *HD_SIZES)
#: Of the clip that an edit starts from, Ray bills blocks of so many seconds.
RAY_BLOCK_SECONDS = 5
FOUR_MEGAPIXELS = 4_194_304


def find_nearest(wished: float, able: Iterable[int]) -> int:
    """The nearest number to the wished one; of two as near, the greater."""
    return min(able, key=lambda one: (abs(one - wished), -one))


def price_sizes(
    sizes: Sequence[tuple[str, int]], prices: Sequence[float]
) -> tuple[tuple[int, float], ...]:
    """`ModelRow.usd_by_side` from the price of each of `ModelRow.sizes`."""
    return tuple((side, usd) for (_, side), usd in zip(sizes, prices, strict=True))
