"""Every parser and media opener behind one signature: bytes in, and no error but the documented.

Two drivers give the bytes: `coverage_guided.py` with atheris, and `test_targets.py` with Hypothesis
in each run of the tests.
"""

from __future__ import annotations

import asyncio
import json

from fuzzing.door_targets import DOOR_TARGETS
from fuzzing.media_targets import MEDIA_TARGETS
from fuzzing.target import NOW, Target, read_text
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.jobs.input_files import decode_data_url
from taskreel.app.jobs.queries import decode_cursor
from taskreel.domain.cron import CronSchedule, list_faults
from taskreel.domain.errors import InvalidError, TaskreelError
from taskreel.domain.pipeline import Pipeline
from taskreel.domain.stream_position import StreamPosition
from taskreel.domain.template import fill_template, find_job_references, has_references
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.auth import Authenticator, TokenRules
from taskreel.web.file_links import FileLinks
from taskreel.web.http import parse_idempotency_key, parse_model, parse_wait_seconds
from taskreel.web.stream_tokens import StreamTokens
from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.message_codec import from_json, from_pb
from taskreel_cloud_tasks.messages import Queue, Task
from taskreel_cloud_tasks.page_tokens import decode_position
from taskreel_cloud_tasks.queue_filter import parse_filter
from taskreel_cloud_tasks.resource_names import split_location, split_queue, split_task

_KEY = "a-key-of-32-characters-for-tests"


def _check_address(data: bytes) -> None:
    sender = WebhookSender(["http://localhost:3000"])
    sender.check_url(read_text(data), "url")


def _read_data_url(data: bytes) -> None:
    decode_data_url("data:" + read_text(data), "imageUrl")


def _read_submission(data: bytes) -> None:
    """The first byte chooses the job type."""
    types = list(JOB_TYPES.values())
    job_type = types[data[0] % len(types)] if data else types[0]
    parse_model(data[1:], job_type.submission)


def _read_position(data: bytes) -> None:
    StreamPosition.parse(read_text(data))


def _read_cursor(data: bytes) -> None:
    decode_cursor(read_text(data))


def _read_schedule(data: bytes) -> None:
    expression, _, zone = read_text(data).partition("\n")
    if list_faults(expression, zone or "UTC"):
        return
    schedule = CronSchedule(expression, zone or "UTC")
    schedule.next_times(NOW, 3)
    str(schedule.words)


def _fill(data: bytes) -> None:
    text = read_text(data)
    context = {"steps": {"a": {"n": [1, 2.5, None, "x"]}}, "parameters": {"p": "y"}}
    has_references(text)
    list(find_job_references(text))
    fill_template({"field": text}, context)


def _read_pipeline(data: bytes) -> None:
    parse_model(data, Pipeline)


