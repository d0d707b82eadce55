"""Build the services of a process: the adapters that the settings name, by URL.

Nothing else chooses an adapter.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from taskreel.adapters.external_synchrony import (
    DurableBlobs,
    DurableTasks,
    DurableWebhooks,
)
from taskreel.adapters.logged_store import LoggedStore
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.adapters.work_dirs import WorkDirPool
from taskreel.app.eta_calibration import EtaCalibration, JobObserver
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.app.job_counts import JobCounts
from taskreel.app.messages.job_task import type_of_queue
from taskreel.app.records.recorder import SHARDS, Recorder
from taskreel.app.services import OperatorAlerts, Services
from taskreel.config import ConfigurationError, Settings
from taskreel.domain.errors import EncryptionKeyError
from taskreel.domain.input_limits import MIB
from taskreel.domain.validation_messages import describe_errors
from taskreel.domain.value import format_path
from taskreel.media.workers import WorkerPool
from taskreel.ports import (
    Blobs,
    Clock,
    Fetch,
    FileFacts,
    MediaWorkers,
    Query,
    SendWebhook,
    Store,
    TaskQueue,
)
from taskreel.provider_building import build_providers
from taskreel.rules_setting import build_rules
from taskreel.store_collections import DATA_KEYS

if TYPE_CHECKING:
    from taskreel.adapters.gcp.queue_locations import ReadDrained
    from taskreel.adapters.local.queue_settings import QueueSettings
    from taskreel.adapters.local.task_delivery import Deliver
    from taskreel.domain.client_webhook import WebhookDelivery
    from taskreel.domain.job import Job

_PROBE_SECONDS = 60.0
#: The same of a sound that is decoded to be measured: six hours of it take a minute of a processor.
_MEASURE_SECONDS = 300.0


def build_services(chosen: Settings, clock: Clock, deliver: Deliver) -> Services:
    """Build the services that the settings describe. Nothing is connected yet.

    Queues in this process deliver to `deliver`.
    """
    sender = _build_webhook_sender(chosen)
    alerts = _build_alerts(chosen, sender, clock)
    workers = WorkerPool(max_workers=chosen.worker_processes, memory_mb=chosen.worker_memory_mb)
    counts = JobCounts(exact=urlsplit(chosen.store_url).scheme == "sqlite")
    rules = build_rules(chosen)
    # Without limits the counts are not read.
    inner = build_store(chosen)
    recorder = Recorder(inner, clock, SystemRandom().randrange(SHARDS))
    observers: list[JobObserver] = [recorder.note_change]
    observers += [counts.note_change] if rules.limits else []
    calibration = EtaCalibration(recorder.count_eta, observe=observers.append)
    check_key = partial(check_encryption, chosen, inner)
    store = LoggedStore(inner, observers, check_key)
    webhooks = DurableWebhooks(sender, store)
    return Services(
        store=store,
        tasks=_build_tasks(chosen, clock, store, deliver),
        blobs=DurableBlobs(_build_blobs(chosen, clock), store),
        providers=build_providers(chosen, workers, clock, store, webhooks),
        workers=workers,
        probe_file=partial(_probe_file, workers),
        fetch=_build_fetch(_own_addresses(chosen)),
        webhooks=webhooks,
        clock=clock,
        rules=rules,
        counts=counts,
        calibration=calibration,
        render_message=partial(_render_message, chosen),
        sign_message=partial(_sign_message, chosen),
        count_sweep=recorder.count_sweep,
        count_event=recorder.count_event,
        flush_records=recorder.flush,
        alerts=alerts,
        check_encryption=check_key,
        work_dirs=WorkDirPool(chosen.scratch_dir, chosen.scratch_mb * MIB),
    )


def _build_alerts(chosen: Settings, sender: SendWebhook, clock: Clock) -> OperatorAlerts:
    """The receiver of operators' alerts. Raises ConfigurationError for a wrong setting."""
    url = chosen.alert_webhook_url.get_secret_value() if chosen.alert_webhook_url else None
    if chosen.alert_thresholds:
        from taskreel.domain.alerts import AlertThresholds  # of few processes: cold start

        try:
            AlertThresholds.model_validate(chosen.alert_thresholds)
        except ValidationError as error:
            found = describe_errors(error.errors(include_input=False), AlertThresholds)
            wrong = "; ".join(f"{format_path(at)} {message}" for at, message in found)
            raise ConfigurationError(f"ALERT_THRESHOLDS: {wrong}") from None
    return OperatorAlerts(
        url=url,
        thresholds=chosen.alert_thresholds,
        sender=sender,
        runs_since=clock.now() if chosen.has_own_queues else None,
    )


