"""Read the settings and build the adapters that they name, by URL, each on first use.

Nothing else reads the environment or chooses an adapter.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import SystemRandom
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from taskreel import log
from taskreel.adapters import providers
from taskreel.adapters.external_synchrony import (
    DurableBlobs,
    DurableProvider,
    DurableResponses,
    DurableTasks,
    DurableWebhooks,
)
from taskreel.adapters.logged_store import LoggedStore
from taskreel.adapters.media import IN_HOUSE
from taskreel.adapters.providers import KEY_VARIABLES, PROVIDERS, WebhookKind
from taskreel.adapters.providers.in_process import InProcessProvider, load_in_process_providers
from taskreel.adapters.providers.webhooks import WebhookTarget
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.adapters.work_dirs import WorkDirPool
from taskreel.app.caller import Caller
from taskreel.app.eta_calibration import EtaCalibration, JobObserver
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.app.job_counts import JobCounts
from taskreel.app.messages.job_task import type_of_queue
from taskreel.app.providers.circuit_breakers import CircuitBreakers
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.app.records.recorder import SHARDS, Recorder
from taskreel.app.services import Rules, Services
from taskreel.config import ConfigurationError, Settings
from taskreel.domain.input_limits import MIB, InputLimits
from taskreel.domain.value import Value
from taskreel.domain.webhook import SENDER, WebhookDelivery
from taskreel.jobtypes.submission import register_options
from taskreel.limits_setting import parse_limits
from taskreel.media.workers import WorkerPool
from taskreel.ports import (
    Blobs,
    Capability,
    Clock,
    Fetch,
    FileFacts,
    MediaWorkers,
    Provider,
    ProviderCatalogue,
    SendWebhook,
    Store,
    TaskQueue,
    Timer,
    VerifyWebhook,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

    from taskreel.adapters.local.memory_queue import Delivery
    from taskreel.app.records.store_metrics import StoreMetrics
    from taskreel.app.worker.processor import Processor
    from taskreel.domain.job import Job
    from taskreel.web.auth import TokenRules
    from taskreel.web.fal_webhook_keys import FalWebhookKeys
    from taskreel.web.file_links import FileLinks
    from taskreel.web.live_context import LiveContext
    from taskreel.web.stream_tokens import StreamTokens
    from taskreel.web.task_tokens import TaskTokenRules

T = TypeVar("T")

_PROBE_SECONDS = 60.0
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
    from taskreel.adapters.machine import read_machine
    from taskreel.app.health import HealthMonitor
    from taskreel.web.auth import ApiContext, Authenticator
    from taskreel.web.public_api import PublicApi
    from taskreel.web.request_rates import RequestRates

    chosen = settings()
    context = ApiContext(
        services=services(),
        authenticator=Authenticator(_token_rules(chosen)),
        health=HealthMonitor(services(), partial(read_machine, chosen.scratch_dir)),
        base_url=chosen.api_base_url.rstrip("/"),
        rates=RequestRates(services().rules.limits, services().clock),
        live=live,
        stream_tokens=_stream_tokens,
        file_links=_file_links,
        fal_webhook_keys=_fal_webhook_keys,
        store_metrics=_store_metrics,
        metrics_key=chosen.metrics_key.get_secret_value() if chosen.metrics_key else None,
    )
    app = PublicApi(
        context,
        _build_fastapi,
        origins=chosen.allowed_origins,
        media_origins=_find_media_origins(chosen),
        mcp_path=chosen.mcp_path,
    )
    return _finish_start(DurableResponses(app, services().store))


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
        live(), Authenticator(_token_rules(chosen)), origins=chosen.allowed_origins, guest=guest
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
    return _finish_start(DurableResponses(app, services().store))


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


async def _process_delivery(delivery: Delivery) -> int:
    """Process a delivery of the queues in this process."""
    from taskreel.web.tasks import process_delivery

    return await process_delivery(running(), delivery.task.job_id)


async def _stop_runs() -> None:
    """End all runs and release their leases. The ports stay open for requests under way."""
    built = services()
    if urlsplit(settings().tasks_url).scheme == "embedded":
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


def _finish_start(app: T) -> T:
    """Turn the collector, off since `main`, on again; it never scans what is imported by now."""
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
    return app


def build(chosen: Settings, clock: Clock) -> Services:
    """Build the services that the settings describe. Nothing is connected yet."""
    workers = WorkerPool(max_workers=chosen.worker_processes, memory_mb=chosen.worker_memory_mb)
    counts = JobCounts(exact=urlsplit(chosen.store_url).scheme == "sqlite")
    rules = _rules(chosen)
    # Without limits the counts are not read.
    inner = _store(chosen)
    recorder = Recorder(inner, clock, SystemRandom().randrange(SHARDS))
    observers: list[JobObserver] = [recorder.note_change]
    observers += [counts.note_change] if rules.limits else []
    calibration = EtaCalibration(recorder.count_eta, observe=observers.append)
    store = LoggedStore(inner, observers)
    webhooks = DurableWebhooks(WebhookSender(chosen.private_webhook_origins), store)
    return Services(
        store=store,
        tasks=_build_tasks(chosen, clock, store),
        blobs=DurableBlobs(_blobs(chosen, clock), store),
        providers=_build_providers(chosen, workers, clock, store, webhooks),
        workers=workers,
        probe_file=partial(_probe_file, workers),
        fetch=_fetch(_own_addresses(chosen)),
        webhooks=webhooks,
        clock=clock,
        rules=rules,
        counts=counts,
        calibration=calibration,
        render_message=partial(_render_message, chosen),
        sign_message=partial(_sign_message, chosen),
        count_sweep=recorder.count_sweep,
        flush_records=recorder.flush,
        work_dirs=WorkDirPool(chosen.scratch_dir, chosen.scratch_mb * MIB),
    )


def _own_addresses(chosen: Settings) -> list[str]:
    """Addresses that may be fetched although private: ours, and those of overridden providers."""
    return [
        chosen.api_base_url,
        _emulator(chosen.blobs_url) or "",
        *chosen.provider_base_urls.values(),
    ]


async def _render_message(
    chosen: Settings, services: Services, delivery: WebhookDelivery, job: Job | None
) -> dict[str, Any]:
    """The message of a delivery in another service's form; the first imports its module."""
    from taskreel.web.file_links import FileLinks
    from taskreel.web.other_apis.webhook_messages import render_message

    return await render_message(services, FileLinks(chosen.link_keys), delivery, job)


