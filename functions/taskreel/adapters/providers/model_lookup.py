"""The model table: which row a caller's words mean, and which rows could serve a request."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime

from taskreel.adapters.providers import PROVIDERS, load_models
from taskreel.adapters.providers.model_row import PROMPT_FIELDS, ModelRow, PriceUnit
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability

#: `owner/name`, perhaps with a version. It becomes a part of a URL's path, so it has no segment of
#: dots alone, no query and no escapes.
_OWNED_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+(:[0-9a-f]{64})?", re.ASCII)
_NAMES = {alias: entry.name for entry in PROVIDERS.values() for alias in entry.aliases}


def resolve_provider_name(name: str) -> str:
    """The provider's name in the table, for a name or an alias of any case."""
    return _NAMES.get(name.lower(), name.lower())


def list_rows(
    provider: str | None = None, capability: Capability | None = None
) -> Iterator[ModelRow]:
    """The rows of one provider or of all, of one capability or of all; retired rows too."""
    names = PROVIDERS if provider is None else {provider} & PROVIDERS.keys()
    for name in names:
        for row in load_models(name):
            if capability in {None, row.capability}:
                yield row


def find_row(provider: str, model: str, capability: Capability, on: date) -> ModelRow:
    """The row that a caller's words mean on a day; "" means the provider's default.

    Raises PermanentError, whose text lists the possible names: unknown_provider (it has no model of
    that capability), unknown_model, or model_retired with the successor.
    """
    provider = resolve_provider_name(provider)
    known = list(list_rows(provider, capability))
    named = next((row for row in known if _is_named(row, model)), None)
    current = sorted(
        (row for row in known if row.is_current(on)), key=lambda row: not row.is_lasting(on)
    )

    if not current and named is None and not _runs_any_model(provider):
        raise _no_capability_error(provider, capability)
    if current and not model:
        return current[0]

    row = named or _build_unlisted_row(provider, model, capability)
    if row is None:
        names = ", ".join(row.name for row in current) or "none"
        message = f"{provider} has no {capability} model {model!r}; it has: {names}"
        raise PermanentError(message, code="unknown_model")
    if not row.is_current(on):
        message = f"{row.name} was retired on {row.retires_on}; use {row.replaced_by} instead"
        raise PermanentError(message, code="model_retired")
    return row


def list_candidates(
    providers: Iterable[str], model: str, capability: Capability, on: date, *, every: bool = False
) -> list[ModelRow]:
    """The row by which each provider would serve a request, in the order of `providers`.

    A provider that cannot serve it is omitted. Without a model, a provider gives its default, or
    with `every` all of its models but those that retire soon.
    """
    found: list[ModelRow] = []
    for provider in providers:
        if every and not model:
            known = list_rows(resolve_provider_name(provider), capability)
            found += [row for row in known if row.is_lasting(on)]
            continue
        with contextlib.suppress(PermanentError):
            found.append(find_row(provider, model, capability, on))
    return found


def get_today() -> date:
    """The current day in UTC."""
    return datetime.now(UTC).date()


def _is_named(row: ModelRow, name: str) -> bool:
    return name.lower() in {row.name.lower(), row.path.lower(), *row.aliases}


def _runs_any_model(provider: str) -> bool:
    return provider in PROVIDERS and PROVIDERS[provider].any_model


def _build_unlisted_row(provider: str, model: str, capability: Capability) -> ModelRow | None:
    """The row of a model outside the table; the provider itself says whether it exists."""
    if not _runs_any_model(provider) or not _OWNED_NAME.fullmatch(model):
        return None
    return ModelRow(
        name=model,
        provider=provider,
        path=model,
        capability=capability,
        fields=PROMPT_FIELDS,
        usd=None,
        unit=PriceUnit.RUN,
        max_inputs=1,
        max_results=10,
    )


def _no_capability_error(provider: str, capability: Capability) -> PermanentError:
    able = sorted({row.provider for row in list_rows(capability=capability)})
    message = f"provider {provider!r} has no {capability} models; these have: {', '.join(able)}"
    return PermanentError(message, code="unknown_provider")