def _check_signatures(data: bytes) -> None:
    from taskreel.adapters.providers.bfl import webhook as bfl
    from taskreel.adapters.providers.fal import webhook as fal
    from taskreel.adapters.providers.openai import webhook as openai
    from taskreel.adapters.providers.replicate import webhook as replicate

    head, _, body = data.partition(b"\n\n")
    lines = [line.partition(":") for line in head.decode("latin-1").split("\n")]
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    for module in (bfl, fal, openai, replicate):
        try:
            module.verify_webhook(headers, body, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", NOW)
        except TaskreelError:
            continue


_TOKENS = Authenticator(TokenRules(secret=_KEY))


def _check_token(data: bytes) -> None:
    header = data.decode("latin-1")
    for given in (header, f"Bearer {header}"):
        try:
            asyncio.run(_TOKENS.authenticate(given))
        except TaskreelError:
            continue


def _check_links(data: bytes) -> None:
    text = read_text(data)
    path, _, rest = text.partition("\n")
    expires, _, signature = rest.partition("\n")
    for check in (
        lambda: StreamTokens([_KEY]).verify(text),
        lambda: FileLinks([_KEY]).check(path, expires, signature, NOW),
        lambda: parse_idempotency_key(text),
        lambda: parse_wait_seconds(text),
    ):
        try:
            check()
        except TaskreelError:
            continue


def _read_task(data: bytes) -> None:
    """A task or a queue as JSON, or in the wire format."""
    from google.cloud.tasks_v2.types import Task as PbTask
    from google.protobuf.message import DecodeError

    kind, rest = data[:1], data[1:]
    if kind == b"p":
        try:
            message = PbTask.pb().FromString(rest)
        except DecodeError:
            return
        from_pb(Task, message)
        return
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return
    from_json(Task if kind == b"t" else Queue, value)


def _read_names(data: bytes) -> None:
    text = read_text(data)
    for read in (split_location, split_queue, split_task, parse_filter):
        try:
            read(text)
        except ApiError:
            continue
    decode_position(text, "scope", "", 0)


def _list_examples() -> list[bytes]:
    return [
        bytes([number]) + json.dumps(job_type.example).encode()
        for number, job_type in enumerate(JOB_TYPES.values())
    ]


TARGETS: dict[str, Target] = {
    **MEDIA_TARGETS,
    **DOOR_TARGETS,
    "address": Target(
        _check_address,
        [b"https://example.com/a?b=c", b"http://localhost:3000/x", b"https://[::1]:99999/", b"//"],
        (InvalidError,),
    ),
    "data-url": Target(
        _read_data_url, [b"image/png;base64,aGk=", b",a%20b", b"text/plain;charset=utf-8,x"]
    ),
    "submission": Target(_read_submission, _list_examples()),
    "stream-position": Target(_read_position, [b"12.1764235000000.job_a", b"0.0", b"9.9999999"]),
    "cursor": Target(
        _read_cursor, [b"WyIyMDI2LTExLTI3VDA5OjMwOjAwKzAwOjAwIiwgImpvYl9hIl0", b"W10", b"bnVsbA"]
    ),
    "cron": Target(
        _read_schedule,
        [b"*/5 9-17 * * MON-FRI\nEurope/Warsaw", b"0 0 L * *", b"30 9 * * 5#2\nAmerica/New_York"],
    ),
    "template": Target(
        _fill, [b"{{steps.a.n[0]}} and {{parameters.p}}", b"{{join(', ', steps.*.n[])}}", b"{{"]
    ),
    "pipeline": Target(
        _read_pipeline,
        [b'{"steps": [{"name": "a", "jobType": "image-generation", "data": {"prompt": "x"}}]}'],
    ),
    "signatures": Target(
        _check_signatures,
        [
            b"webhook-id: a\nwebhook-timestamp: 1795771800\nwebhook-signature: v1,aGk=\n\n{}",
            b"x-fal-webhook-request-id: a\nx-fal-webhook-timestamp: 1795771800\n\n{}",
            b"x-webhook-signature: aa\nx-webhook-secret: b\n\n{}",
        ],
    ),
    "token": Target(
        _check_token,
        [
            b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.aGk",
            b"Bearer a.b.c",
            b"Key \xff",
        ],
    ),
    "links": Target(_check_links, [b"artifacts/a.png\n1795771800\naGk", b'"key"', b"wait=30"]),
    "cloud-tasks-message": Target(
        _read_task,
        [
            b't{"httpRequest": {"url": "https://a.example", "body": "aGk="}}',
            b't{"scheduleTime": "2026-11-27T09:30:00.5Z", "dispatchDeadline": "15s"}',
            b'q{"rateLimits": {"maxDispatchesPerSecond": 5}, "retryConfig": {"minBackoff": "1s"}}',
            b"p\n\x03abc",
        ],
        (ApiError, FieldValueError),
    ),
    "cloud-tasks-names": Target(
        _read_names,
        [
            b"projects/p/locations/l/queues/q/tasks/t",
            b'state = "PAUSED" AND NOT rateLimits.maxBurstSize>5',
        ],
    ),
}
