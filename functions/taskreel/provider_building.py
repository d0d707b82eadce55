"""Build the providers that the settings configure, each on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from taskreel.adapters import providers
from taskreel.adapters.external_synchrony import DurableProvider
from taskreel.adapters.media import IN_HOUSE
from taskreel.adapters.providers import KEY_VARIABLES, PROVIDERS, WebhookKind
from taskreel.adapters.providers.in_process import InProcessProvider, load_in_process_providers
from taskreel.adapters.providers.provider_webhooks import WebhookTarget
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.config import ConfigurationError, Settings
from taskreel.domain.value import Value
from taskreel.domain.webhook_events import SENDER
from taskreel.jobtypes.registered_options import register_options
from taskreel.ports import (
    Capability,
    Clock,
    MediaWorkers,
    Provider,
    ProviderCatalogue,
    SendWebhook,
    Store,
    VerifyWebhook,
)

if TYPE_CHECKING:
    from taskreel.app.providers.circuit_breakers import CircuitBreakers


def build_providers(
    chosen: Settings, workers: MediaWorkers, clock: Clock, store: Store, webhooks: SendWebhook
) -> ProviderRegistry:
    """The providers of this process, each built on first use."""
    configured: dict[str, Callable[[], Provider]] = {
        name: partial(_build_paid_provider, chosen, store, name)
        for name in _list_configured(chosen)
    }
    in_process = _load_in_process_providers(chosen)
    in_process[SENDER] = InProcessProvider(
        name=SENDER,
        build=lambda _workers, clock: _build_message_sender(store, webhooks, clock),
        capabilities={Capability.WEBHOOK: None},
    )
    configured |= {name: partial(one.build, workers, clock) for name, one in in_process.items()}
    return ProviderRegistry(
        configured,
        breakers=partial(_build_breakers, store),
        key_names=KEY_VARIABLES,
        catalogue=partial(_build_catalogue, chosen, in_process),
        stand_in=chosen.stand_in_provider,
        webhooks=_build_webhook_checks(chosen),
    )


def _build_breakers(store: Store) -> CircuitBreakers:
    from taskreel.app.providers.circuit_breakers import CircuitBreakers

    return CircuitBreakers(store)


def _build_message_sender(store: Store, webhooks: SendWebhook, clock: Clock) -> Provider:
    from taskreel.app.webhooks.message_sender import MessageSender

    return MessageSender(store, webhooks, clock, SystemRandom())


def _list_configured(chosen: Settings) -> set[str]:
    """The providers whose jobs are accepted: by a key here, without one, or by another service."""
    announced = {name.strip() for name in chosen.configured_providers.split(",")}
    keyless = {name for name in PROVIDERS if _is_keyless(chosen, name)}
    return (announced & PROVIDERS.keys()) | chosen.provider_keys.keys() | keyless


def _is_keyless(chosen: Settings, name: str) -> bool:
    """True where a setting configures the provider without a key."""
    variable = PROVIDERS[name].keyless_variable
    return bool(variable and getattr(chosen, variable.lower()))


def _build_paid_provider(chosen: Settings, store: Store, name: str) -> Provider:
    provider = _build_provider(chosen, name)
    if chosen.otel_exporter_otlp_endpoint is not None:
        from taskreel.telemetry_setting import find_telemetry

        provider = find_telemetry(chosen).trace_provider(provider)
    return DurableProvider(provider, store)


def _build_provider(chosen: Settings, name: str) -> Provider:
    """Build one real provider; its folder is imported now, when it is first used."""
    entry = PROVIDERS[name]
    options: dict[str, Any] = {}
    if name in chosen.provider_keys:
        options["key"] = chosen.provider_keys[name].get_secret_value()
    if _is_keyless(chosen, name):
        options |= providers.build_keyless_options(name, chosen)
    if "key" not in options:
        raise ConfigurationError(
            f"a job needs the provider {name}, but {entry.key_variable} is not set in this service"
        )
    if entry.webhook is WebhookKind.PER_JOB and name in chosen.webhook_secrets:
        url = f"{chosen.api_base_url.rstrip('/')}/api/webhooks/{name}"
        secret = chosen.webhook_secrets[name].get_secret_value()
        options["webhook"] = WebhookTarget(url, secret)
    if name in chosen.provider_base_urls:
        options["base_url"] = chosen.provider_base_urls[name]
    provider: Provider = providers.load_adapter(name)(**options)
    return provider


def _load_in_process_providers(chosen: Settings) -> dict[str, InProcessProvider]:
    """The providers of this process, by name: the deploy unit's own, and those of EXTRA_PROVIDERS.

    Their own options are added to every job type's; the deploy unit's own has none.
    """
    found = {IN_HOUSE.name: IN_HOUSE}
    if chosen.extra_providers:
        try:
            extra = load_in_process_providers(chosen.extra_providers)
        except (ValueError, ImportError, AttributeError) as error:
            raise ConfigurationError(f"EXTRA_PROVIDERS: {error}") from error
        found |= {one.name: one for one in extra}

    imitations = [one.name for one in found.values() if one.imitation]
    if chosen.stand_in_provider not in {None, *imitations}:
        raise ConfigurationError(
            f"STAND_IN_PROVIDER: there is no imitation {chosen.stand_in_provider!r} here "
            f"(there are: {', '.join(imitations) or 'none'}). Unset it: jobs whose provider "
            "has no key are then refused"
        )
    options: dict[str, type[Value]] = {}
    for one in found.values():
        options |= one.job_options
    register_options(options)
    return found


def _build_catalogue(
    chosen: Settings, in_process: Mapping[str, InProcessProvider]
) -> ProviderCatalogue:
    from taskreel.adapters.providers.catalogue import ModelCatalogue

    return ModelCatalogue(in_process, [name for name in PROVIDERS if _is_keyless(chosen, name)])


def _build_webhook_checks(chosen: Settings) -> dict[str, VerifyWebhook]:
    """The check of each provider's webhooks for which WEBHOOK_SECRETS has a secret."""
    signing = {name for name, entry in PROVIDERS.items() if entry.webhook is not WebhookKind.NONE}
    if unknown := chosen.webhook_secrets.keys() - signing:
        raise ConfigurationError(
            f"WEBHOOK_SECRETS: {', '.join(sorted(unknown))} signs no webhooks; "
            f"these do: {', '.join(sorted(signing))}"
        )
    return {
        name: partial(_verify_webhook, name, secret)
        for name, secret in chosen.webhook_secrets.items()
    }


def _verify_webhook(
    name: str, secret: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime
) -> str:
    return providers.verify_webhook(name, headers, body, secret.get_secret_value(), now)