def _build_webhook_sender(chosen: Settings) -> SendWebhook:
    sender = WebhookSender(chosen.private_webhook_origins)
    if chosen.otel_exporter_otlp_endpoint is None:
        return sender
    from taskreel.telemetry_setting import find_telemetry

    return find_telemetry(chosen).trace_webhooks(sender)


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
    from taskreel.web.other_apis.webhook_messages import sign_message

    return sign_message(chosen.link_keys, delivery, body, at)


def _build_fetch(own: Sequence[str]) -> Fetch:
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


async def _probe_file(
    workers: MediaWorkers, file: Path, /, *, every_packet: bool = False
) -> FileFacts:
    """`ProbeFile` in a worker process: a damaged file must not take this process with it."""
    from taskreel.media.probe import probe_file

    seconds = _MEASURE_SECONDS if every_packet else _PROBE_SECONDS
    info = await workers.run(probe_file, file, every_packet=every_packet, timeout_seconds=seconds)
    return FileFacts(
        content_type=info.content_type,
        bytes=info.bytes,
        sha256=info.sha256,
        width=info.width,
        height=info.height,
        duration_seconds=info.duration_seconds,
    )


def build_store(chosen: Settings) -> Store:
    """The store by STORE_URL, encrypted where ENCRYPTION_KEY is set."""
    store = _build_plain_store(chosen)
    if chosen.encryption_key is None:
        return store
    from taskreel.encryption_setting import encrypt_store

    return encrypt_store(store, chosen.encryption_key.get_secret_value())


async def check_encryption(chosen: Settings, store: Store) -> None:
    """Raise StoreError unless the settings have the key of what `build_store` has made of them.

    Without a key new documents would be stored in clear beside the encrypted ones.
    """
    if chosen.encryption_key is None:
        if await store.query(Query(collection=DATA_KEYS, limit=1)):
            raise EncryptionKeyError(
                "This store is encrypted, and ENCRYPTION_KEY is not set. Set it to the key that "
                "has encrypted this store."
            )
        return
    from taskreel.adapters.encryption.encrypted_store import EncryptedStore

    assert isinstance(store, EncryptedStore)  # noqa: S101 - the key is set
    await store.keys.check()


def _build_plain_store(chosen: Settings) -> Store:
    url = chosen.store_url
    match urlsplit(url).scheme:
        case "sqlite":
            from taskreel.adapters.local.sqlite import SqliteStore

            durable = "durable" in urlsplit(url).query
            return SqliteStore(parse_file_path(url), LOCAL_INDEXES, durable=durable)
        case "firestore":
            from taskreel.adapters.gcp.firestore import FirestoreStore

            parts = urlsplit(url)
            return FirestoreStore(
                parts.netloc,
                parts.path.strip("/") or "(default)",
                emulator=_emulator(url) or chosen.firestore_emulator_host,
                endpoint=_query_value(url, "endpoint"),
                is_leased=is_leased,
                type_shards=chosen.wake_shards if "sharded-types" in parts.query else 0,
            )
        case _:
            raise ConfigurationError(
                f"STORE_URL: {url!r} is neither sqlite:///… nor firestore://PROJECT/DATABASE"
            )


def is_leased(collection: str, data: Mapping[str, Any]) -> bool:
    """True for a job that is being run: until its lease ends, only its run writes it."""
    return collection == "jobs" and data.get("leaseUntil") is not None


def _build_tasks(chosen: Settings, clock: Clock, store: Store, deliver: Deliver) -> TaskQueue:
    """The queues; those outside of this process get tasks of stored jobs only."""
    tasks = build_queues(chosen, clock, deliver, store)
    return tasks if chosen.has_own_queues else DurableTasks(tasks, store)


