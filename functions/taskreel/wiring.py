"""Build the applications of a process from its settings, each on first use, and end them.

Nothing else reads the environment. `service_building` chooses the adapters, by URL.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from taskreel import log
from taskreel.adapters import providers
from taskreel.adapters.external_synchrony import DurableResponses
from taskreel.adapters.providers import KEY_VARIABLES
from taskreel.app.caller import Caller
from taskreel.app.request_trace import trace_id
from taskreel.app.services import Services
from taskreel.config import ConfigurationError, Settings
from taskreel.ports import Clock, Timer
from taskreel.service_building import build_services, find_media_origins

if TYPE_CHECKING:
    from fastapi import FastAPI

    from taskreel.adapters.local.task_delivery import Delivery
    from taskreel.adapters.open_telemetry import Telemetry
    from taskreel.app.health import HealthMonitor
    from taskreel.app.projects.key_callers import KeyCallers
    from taskreel.app.records.store_metrics import StoreMetrics
    from taskreel.app.worker.processor import Processor
    from taskreel.web.auth import TokenRules
    from taskreel.web.fal_webhook_keys import FalWebhookKeys
    from taskreel.web.file_links import FileLinks
    from taskreel.web.issuer_sign_in import IssuerSignIn
    from taskreel.web.live_context import LiveContext
    from taskreel.web.stream_tokens import StreamTokens
    from taskreel.web.task_tokens import TaskTokenRules

T = TypeVar("T")

#: A job leaves no reference cycles: with Python's own 700, the collector took 9 % of a job's time.
_GC_THRESHOLDS = (50_000, 50, 100)


class SystemClock:
    """`Clock` as the machine has it."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float, /) -> None:
        """Wait that long."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        """Call back on the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)


@functools.cache
def settings() -> Settings:
    """Read and check the environment once; configure logging by it."""
    found = Settings.from_environment(providers.rename_keys(os.environ), KEY_VARIABLES)
    log.configure_logging(level=found.log_level, style=found.log_format, project=found.project)
    return found


def check_start() -> None:
    """End the process, with one line, if it could not answer any request by its settings."""
    try:
        Settings.check_start(providers.rename_keys(os.environ), KEY_VARIABLES)
    except ConfigurationError as error:
        raise SystemExit(f"taskreel cannot start: {error}") from None


@functools.cache
def services() -> Services:
    """The ports and limits of this process."""
    return build(settings(), SystemClock())


@functools.cache
def api() -> DurableResponses:
    """The jobs API."""
    from taskreel.web.auth import ApiContext, Authenticator
    from taskreel.web.public_api import PublicApi
    from taskreel.web.request_rates import RequestRates

    chosen = settings()
    context = ApiContext(
        services=services(),
        authenticator=Authenticator(_token_rules(chosen), _key_callers),
        base_url=chosen.api_base_url.rstrip("/"),
        rates=RequestRates(services().rules.limits, services().clock),
        health=_health_monitor,
        live=live,
        stream_tokens=_stream_tokens,
        file_links=_file_links,
        fal_webhook_keys=_fal_webhook_keys,
        store_metrics=_store_metrics,
        metrics_key=chosen.metrics_key.get_secret_value() if chosen.metrics_key else None,
        console_project=chosen.console_project,
    )
    app = PublicApi(
        context,
        _build_fastapi,
        origins=chosen.allowed_origins,
        media_origins=find_media_origins(chosen),
        sign_in=_find_issuer_sign_in(chosen),
        mcp_path=chosen.mcp_path,
    )
    telemetry = _find_telemetry()
    served = telemetry.trace_requests(app) if telemetry else app
    return _finish_start(DurableResponses(served, services().store))


def _build_fastapi() -> FastAPI:
    """The application of all routes but the hot ones, when the first of them is asked for."""
    from taskreel.web.app import build_fastapi

    return _finish_start(build_fastapi())


