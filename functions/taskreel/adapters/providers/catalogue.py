"""The model table behind the port `ProviderCatalogue`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskreel.adapters.providers import PROVIDERS
from taskreel.adapters.providers.in_process import InProcessProvider
from taskreel.adapters.providers.model_limits import (
    find_reserved_options,
    list_ignored_options,
    list_lacking,
)
from taskreel.adapters.providers.model_lookup import (
    find_row,
    get_today,
    list_candidates,
    list_rows,
    resolve_provider_name,
)
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.reserved_options import explain_reserved
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.provider_choice import Offer
from taskreel.ports import Capability, WorkRequest


class ModelCatalogue:
    """`ProviderCatalogue` over the model table and the providers of this process, by name."""

    def __init__(
        self, in_process: Mapping[str, InProcessProvider], keyless: Collection[str] = ()
    ) -> None:
        """`keyless`: the providers that a setting configures without a key."""
        self._in_process = in_process
        self._keyless = frozenset(keyless)
        self._aliases = {alias: one.name for one in in_process.values() for alias in one.aliases}

    def resolve_name(self, word: str, /) -> str:
        return self._aliases.get(word.lower()) or resolve_provider_name(word)

    def has_models_for(self, provider: str, capability: Capability, /) -> bool:
        if provider in self._in_process:
            return capability in self._in_process[provider].capabilities
        return any(True for _ in list_rows(provider, capability))

    def list_offers(
        self, provider: str, request: WorkRequest, /, *, every: bool = False
    ) -> list[Offer]:
        own = self._in_process.get(provider)
        if own is not None and request.capability in own.capabilities:
            return [_build_free_offer(own, request)]
        if not every:
            return [self._build_offer(self._choose_row(provider, request), request)]
        return [self._build_offer(row, request) for row in _list_candidates(provider, request)]

    def list_lacking(self, provider: str, request: WorkRequest, /) -> Sequence[str]:
        if provider in self._in_process:
            return ()
        rows = [_find_row(provider, request)]
        if not request.model:
            rows += _list_candidates(provider, request)
        lacking = [list_lacking(row, request.params, request.inputs) for row in rows]
        return lacking[0] if all(lacking) else ()

    def can_sell(self, provider: str, capability: Capability, /) -> bool:
        today = get_today()
        rows = list_rows(provider, capability)
        return any(self._is_unlocked(row) and row.is_current(today) for row in rows)

    def estimate_usd(self, provider: str, request: WorkRequest, /) -> float | None:
        try:
            return estimate_cost(_find_row(provider, request), request.params)
        except InvalidError:  # the model was retired while the job waited
            return None

    def explain_ignored_options(
        self, provider: str, request: WorkRequest, given: Collection[str], /
    ) -> Mapping[str, str]:
        own = self._in_process.get(provider)
        if own is not None:
            return _explain_ignored(own, request.capability, request.params, given)
        try:
            return list_ignored_options(_find_row(provider, request), request.params, given)
        except InvalidError:  # the model was retired while the job waited
            return {}

    def explain_reserved_options(self, provider: str, request: WorkRequest, /) -> Mapping[str, str]:
        if provider in self._in_process:
            return {}
        row = _find_row(provider, request)
        names = find_reserved_options(row, request.params.get("providerOptions") or {})
        return dict.fromkeys(names, explain_reserved(provider))

    def list_models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        return [_describe_row(row, on) for row in list_rows(provider)]

    def list_warnings(self, provider: str, on: datetime, /) -> list[str]:
        from taskreel.adapters.providers.price_pages import list_old_pages  # for operators alone

        rows = [row for row in list_rows(provider) if row.is_current(on.date())]
        ending = (row.explain_retirement(on.date()) for row in rows)
        return [*filter(None, ending), *list_old_pages(rows, on.date())]

    def _choose_row(self, provider: str, request: WorkRequest) -> ModelRow:
        """The row that serves a request: without a model, the first that is unlocked here."""
        row = _find_row(provider, request)
        if request.model or self._is_unlocked(row):
            return row
        return next(filter(self._is_unlocked, _list_candidates(provider, request)), row)

    def _is_unlocked(self, row: ModelRow) -> bool:
        keyless = row.provider in self._keyless
        return not (row.keyless_only and not keyless) and not (row.key_only and keyless)

    def _build_offer(self, row: ModelRow, request: WorkRequest) -> Offer:
        lacks = list_lacking(row, request.params, request.inputs)
        if not self._is_unlocked(row):
            entry = PROVIDERS[row.provider]
            named = (entry.key_variable, entry.keyless_variable)
            here, needed = named if row.keyless_only else reversed(named)
            lacks = (*lacks, f"work by {here}: set {needed}")
        return Offer(
            provider=row.provider,
            model=row.name,
            usd=estimate_cost(row, request.params),
            lacks=lacks,
            quality=row.quality,
            admits_at=request.now,
        )


def _find_row(provider: str, request: WorkRequest) -> ModelRow:
    """The row that serves the work; InvalidError names the field of the request that is wrong."""
    try:
        return find_row(provider, request.model, request.capability, request.now.date())
    except PermanentError as error:
        path = "provider" if error.code == "unknown_provider" else "model"
        errors = [{"path": path, "message": error.message}]
        raise InvalidError(error.message, code=error.code, errors=errors) from None


def _list_candidates(provider: str, request: WorkRequest) -> list[ModelRow]:
    """The rows of a provider that could serve the work: without a model, all that will last."""
    day = request.now.date()
    return list_candidates([provider], request.model, request.capability, day, every=True)


def _build_free_offer(own: InProcessProvider, request: WorkRequest) -> Offer:
    """An offer of a provider of this process. Costs nothing and is always admitted."""
    return Offer(
        provider=own.name,
        model="",
        usd=0.0,
        admits_at=request.now,
        stand_in=own.imitation,
    )


def _explain_ignored(
    own: InProcessProvider,
    capability: Capability,
    params: Mapping[str, Any],
    given: Collection[str],
) -> dict[str, str]:
    """The options among `given` that the provider does not take, each with the reason."""
    taken = own.capabilities.get(capability)
    found: dict[str, str] = {}
    if taken is not None:
        known = {*taken, *own.job_options, "providerOptions"}
        message = f"the provider {own.name} has no such option"
        found = {name: message for name in given if name in params and name not in known}
    sent = params.get("providerOptions") or {}
    return found | dict.fromkeys(sent, f"{own.name} sends nothing to a service")


def _describe_row(row: ModelRow, on: datetime) -> dict[str, Any]:
    from taskreel.adapters.providers.price_pages import find_price_page  # for operators alone

    page = find_price_page(row)
    return {
        "name": row.name,
        "aliases": row.aliases,
        "capability": row.capability,
        "usd": row.usd,
        "unit": row.unit,
        "pricePage": page.url if page else None,
        "priceReadOn": page.read_on if page else None,
        "priceIsExact": page.is_exact if page else None,
        "retired": not row.is_current(on.date()),
        "retiresOn": row.retires_on,
        "replacedBy": row.replaced_by or None,
        "warning": row.explain_retirement(on.date()),
        "quality": row.quality,
        "setting": PROVIDERS[row.provider].keyless_variable if row.keyless_only else None,
        "ratios": row.ratios or row.text_ratios,
        "durations": row.durations,
        "scales": row.scales,
        "maxPixels": row.max_pixels,
        "maxInputs": row.max_inputs,
        "maxResults": row.max_results,
        "formats": row.formats,
        "options": sorted(row.options),
    }