def _sign_message(
    chosen: Settings, delivery: WebhookDelivery, body: str, at: datetime
) -> Mapping[str, str]:
    """The headers of another service's signature of a message; the first imports its module."""
    from taskreel.web.fal_webhook_keys import FalWebhookKeys
    from taskreel.web.other_apis.webhook_messages import sign_message

    return sign_message(FalWebhookKeys(chosen.link_keys), delivery, body, at)


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


def _fetch(own: Sequence[str]) -> Fetch:
    """A fetcher that is built when the first file is fetched."""

    @functools.cache
    def made() -> Fetch:
        from taskreel.adapters.fetch import Fetcher

        return Fetcher(own)

    async def fetch(
        url: str,
        target: Path,
        /,
        *,
        max_bytes: int,
        seconds: float,
        admit: Callable[[int], None] | None = None,
    ) -> str:
        return await made()(url, target, max_bytes=max_bytes, seconds=seconds, admit=admit)

    return fetch


async def _probe_file(workers: MediaWorkers, file: Path, /) -> FileFacts:
    """`ProbeFile` in a worker process: a damaged file must not take this process with it."""
    from taskreel.media.probe import probe_file

    info = await workers.run(probe_file, file, timeout_seconds=_PROBE_SECONDS)
    return FileFacts(
        content_type=info.content_type,
        bytes=info.bytes,
        sha256=info.sha256,
        width=info.width,
        height=info.height,
        duration_seconds=info.duration_seconds,
    )


