"""Models by the names callers use: which row is meant, whether it can do what is asked, and about what it costs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from taskreel.adapters.providers.model_table import ANY, ROWS, STUDIO, ModelRow, Unit
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Generation

#: Other names for providers: the guides' words, and whoever does "upscale".
PROVIDER_ALIASES = {
    "upscale": "replicate",
    "black-forest-labs": "bfl",
    "flux": "bfl",
    "runwayml": "runway",
    "stability-ai": "stability",
    "stabilityai": "stability",
    "gemini": "google",
    "vertex": "google",
    "vertex-ai": "google",
    "veo": "google",
    "fal-ai": "fal",
}
#: These run any model by its owner's name; one that the table does not list is passed on, its price unknown.
OPEN = frozenset({"replicate", "fal"})
#: It goes into a URL's path, so no dots alone, no query, no escapes.
OWNED_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+(:[0-9a-f]{64})?", re.ASCII)


#: List prices of the gpt-image line in US dollars a million tokens: text in, picture in, picture out.
USD_TEXT_IN, USD_PICTURE_IN, USD_PICTURE_OUT = 5.0, 8.0, 30.0


def provider_name(name: str) -> str:
    """The provider that a caller's word means."""
    return PROVIDER_ALIASES.get(name.lower(), name.lower())


def rows(provider: str | None = None, capability: Capability | None = None) -> Iterator[ModelRow]:
    """The table, or a provider's or capability's part of it, retired rows too."""
    for row in ROWS:
        if provider in {None, row.provider} and capability in {None, row.capability}:
            yield row


def find(provider: str, model: str, capability: Capability, on: date) -> ModelRow:
    """The row that a caller's words mean on a day; "" is the provider's default.

    Raises PermanentError, with what exists in its text: unknown_provider, unknown_model, or model_retired with its
    successor.
    """
    provider = provider_name(provider)
    known = list(rows(provider, capability))
    current = [row for row in known if row.current(on)]
    if not current and provider not in OPEN and not any(_is_called(row, model) for row in known):
        raise PermanentError(_none_of(provider, capability), code="unknown_provider")
    if current and not model:
        return current[0]
    row = next((row for row in known if _is_called(row, model)), None) or _unlisted(
        provider, model, capability
    )
    if row is None:
        names = ", ".join(row.name for row in current) or "none"
        raise PermanentError(
            f"{provider} has no {capability} model {model!r}; it has: {names}", code="unknown_model"
        )
    if not row.current(on):
        message = f"{row.name} was retired on {row.retires_on}; use {row.replaced_by} instead"
        raise PermanentError(message, code="model_retired")
    return row


def candidates(
    providers: Iterable[str], model: str, capability: Capability, on: date, *, every: bool = False
) -> list[ModelRow]:
    """The row by which each provider would serve a request, in their order; those that cannot are left out.

    Without a model that is each one's default, or with `every` all it has: for "auto", which takes the cheapest.
    """
    found: list[ModelRow] = []
    for provider in providers:
        if every and not model:
            found += [row for row in rows(provider_name(provider), capability) if row.current(on)]
            continue
        with contextlib.suppress(PermanentError):
            found.append(find(provider, model, capability, on))
    return found


def requested(provider: str, request: Generation) -> ModelRow:
    """The row of a request, today, once it is plain that the model can take it.

    Only what would be dropped without a word is refused here; the rest is the provider's to refuse.
    """
    row = find(provider, request.model, request.capability, today())
    wanted = request.params.get("numImages") or 1
    if wanted > row.max_results:
        message = f"{row.name} at {provider} makes {row.max_results} at a time, not {wanted}"
        raise PermanentError(message, code="unsupported_parameter")
    if row.needs_input and not request.inputs:
        raise PermanentError(
            f"{row.name} at {provider} starts from a picture; give one", code="input_required"
        )
    if len(request.inputs) > row.max_inputs:
        message = f"{row.name} at {provider} takes {row.max_inputs} pictures to start from, not {len(request.inputs)}"
        raise PermanentError(message, code="unsupported_parameter")
    return row