def build_queues(
    chosen: Settings, clock: Clock, deliver: Deliver, store: Store | None = None
) -> TaskQueue:
    """The queues by TASKS_URL; those in this process deliver to `deliver`.

    `store` has the orders to drain locations, where there are several.
    """
    url = chosen.tasks_url
    match urlsplit(url).scheme:
        case "embedded":
            from taskreel.adapters.local.memory_tasks import MemoryTasks

            path = parse_file_path(url)
            if not path.is_file():
                raise ConfigurationError(
                    f"TASKS_URL: {url!r} names no file of queues; use embedded:///QUEUES.yaml, "
                    "such as embedded:///infra/queues.yaml (a fourth slash begins an absolute path)"
                )
            unthrottled = "unthrottled" in urlsplit(url).query
            return MemoryTasks(
                partial(_load_queue_settings, path), clock, deliver, unthrottled=unthrottled
            )
        case "cloudtasks":
            from taskreel.adapters.gcp.cloud_tasks import CloudTasks

            parts = urlsplit(url)
            location, *further = _read_locations(url)
            return CloudTasks(
                project=parts.netloc,
                location=location,
                further_locations=further,
                read_drained=_find_drain_orders(store) if further else None,
                target_url=chosen.processor_url,
                media_target_url=chosen.media_processor_url,
                is_media_queue=is_media_queue,
                internal_key=chosen.internal_keys[0],
                signs_tasks=chosen.sign_tasks,
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


def _load_queue_settings(path: Path) -> Mapping[str, QueueSettings]:
    from taskreel.adapters.local.queues_yaml import load_queue_settings  # cold start

    return load_queue_settings(path)


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


def _read_locations(url: str) -> Sequence[str]:
    """The locations of the queues, the preferred one first, in the URL of the queues."""
    first, text = urlsplit(url).path.strip("/"), _query_value(url, "locations")
    if text is None:
        return (first,)
    from taskreel.adapters.gcp.queue_locations import parse_locations

    try:
        return parse_locations(first, text)
    except ValueError as error:
        raise ConfigurationError(f"TASKS_URL: {error}") from None


def _find_drain_orders(store: Store | None) -> ReadDrained | None:
    """Return the reader of the locations that get no tasks."""
    if store is None:
        return None
    from taskreel.app.queues.drain_location import list_drained

    return partial(list_drained, store)


def is_media_queue(queue: str) -> bool:
    """True for the queue of a job type that works on media files, also of an earlier release."""
    from taskreel.jobtypes import JOB_TYPES

    job_type = JOB_TYPES.get(type_of_queue(queue) or "")
    return job_type is not None and job_type.works_on_media


def _build_blobs(chosen: Settings, clock: Clock) -> Blobs:
    url = chosen.blobs_url
    match urlsplit(url).scheme:
        case "file":
            from taskreel.adapters.local.files import FileBlobs

            secret = chosen.files_secret.get_secret_value().encode()
            if not secret:
                raise ConfigurationError("FILES_SECRET: file:/// needs one to sign URLs")
            return FileBlobs(
                parse_file_path(url), base_url=chosen.api_base_url, secret=secret, clock=clock
            )
        case "gs":
            from taskreel.adapters.gcp.cloud_storage import CloudStorage
            from taskreel.adapters.signed_url_cache import CachedSignedUrls

            key = (
                json.loads(chosen.signing_key_file.read_text()) if chosen.signing_key_file else None
            )
            bucket = urlsplit(url).netloc
            storage = CloudStorage(bucket, emulator=_emulator(url), signing_key=key, now=clock.now)
            return CachedSignedUrls(storage, clock)
        case _:
            raise ConfigurationError(f"BLOBS_URL: {url!r} is neither file:///… nor gs://BUCKET")


def find_media_origins(chosen: Settings) -> list[str]:
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


def parse_file_path(url: str) -> Path:
    """`sqlite:///data/x.db` is relative, `sqlite:////data/x.db` absolute, as SQLAlchemy has it."""
    return Path(urlsplit(url).path.removeprefix("/"))
