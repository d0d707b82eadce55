"""The configured generation providers, built on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from taskreel.domain.errors import InvalidError
from taskreel.ports import Capability, Provider, ProviderCatalogue, VerifyWebhook


class Providers:
    """The generation services: which exist, which are configured, and who stands in for the others.

    A provider is built when it is first used, and so is the catalogue.
    """

    def __init__(
        self,
        configured: Mapping[str, Callable[[], Provider]],
        *,
        key_names: Mapping[str, str],
        catalogue: Callable[[], ProviderCatalogue],
        stand_in: str | None = None,
        webhooks: Mapping[str, VerifyWebhook] | None = None,
    ) -> None:
        self._configured = configured
        self._key_names = key_names
        self._catalogue = catalogue
        self.stand_in = stand_in
        self.webhooks = webhooks or {}
        self._built: dict[str, Provider] = {}

    @cached_property
    def catalogue(self) -> ProviderCatalogue:
        """What they offer."""
        return self._catalogue()

    @property
    def real(self) -> list[str]:
        """Those configured here whose work is paid for."""
        return [name for name in self._key_names if name in self._configured]

    @property
    def names(self) -> list[str]:
        """All there are."""
        return [
            *self._key_names,
            *(name for name in self._configured if name not in self._key_names),
        ]

    def configured(self, name: str) -> bool:
        """Whether it can serve here."""
        return name in self._configured

    def buys(self, name: str) -> bool:
        """Whether its work is paid for: never begun twice, and watched by a breaker."""
        return name in self._key_names

    def keys_for(self, capability: Capability) -> list[str]:
        """The variables of which any one would configure a service for that."""
        return [
            key for name, key in self._key_names.items() if self.catalogue.makes(name, capability)
        ]

    def choose(self, wanted: str) -> str:
        """Who serves a job that names `wanted`; InvalidError says what is missing."""
        wanted = self.catalogue.provider_name(wanted)
        if wanted in self._configured:
            return wanted
        if wanted not in self._key_names:
            names = ", ".join(sorted(self.names))
            text = f"There is no provider {wanted!r}. There are: {names}."
            raise InvalidError.at("provider", f"one of: {names}", text=text)
        if self.stand_in is not None:
            return self.stand_in
        message = (
            f"Provider {wanted} is not configured here: set {self._key_names[wanted]}, "
            f'or use "provider": "studio", the local provider.'
        )
        raise InvalidError.at("provider", message, text=message, code="provider_not_configured")

    def get(self, name: str) -> Provider:
        """The provider that serves."""
        if name not in self._built:
            self._built[name] = self._configured[name]()
        return self._built[name]

    async def close(self) -> None:
        """Let go of all that were built."""
        for provider in self._built.values():
            await provider.close()
