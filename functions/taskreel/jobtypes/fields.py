"""Fields that several job types share, with their limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticKnownError

from taskreel.domain.pipeline import OnFailure
from taskreel.domain.value import Value


def check_url(url: str) -> str:
    """Return the address of an input file. Raises ValueError for any other text."""
    if url.startswith(("https://", "http://", "job:", "data:", "upload:")):
        return url
    raise ValueError(
        "must be an http(s) URL, a data: URL, upload:{uploadId} for a file that you have uploaded, "
        "or job:{jobId}/{artifact} for a file of your own job"
    )


def _check_project(project_id: str) -> str:
    if "{{" in project_id:
        raise ValueError("must not contain {{: it names one project, and no reference")
    return project_id


def sort_by_order(given: Any) -> Any:
    """Sort files that are given as objects by their `order`, and a mix's music behind its voice."""
    if not isinstance(given, list):
        return given

    def place(numbered: tuple[int, Any]) -> tuple[bool, float]:
        index, item = numbered
        known = item if isinstance(item, dict) else {}
        order = known.get("order")
        if not isinstance(order, int | float) or isinstance(order, bool):
            order = index
        return known.get("role") == "music", float(order)

    ordered = any(isinstance(item, dict) and {"order", "role"} & set(item) for item in given)
    return [item for _, item in sorted(enumerate(given), key=place)] if ordered else given


def _refuse_timestamp(given: Any) -> Any:
    """Refuse a number, also as a text, which pydantic would take for seconds since 1970.

    Nothing says whether a caller means seconds or milliseconds.
    """
    is_number = isinstance(given, int | float)
    if is_number or (isinstance(given, str) and "-" not in given.strip()[1:]):
        raise PydanticKnownError("datetime_parsing", {"error": "invalid date"})
    return given


def _check_range(given: datetime) -> datetime:
    """Refuse the hours at the ends of the calendar that have no time in UTC."""
    try:
        given.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None
    return given


ProjectId = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_project)]
#: A date and time with a time zone, as RFC 3339 writes them.
Moment = Annotated[AwareDatetime, BeforeValidator(_refuse_timestamp), AfterValidator(_check_range)]
#: An input file. `app.jobs.input_hashes` knows it by its validator.
MediaUrl = Annotated[str, Field(min_length=5, max_length=900_000), AfterValidator(check_url)]
Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=10_000,
        pattern=r"\S",
        description="The text for the provider, sent as it is. Outside a pipeline, and without "
        "`dependsOn`, double braces (`{{`) have no meaning and are not checked.",
    ),
]
Seed = Annotated[int, Field(ge=0, le=4_294_967_295)]

FilmFormat = Literal["mp4", "webm", "mov"]
SoundFormat = Literal["mp3", "wav", "opus", "m4a", "flac"]
Fit = Literal["cover", "contain", "blur"]
_QUALITY_SYNONYMS: Mapping[str, str] = {"low": "draft", "medium": "standard", "best": "high"}
FilmQuality = Annotated[
    Literal["draft", "standard", "high"],
    BeforeValidator(
        lambda quality: (
            _QUALITY_SYNONYMS.get(quality, quality) if isinstance(quality, str) else quality
        )
    ),
]
RESOLUTIONS: Mapping[str, tuple[int, int]] = {
    "360p": (640, 360),
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4k": (3840, 2160),
    "square": (1080, 1080),
    "vertical": (1080, 1920),
}
#: All codes of ISO 639-1.
_LANGUAGES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv
    cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr
    ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw
    ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv
    ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr
    ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi
    yo za zh zu
    """.split()  # noqa: SIM905 - a table reads better than a list of strings
)


def _check_language(code: str) -> str:
    name = re.split("[-_]", code)[0].lower()
    if len(name) == 2 and name not in _LANGUAGES:
        raise ValueError(
            f"{name!r} is not a language code; use an ISO 639 code such as en, de or pt-BR"
        )
    return code


Language = Annotated[
    str,
    Field(
        min_length=2,
        max_length=20,
        pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$",
        examples=["en", "de", "pt-BR"],
    ),
    AfterValidator(_check_language),
]
FPS = Annotated[int, Field(ge=8, le=60)]
SMALLEST_SIDE, LARGEST_SIDE = 64, 3840
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE, multiple_of=2)]
#: Shortest scene of a film: a shorter one cannot be seen.
SHORTEST_SCENE_SECONDS = 0.2


def _check_sides(resolution: str) -> str:
    sides = [int(side) for side in resolution.split("x")] if "x" in resolution else []
    if any(not SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(f"each side must have {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
    return resolution


Resolution = Annotated[
    str,
    Field(
        pattern=rf"^({'|'.join(RESOLUTIONS)}|\d{{2,4}}x\d{{2,4}})$",
        examples=["720p", "4k", "vertical", "1280x720"],
    ),
    AfterValidator(_check_sides),
]


def _check_names(wanted: str | list[str]) -> str | list[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    lengths = set(map(len, names))
    if not 1 <= len(names) <= 10 or min(lengths) < 1 or max(lengths) > 100:
        raise ValueError('must be the name of a provider, a list of 1 to 10 names, or "auto"')
    return wanted


ProviderWish = Annotated[str | list[str], AfterValidator(_check_names)]


class Dependency(Value):
    """A job that must end first.

    When it fails, `fail` fails this job too, `ignore` runs this job once all others have ended, and
    `continue` runs it at once. A bare id means `{"jobId": …}`.
    """

    job_id: str = Field(min_length=1, max_length=64)
    on_failure: OnFailure = "fail"


def _wrap_bare_id(given: Any) -> Any:
    return {"jobId": given} if isinstance(given, str) else given


#: A dependency as a request may give it: an object, or the job's id alone.
GivenDependency = Annotated[
    Dependency, BeforeValidator(_wrap_bare_id, json_schema_input_type=Dependency | str)
]