def _rules(chosen: Settings) -> Rules:
    return Rules(
        initial_credits=chosen.initial_credits,
        lease=timedelta(seconds=chosen.lease_seconds),
        heartbeat=timedelta(seconds=chosen.heartbeat_seconds),
        rescue_after=timedelta(seconds=chosen.rescue_after_seconds),
        signed_url_lifetime=timedelta(seconds=chosen.signed_url_seconds),
        inputs=_input_limits(chosen),
        limits=parse_limits(chosen.limits),
        api_base_url=chosen.api_base_url.rstrip("/"),
    )


def _input_limits(chosen: Settings) -> InputLimits:
    """The limits on a job's input files. Raises ConfigurationError if one job could never fit."""
    if chosen.scratch_mb < chosen.max_job_input_mb:
        raise ConfigurationError(
            f"SCRATCH_MB is {chosen.scratch_mb}: it must be at least MAX_JOB_INPUT_MB "
            f"({chosen.max_job_input_mb}), or the input files of one job would never fit"
        )
    return InputLimits(
        max_files=chosen.max_job_input_files,
        max_file_bytes=chosen.max_input_file_mb * MIB,
        max_job_bytes=chosen.max_job_input_mb * MIB,
        max_job_pixels=chosen.max_job_input_megapixels * 1_000_000,
        max_job_seconds=chosen.max_job_input_seconds,
    )


def _store(chosen: Settings) -> Store:
    url = chosen.store_url
    match urlsplit(url).scheme:
        case "sqlite":
            from taskreel.adapters.local.sqlite import SqliteStore

            durable = "durable" in urlsplit(url).query
            return SqliteStore(_path(url), LOCAL_INDEXES, durable=durable)
        case "firestore":
            from taskreel.adapters.gcp.firestore import FirestoreStore

            parts = urlsplit(url)
            return FirestoreStore(
                parts.netloc,
                parts.path.strip("/") or "(default)",
                emulator=_emulator(url) or chosen.firestore_emulator_host,
                endpoint=_query_value(url, "endpoint"),
                is_leased=_is_leased,
            )
        case _:
            raise ConfigurationError(
                f"STORE_URL: {url!r} is neither sqlite:///… nor firestore://PROJECT/DATABASE"
            )


def _is_leased(collection: str, data: Mapping[str, Any]) -> bool:
    """True for a job that is being run: until its lease ends, only its run writes it."""
    return collection == "jobs" and data.get("leaseUntil") is not None


def _build_tasks(chosen: Settings, clock: Clock, store: Store) -> TaskQueue:
    """The queues; those outside of this process get tasks of stored jobs only."""
    tasks = _tasks(chosen, clock)
    is_inside = urlsplit(chosen.tasks_url).scheme == "embedded"
    return tasks if is_inside else DurableTasks(tasks, store)


def _tasks(chosen: Settings, clock: Clock) -> TaskQueue:
    url = chosen.tasks_url
    match urlsplit(url).scheme:
        case "embedded":
            from taskreel.adapters.local.memory_tasks import MemoryTasks
            from taskreel.adapters.local.queues_yaml import load_queue_settings

            path = _path(url)
            if not path.is_file():
                raise ConfigurationError(
                    f"TASKS_URL: {url!r} names no file of queues; use embedded:///QUEUES.yaml, "
                    "such as embedded:///infra/queues.yaml (a fourth slash begins an absolute path)"
                )
            queues = load_queue_settings(path)
            unthrottled = "unthrottled" in urlsplit(url).query
            return MemoryTasks(queues, clock, _process_delivery, unthrottled=unthrottled)
        case "cloudtasks":
            from taskreel.adapters.gcp.cloud_tasks import CloudTasks

            parts = urlsplit(url)
            return CloudTasks(
                project=parts.netloc,
                location=parts.path.strip("/"),
                target_url=chosen.processor_url,
                media_target_url=chosen.media_processor_url,
                is_media_queue=is_media_queue,
                internal_key=chosen.internal_keys[0],
                invoker=chosen.invoker_service_account,
                shards=_read_shards(url),
                emulator=_emulator(url),
                endpoint=_query_value(url, "endpoint"),
            )
        case "none":
            from taskreel.adapters.absent_tasks import AbsentTasks

            return AbsentTasks()
        case _:
            raise ConfigurationError(
                f"TASKS_URL: {url!r} is neither embedded:///QUEUES.yaml nor "
                "cloudtasks://PROJECT/LOCATION (nor none:, of the gateway)"
            )