@functools.cache
def live() -> LiveContext:
    """The live updates of this process; they end when the instance is stopped."""
    from taskreel.app.live.job_feed import JobFeed
    from taskreel.web.live_context import ConnectionLimits, LiveContext

    feed = JobFeed(services())
    _run_before_stopping(feed.close)
    return LiveContext(feed, ConnectionLimits())


@functools.cache
def _health_monitor() -> HealthMonitor:
    """The health of the system as this process measures it."""
    from taskreel.adapters.machine import read_machine
    from taskreel.app.health import HealthMonitor

    return HealthMonitor(services(), partial(read_machine, settings().scratch_dir))


@functools.cache
def _key_callers() -> KeyCallers:
    """The callers of projects' API keys."""
    from taskreel.app.projects.key_callers import KeyCallers

    return KeyCallers(services())


@functools.cache
def _stream_tokens() -> StreamTokens:
    """The tokens of clients that send no headers; the gateway takes none."""
    from taskreel.web.stream_tokens import StreamTokens

    return StreamTokens(settings().link_keys)


@functools.cache
def _store_metrics() -> StoreMetrics:
    """The metrics of the whole system, which this process reads from the store."""
    from taskreel.app.records.store_metrics import StoreMetrics

    return StoreMetrics(services())


@functools.cache
def _file_links() -> FileLinks:
    """The signed links to files that come through the API."""
    from taskreel.web.file_links import FileLinks

    return FileLinks(settings().link_keys)


@functools.cache
def _fal_webhook_keys() -> FalWebhookKeys:
    """The keys that verify messages to the webhooks of fal's clients."""
    from taskreel.web.fal_webhook_keys import FalWebhookKeys

    return FalWebhookKeys(settings().link_keys)


@functools.cache
def gateway() -> DurableResponses:
    """The socket.io gateway; an ASGI application of its own, for it needs WebSockets."""
    from taskreel.web.auth import Authenticator
    from taskreel.web.live.socket_gateway import SocketGateway

    chosen = settings()
    guest = None
    if chosen.live_guest_user:
        guest = Caller(user_id=chosen.live_guest_user)
    built = SocketGateway(
        live(),
        Authenticator(_token_rules(chosen), _key_callers),
        origins=chosen.allowed_origins,
        guest=guest,
    )
    return _finish_start(DurableResponses(built.app, services().store))


@functools.cache
def running() -> Processor:
    """The processor of this process's deliveries."""
    from taskreel.app.worker.processor import Processor

    return Processor(services())


@functools.cache
def processor() -> DurableResponses:
    """The task processor's app; it releases its leases when the instance is stopped."""
    from taskreel.web.tasks import InternalKeys, build_processor_app

    _run_before_stopping(_stop_runs)
    keys = InternalKeys(settings().internal_keys)
    app = build_processor_app(keys, running(), _choose_token_rules(settings()))
    telemetry = _find_telemetry()
    served = telemetry.trace_deliveries(app) if telemetry else app
    return _finish_start(DurableResponses(served, services().store))


def _choose_token_rules(chosen: Settings) -> TaskTokenRules | None:
    """The rules of tasks' OIDC tokens, where Cloud Tasks sends one."""
    if chosen.invoker_service_account is None:
        return None
    from taskreel.web.task_tokens import TaskTokenRules

    return TaskTokenRules(
        account=chosen.invoker_service_account,
        audiences=chosen.processor_urls,
        keys_url=chosen.oidc_keys_url,
        issuer=chosen.oidc_issuer,
    )


@functools.cache
def _find_handler() -> Callable[[Processor, str], Coroutine[Any, Any, int]]:
    """The function that processes a delivery: an import statement takes time each time."""
    from taskreel.web.tasks import process_delivery

    return process_delivery


