"""The generation providers of this deployment, their models and their circuit breakers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.provider_choice import ProviderChoice
from taskreel.domain.validation_messages import suggest_name
from taskreel.ports import Capability, Provider, ProviderCatalogue, VerifyWebhook, WorkRequest

if TYPE_CHECKING:
    from taskreel.app.providers.circuit_breakers import CircuitBreakers  # cold start

#: Of jobs: a day, a preference of providers, and the kinds of their units.
ChoiceKind = tuple[Hashable, ...]
#: So many kinds are remembered at most, of so many characters each.
_MOST_CHOICES = 1000
_LONGEST_CHOICE = 2000


class ProviderRegistry:
    """Every provider by name, with the catalogue of their models and their circuit breakers.

    A paid provider is one that has a key variable in `key_names`. `stand_in` names the provider
    that serves in place of paid ones without a key; without it their jobs are refused.
    Providers, the catalogue and the breakers are built on first use.
    """

    def __init__(
        self,
        configured: Mapping[str, Callable[[], Provider]],
        *,
        breakers: Callable[[], CircuitBreakers],
        key_names: Mapping[str, str],
        catalogue: Callable[[], ProviderCatalogue],
        stand_in: str | None = None,
        webhooks: Mapping[str, VerifyWebhook] | None = None,
    ) -> None:
        self._configured = configured
        self._key_names = key_names
        self._build_catalogue = catalogue
        self._build_breakers = breakers
        self.stand_in = stand_in
        self.webhooks = webhooks or {}
        self._built: dict[str, Provider] = {}
        #: Choices that depend on no circuit breaker, since no provider among them is paid.
        self.free_choices: dict[ChoiceKind, Mapping[str, ProviderChoice | None]] = {}

    @cached_property
    def catalogue(self) -> ProviderCatalogue:
        """The models of all providers."""
        return self._build_catalogue()

    @cached_property
    def breakers(self) -> CircuitBreakers:
        """The circuit breakers of the paid providers' models."""
        return self._build_breakers()

    @property
    def paid_names(self) -> list[str]:
        """The configured providers that charge money."""
        return [name for name in self._key_names if name in self._configured]

    @property
    def all_names(self) -> list[str]:
        """Every provider, configured or not."""
        unpaid = [name for name in self._configured if name not in self._key_names]
        return [*self._key_names, *unpaid]

    def is_configured(self, name: str) -> bool:
        """Tell if the provider can be called from this deployment."""
        return name in self._configured

    def is_paid(self, name: str) -> bool:
        """Tell if the provider's work costs money: never started twice, guarded by a breaker."""
        return name in self._key_names

    def find_sole_provider(self, capability: Capability) -> str | None:
        """The provider that serves a job that names none, when there is nothing to choose.

        That is the stand-in, while no paid provider is configured; None in every other case.
        """
        if self.stand_in is None or self.paid_names:
            return None
        return self.stand_in if self.can_stand_in(capability) else None

    def can_stand_in(self, capability: Capability) -> bool:
        """Tell if there is a stand-in that does work of this kind."""
        return self.stand_in is not None and self.catalogue.has_models_for(
            self.stand_in, capability
        )

    def remember_free_choices(
        self, kind: ChoiceKind, choices: Mapping[str, ProviderChoice | None]
    ) -> None:
        """Remember the choices for jobs of this kind, unless one has a paid provider."""
        offers = [offer for choice in choices.values() if choice for offer in choice.offers]
        is_free = not any(self.is_paid(offer.provider) for offer in offers)
        if is_free and len(str(kind)) <= _LONGEST_CHOICE:
            if len(self.free_choices) >= _MOST_CHOICES:
                self.free_choices.clear()
            self.free_choices[kind] = choices

    def key_name_of(self, name: str) -> str | None:
        """The variable of a provider's key; None for one that needs none."""
        return self._key_names.get(name)

    def key_names_for(self, capability: Capability) -> list[str]:
        """The variables of which each one would configure a provider of the capability."""
        return [
            key
            for name, key in self._key_names.items()
            if self.catalogue.can_sell(name, capability)
        ]

    def key_names_that_unlock(self, request: WorkRequest) -> list[str]:
        """The variables that are not set, each of a provider that could do this very work."""
        found: list[str] = []
        for name, key in self._key_names.items():
            if name in self._configured or not self.catalogue.has_models_for(
                name, request.capability
            ):
                continue
            try:
                offers = self.catalogue.list_offers(name, request, every=not request.model)
            except InvalidError:
                continue
            if any(not offer.lacks and offer.usd is not None for offer in offers):
                found.append(key)
        return found

    def list_other_sellers(self, word: str, request: WorkRequest) -> list[str]:
        """The configured providers that sell the named model, where `word`'s own has no key.

        Its name must be the same at both: a name of one may be another model's alias elsewhere.
        """
        name = self.catalogue.resolve_name(word)
        if not request.model or name in self._configured or name not in self._key_names:
            return []
        try:
            (own,) = self.catalogue.list_offers(name, request)
        except InvalidError:
            return []
        return [seller for seller in self.paid_names if self._sells(seller, request, own.model)]

    def _sells(self, seller: str, request: WorkRequest, model: str) -> bool:
        try:
            offers = self.catalogue.list_offers(seller, request)
        except InvalidError:
            return False
        return any(
            offer.model == model and offer.usd is not None and not offer.lacks for offer in offers
        )

    def check_limits(self, name: str, request: WorkRequest) -> None:
        """Raise InvalidError for work that the provider's model cannot do, or none of them.

        The model is the one of the request; where it names none, the provider may serve by any.
        """
        if request.inputs:
            self._check_pictures(name, request)
        lacks = self.catalogue.list_lacking(name, request)
        if lacks:
            (own,) = self.catalogue.list_offers(name, request)
            message = f"No provider can do this: {name}/{own.model} cannot do {', '.join(lacks)}."
            path = "model" if request.model else "provider"
            raise InvalidError.at(path, message, text=message, code="no_provider")

    def _check_pictures(self, name: str, request: WorkRequest) -> None:
        (own,) = self.catalogue.list_offers(name, request)
        able = [
            int(model["maxInputs"])
            for model in self.catalogue.list_models(name, request.now)
            if model["capability"] == request.capability
            and not model["retired"]
            and (not request.model or model["name"] == own.model)
        ]
        if able and request.inputs > max(able):
            what = f"{own.model} at {name}" if request.model else name
            message = (
                f"{what} takes at most {max(able)} pictures to start from, not {request.inputs}"
            )
            path = "model" if request.model else "provider"
            raise InvalidError.at(path, message, text=message, code="no_provider")

    def check_model(self, request: WorkRequest, *, limits: bool) -> None:
        """Raise InvalidError for a model that no provider has, configured or not.

        With `limits` also where it cannot do the work at any of them. Does nothing for work of
        which the table has no models.
        """
        able = [
            name
            for name in self._key_names
            if self.catalogue.has_models_for(name, request.capability)
        ]
        refusals: list[InvalidError] = []
        for name in able:
            try:
                self.catalogue.list_offers(name, request)
                if limits:
                    self.check_limits(name, request)
            except InvalidError as error:
                refusals.append(error)
            else:
                return
        codes = ("no_provider", "model_retired")
        known = next((error for error in refusals if error.code in codes), None)
        if known is not None:
            raise known
        if refusals:
            raise self._unknown_model(able, request)

    def _unknown_model(self, able: Sequence[str], request: WorkRequest) -> InvalidError:
        """The error that none of these providers has the model, with the names of all they have."""
        models = [model for name in able for model in self.catalogue.list_models(name, request.now)]
        known = sorted(
            {
                str(model["name"])
                for model in models
                if model["capability"] == request.capability and not model["retired"]
            }
        )
        suggestion = suggest_name(request.model, known)
        message = (
            f"there is no {request.capability} model {request.model!r}{suggestion}; "
            f"use one of: {', '.join(known)}"
        )
        return InvalidError.at("model", message, code="unknown_model")

    def not_configured(self, capability: Capability) -> InvalidError:
        """The error that no provider of the capability is configured, with the keys to set."""
        unpaid = [
            f'"provider": "{name}"'
            for name in self._configured
            if not self.is_paid(name)
            and name != self.stand_in
            and self.catalogue.has_models_for(name, capability)
        ]
        message = f"No {capability} provider is configured. "
        message += f"Set {' or '.join(self.key_names_for(capability))}"
        message += f", or use {' or '.join(unpaid)}, which needs no key." if unpaid else "."
        return InvalidError.at("provider", message, text=message, code="provider_not_configured")

    def resolve_name(self, word: str, capability: Capability | None = None) -> str:
        """The configured provider that serves a request for `word`, a name or an alias.

        Raises InvalidError (provider_not_configured) when it has no key and no stand-in, or when
        the stand-in does no work of the capability.
        """
        name = self.catalogue.resolve_name(word)
        if name in self._configured:
            return name
        if name not in self._key_names:
            known = sorted(self.all_names)
            suggestion = suggest_name(word, known)
            text = f"There is no provider {name!r}{suggestion}. Use one of: {', '.join(known)}."
            message = f"must be one of {', '.join(known)}{suggestion}"
            raise InvalidError.at("provider", message, text=text)
        if self.stand_in is not None and (capability is None or self.can_stand_in(capability)):
            return self.stand_in
        message = f"Provider {name} is not configured here: set {self._key_names[name]}."
        raise InvalidError.at("provider", message, text=message, code="provider_not_configured")

    def get(self, name: str) -> Provider:
        """The provider of that name; KeyError when it is known and not configured.

        Raises PermanentError for a name that is not known: a stored job may carry one of another
        revision, or of the dev stack.
        """
        if name not in self._configured and name not in self._key_names:
            message = f"There is no provider {name!r} here. Submit the job again."
            raise PermanentError(message, code="provider_not_configured")
        if name not in self._built:
            self._built[name] = self._configured[name]()
        return self._built[name]

    async def close(self) -> None:
        """Close every provider that was built."""
        for provider in self._built.values():
            await provider.close()