def _read_shards(url: str) -> Mapping[str, int]:
    """The numbers of shards of the queues that have several, in the URL of the queues."""
    text = _query_value(url, "shards")
    if text is None:
        return {}
    from taskreel.adapters.gcp.queue_shards import parse_shards

    try:
        return parse_shards(text)
    except ValueError as error:
        raise ConfigurationError(f"TASKS_URL: {error}") from None


def is_media_queue(queue: str) -> bool:
    """True for the queue of a job type that works on media files, also of an earlier release."""
    from taskreel.jobtypes import JOB_TYPES

    job_type = JOB_TYPES.get(type_of_queue(queue) or "")
    return job_type is not None and job_type.works_on_media


def _blobs(chosen: Settings, clock: Clock) -> Blobs:
    url = chosen.blobs_url
    match urlsplit(url).scheme:
        case "file":
            from taskreel.adapters.local.files import FileBlobs

            secret = chosen.files_secret.get_secret_value().encode()
            if not secret:
                raise ConfigurationError("FILES_SECRET: file:/// needs one to sign URLs")
            return FileBlobs(_path(url), base_url=chosen.api_base_url, secret=secret, clock=clock)
        case "gs":
            from taskreel.adapters.gcp.cloud_storage import CloudStorage
            from taskreel.adapters.signed_url_cache import CachedSignedUrls

            key = (
                json.loads(chosen.signing_key_file.read_text()) if chosen.signing_key_file else None
            )
            bucket = urlsplit(url).netloc
            storage = CloudStorage(bucket, emulator=_emulator(url), signing_key=key)
            return CachedSignedUrls(storage, clock)
        case _:
            raise ConfigurationError(f"BLOBS_URL: {url!r} is neither file:///… nor gs://BUCKET")


def _find_media_origins(chosen: Settings) -> list[str]:
    """The origins of the signed URLs: of the files, or of Cloud Storage."""
    url = chosen.blobs_url
    if urlsplit(url).scheme == "gs":
        emulator = _emulator(url)
        url = emulator or "https://storage.googleapis.com"
        url = url if "://" in url else f"http://{url}"
    else:
        url = chosen.api_base_url
    parts = urlsplit(url)
    return [f"{parts.scheme}://{parts.netloc}"]


def _emulator(url: str) -> str | None:
    """The address in `?emulator=host:port`, which sends a Google client to an emulator."""
    return _query_value(url, "emulator")


def _query_value(url: str, name: str) -> str | None:
    return next(iter(parse_qs(urlsplit(url).query).get(name, [])), None)


def _path(url: str) -> Path:
    """`sqlite:///data/x.db` is relative, `sqlite:////data/x.db` absolute, as SQLAlchemy has it."""
    return Path(urlsplit(url).path.removeprefix("/"))


def _build_providers(
    chosen: Settings, workers: MediaWorkers, clock: Clock, store: Store, webhooks: SendWebhook
) -> ProviderRegistry:
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
        breakers=CircuitBreakers(store),
        key_names=KEY_VARIABLES,
        catalogue=partial(_build_catalogue, chosen, in_process),
        stand_in=chosen.stand_in_provider,
        webhooks=_build_webhook_checks(chosen),
    )


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
    return DurableProvider(_build_provider(chosen, name), store)


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