async def _process_delivery(delivery: Delivery) -> int:
    """Process a delivery of the queues in this process."""
    task = delivery.task
    # The queues run in the context of one who put a task on them, perhaps another one.
    trace_id.set(task.trace_id)
    telemetry = _find_telemetry()
    if telemetry is None:
        return await _find_handler()(running(), task.job_id)
    with telemetry.record_delivery(task.queue, task.id, task.trace_parent):
        return await _find_handler()(running(), task.job_id)


async def _stop_runs() -> None:
    """End all runs and release their leases. The ports stay open for requests under way."""
    built = services()
    if settings().has_own_queues:
        # First: the slots that stopping runs free are not for other tasks. Those stay in the store.
        await built.tasks.close()
    await running().stop()
    await built.flush_records()
    built.workers.close()
    built.work_dirs.close()


async def close_ports() -> None:
    """Close store, queues, files and providers, once the server has answered all requests.

    A process that has used none of them connects none. Under functions_framework nothing calls
    this: the process ends, and its connections with it.
    """
    if services.cache_info().currsize == 0:
        return
    built = services()
    await built.flush_records()
    if built.alerts is not None:
        # A receiver that hangs holds up no stop: who stops a process kills it after some seconds.
        await built.alerts.finish_sends(within=3)
    await asyncio.gather(
        *(
            port.close()
            for port in (built.tasks, built.providers, built.blobs, built.webhooks, built.store)
        )
    )


@functools.cache
def maintenance() -> DurableResponses:
    """The sweep."""
    from taskreel.web import tasks

    app = tasks.build_maintenance_app(tasks.InternalKeys(settings().internal_keys), services())
    return _finish_start(DurableResponses(app, services().store))


def build(chosen: Settings, clock: Clock) -> Services:
    """Build the services that the settings describe. Nothing is connected yet."""
    return build_services(chosen, clock, _process_delivery)


def _find_telemetry() -> Telemetry | None:
    """The recorder of spans, where a setting names its receiver."""
    chosen = settings()
    if chosen.otel_exporter_otlp_endpoint is None:
        return None
    from taskreel.telemetry_setting import find_telemetry

    return find_telemetry(chosen)


def _finish_start(app: T) -> T:
    """Turn the collector, off since `main`, on again; it never scans what is imported by now."""
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
    return app


def _token_rules(chosen: Settings) -> TokenRules:
    if not (chosen.jwt_jwks_url or chosen.jwt_public_key or chosen.jwt_secret):
        raise ConfigurationError(
            "set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL: without one no token can be checked"
        )
    if chosen.jwt_jwks_url and not (chosen.jwt_issuer and chosen.jwt_audience):
        raise ConfigurationError(
            "JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE: its keys sign for others too"
        )
    from taskreel.web.auth import TokenRules

    return TokenRules(
        secret=chosen.jwt_secret.get_secret_value() if chosen.jwt_secret else None,
        public_key=chosen.jwt_public_key,
        jwks_url=chosen.jwt_jwks_url,
        issuer=chosen.jwt_issuer,
        audience=chosen.jwt_audience,
        leeway_seconds=chosen.jwt_leeway_seconds,
    )


def _find_issuer_sign_in(chosen: Settings) -> IssuerSignIn | None:
    """The issuer's sign-in page for the dashboard, where one is configured."""
    if not chosen.sign_in_client_id or not chosen.jwt_issuer:
        return None
    from taskreel.web.issuer_sign_in import IssuerSignIn

    return IssuerSignIn(
        issuer=chosen.jwt_issuer,
        client_id=chosen.sign_in_client_id,
        scopes=chosen.sign_in_scopes,
        audience=chosen.jwt_audience,
    )


def _run_before_stopping(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `stop` on SIGTERM and SIGINT, before the server's own handler.

    functions_framework runs no lifespan, so there is no other hook.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handler(signum: int, frame: FrameType | None, before: object = before) -> None:
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(stop()))
            if callable(before):
                before(signum, frame)

        signal.signal(number, handler)