def lacks(row: ModelRow, params: Mapping[str, Any], pictures: int) -> tuple[str, ...]:
    """What of a request a model cannot do whole, in words; `choice.Offer.lacks` keeps it from being chosen for less."""
    count, seconds, scale = (
        params.get("numImages") or 1,
        params.get("duration") or 0,
        params.get("scale") or 0,
    )
    width, height = params.get("width") or 0, params.get("height") or 0
    written, characters = params.get("outputFormat"), len(params.get("text") or "")
    checks = (
        (count > row.max_results, f"{count} results at a time"),
        (pictures > row.max_inputs, f"{pictures} pictures to start from"),
        (row.needs_input and not pictures, "words alone"),
        (bool(row.durations) and seconds > row.durations[-1], f"{seconds:g} s"),
        (bool(row.scales) and scale > row.scales[-1], f"{scale:g} times the size"),
        (
            row.max_pixels is not None and width * height > row.max_pixels,
            f"{width}×{height} pixels",
        ),
        (
            bool(row.formats) and written is not None and written not in row.formats,
            f"{written} files",
        ),
        (
            row.max_characters is not None and characters > row.max_characters,
            f"{characters} characters",
        ),
    )
    return tuple(words for lacking, words in checks if lacking)


def ignored(row: ModelRow, params: Mapping[str, Any], given: Iterable[str]) -> dict[str, str]:
    """The options that a caller has `given` and that a model does not take as they are: each with the reason."""
    who = f"{row.name} at {row.provider}"
    set_ = [name for name in given if name in params]
    found = {name: f"{who} has no such option" for name in set_ if name not in row.options}
    for name, able in (("duration", row.durations), ("scale", row.scales)):
        if name in set_ and name in row.options and able and params[name] not in able:
            found[name] = f"{who} makes the nearest of {', '.join(map(str, able))}"
    return found


def studio_ignores(
    capability: Capability, params: Mapping[str, Any], given: Iterable[str]
) -> dict[str, str]:
    """`ignored` of the local provider; what is its own work, not a service's, it takes whole."""
    able = STUDIO.get(capability, frozenset(params)) | {"studio", "providerOptions"}
    found = {
        name: "the local provider has no such option"
        for name in given
        if name in params and name not in able
    }
    sent = params.get("providerOptions") or {}
    return found | dict.fromkeys(sent, "the local provider sends nothing to a service")


def estimate(row: ModelRow, params: Mapping[str, Any]) -> float | None:
    """About what a request costs in US dollars, from its parameters; None when the price is not known."""
    if row.usd is None:
        return None
    price = row.usd_by_quality.get(params.get("quality") or "", row.usd)
    count = params.get("numImages") or 1
    match row.unit:
        case Unit.MEGAPIXEL:
            pixels = (params.get("width") or 1024) * (params.get("height") or 1024)
            further = price if row.usd_further is None else row.usd_further
            return count * (price + max(pixels / 2**20 - 1, 0) * further)
        case Unit.SECOND:
            return price * (params.get("duration") or (row.durations or (5,))[0])
        case Unit.CHARACTERS:
            return price * len(params.get("text") or "") / 1000
        case Unit.TOKENS:
            # About four characters a token in, and a script's length out.
            words_in = len(params.get("prompt") or "") + len(params.get("instructions") or "")
            return (words_in / 4 * row.usd_input + 2000 * price) / 1e6
        case Unit.IMAGE | Unit.RUN:
            return price * count


def token_cost(row: ModelRow, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """What the tokens that a provider counted cost in US dollars; None when it counted none."""
    if row.usd is None or tokens_in is None or tokens_out is None:
        return None
    return (tokens_in * row.usd_input + tokens_out * row.usd) / 1e6


def picture_cost(usage: Mapping[str, Any]) -> float | None:
    """What the tokens of a gpt-image answer cost in US dollars; None when it counts none."""
    if not isinstance(usage.get("output_tokens"), int):
        return None
    details = usage.get("input_tokens_details") or {}
    text, pictures = details.get("text_tokens", 0), details.get("image_tokens", 0)
    return (
        float(
            text * USD_TEXT_IN
            + pictures * USD_PICTURE_IN
            + usage["output_tokens"] * USD_PICTURE_OUT
        )
        / 1e6
    )


def today() -> date:
    """The day by UTC."""
    return datetime.now(UTC).date()


def _is_called(row: ModelRow, name: str) -> bool:
    return name.lower() in {row.name.lower(), row.path.lower(), *row.aliases}


def _unlisted(provider: str, model: str, capability: Capability) -> ModelRow | None:
    """A model of an open provider by its owner's name; whether it exists is the provider's to say."""
    if provider not in OPEN or not OWNED_NAME.fullmatch(model):
        return None
    return ModelRow(
        name=model,
        provider=provider,
        path=model,
        capability=capability,
        fields=ANY,
        usd=None,
        unit=Unit.RUN,
        max_inputs=1,
        max_results=10,
    )


def _none_of(provider: str, capability: Capability) -> str:
    able = sorted({row.provider for row in rows(capability=capability)})
    return f"{provider!r} does not make {capability}; these do: {', '.join(able)}"
