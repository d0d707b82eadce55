"""Our message tables against the installed client: same fields, same JSON, same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.cloud import tasks_v2
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudtasks.strategies import messages_of
from taskreel_cloud_tasks import message_codec, messages, method_messages
from taskreel_cloud_tasks.codec_field import FieldValueError

PAIRS: list[tuple[type, Any]] = [
    (messages.Queue, tasks_v2.Queue),
    (messages.RateLimits, tasks_v2.RateLimits),
    (messages.RetryConfig, tasks_v2.RetryConfig),
    (messages.StackdriverLoggingConfig, tasks_v2.StackdriverLoggingConfig),
    (messages.HttpTarget, tasks_v2.HttpTarget),
    (messages.UriOverride, tasks_v2.UriOverride),
    (messages.PathOverride, tasks_v2.PathOverride),
    (messages.QueryOverride, tasks_v2.QueryOverride),
    (messages.Task, tasks_v2.Task),
    (messages.Attempt, tasks_v2.Attempt),
    (messages.HttpRequest, tasks_v2.HttpRequest),
    (messages.AppEngineHttpRequest, tasks_v2.AppEngineHttpRequest),
    (messages.AppEngineRouting, tasks_v2.AppEngineRouting),
    (messages.OAuthToken, tasks_v2.OAuthToken),
    (messages.OidcToken, tasks_v2.OidcToken),
    (method_messages.CreateTaskRequest, tasks_v2.CreateTaskRequest),
    (method_messages.TaskRequest, tasks_v2.GetTaskRequest),
    (method_messages.TaskRequest, tasks_v2.RunTaskRequest),
    (method_messages.CreateQueueRequest, tasks_v2.CreateQueueRequest),
    (method_messages.UpdateQueueRequest, tasks_v2.UpdateQueueRequest),
    (method_messages.ListQueuesRequest, tasks_v2.ListQueuesRequest),
    (method_messages.ListTasksRequest, tasks_v2.ListTasksRequest),
    (method_messages.BatchCreateTasksRequest, tasks_v2.BatchCreateTasksRequest),
    (method_messages.BatchCreateTasksMetadata, tasks_v2.BatchCreateTasksMetadata),
    (method_messages.BatchDeleteTasksRequest, tasks_v2.BatchDeleteTasksRequest),
    (method_messages.BatchDeleteTasksMetadata, tasks_v2.BatchDeleteTasksMetadata),
    (method_messages.CmekConfig, tasks_v2.CmekConfig),
    (method_messages.UpdateCmekConfigRequest, tasks_v2.UpdateCmekConfigRequest),
]
BY_NAME = pytest.mark.parametrize(
    ("ours", "googles"), PAIRS, ids=[pair[1].__name__ for pair in PAIRS]
)


@BY_NAME
def test_no_field_of_the_installed_client_is_missing(ours: type, googles: Any) -> None:
    theirs = {(field.name, field.number) for field in googles.pb().DESCRIPTOR.fields}
    assert {(field.attr, field.number) for field in message_codec.fields_of(ours)} == theirs


FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@BY_NAME
@FEW
@given(data=st.data())
def test_a_message_survives_protobuf_and_has_the_size_we_say(
    ours: type, googles: Any, data: st.DataObject
) -> None:
    value = data.draw(messages_of(ours))
    pb = googles.pb()(**message_codec.to_pb_fields(value))
    assert message_codec.from_pb(ours, googles.pb().FromString(pb.SerializeToString())) == value
    assert message_codec.encoded_size(value) == pb.ByteSize()


@BY_NAME
@FEW
@given(data=st.data())
def test_our_json_is_googles_json(ours: type, googles: Any, data: st.DataObject) -> None:
    value = data.draw(messages_of(ours))
    shown = message_codec.to_json(value)
    parsed = json_format.ParseDict(shown, googles.pb()())
    assert message_codec.from_pb(ours, parsed) == value
    printed = json.loads(json_format.MessageToJson(parsed))
    assert message_codec.from_json(ours, printed) == value
    in_ints = json.loads(json_format.MessageToJson(parsed, use_integers_for_enums=True))
    assert message_codec.to_json(value, enum_ints=True) == message_codec.to_json(
        message_codec.from_json(ours, in_ints), enum_ints=True
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"speed": 1}, 'Invalid JSON payload received. Unknown name "speed": Cannot find field.'),
        (
            {"rateLimits": {"speed": 1}},
            "Invalid JSON payload received. "  # noqa: ISC004
            "Unknown name \"speed\" at 'rate_limits': Cannot find field.",
        ),
        (
            {"retryConfig": {"minBackoff": "5"}},
            "at 'retry_config.min_backoff' "  # noqa: ISC004
            "(type.googleapis.com/google.protobuf.Duration), "
            "Illegal duration format; duration must end with 's'",
        ),
        (
            {"rateLimits": {"maxDispatchesPerSecond": "fast"}},
            "Invalid value at 'rate_limits.max_dispatches_per_second' (TYPE_DOUBLE), \"fast\"",
        ),
        (
            {"state": "AWAY"},
            "Invalid value at 'state' "  # noqa: ISC004
            '(type.googleapis.com/google.cloud.tasks.v2.Queue.State), "AWAY"',
        ),
        ({"rateLimits": {"maxConcurrentDispatches": 2**31}}, "(TYPE_INT32), 2147483648"),
        ({"rateLimits": {"maxConcurrentDispatches": True}}, "(TYPE_INT32), True"),
        ({"name": 5}, "Invalid value at 'name' (TYPE_STRING), 5"),
        (
            {"httpTarget": {"oauthToken": {}, "oidcToken": {}}},
            "oneof field 'authorization_header' is already set.",
        ),
        ([], "(MessageType), []"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_the_place(data: Any, message: str) -> None:
    with pytest.raises(FieldValueError) as error:
        message_codec.from_json(messages.Queue, data)
    refusal = error.value.to_api_error()
    assert refusal.message.endswith(message)
    assert refusal.details[0]["fieldViolations"][0]["description"] == refusal.message


@pytest.mark.parametrize("text", ["aGk_", "aGk/", "aGk=", "aGk"])
def test_both_base64_alphabets_are_read_padded_or_not(text: str) -> None:
    assert message_codec.from_json(messages.HttpRequest, {"body": text}).body.startswith(b"hi")


def test_original_field_names_numbers_as_text_and_null_are_read() -> None:
    data = {"max_attempts": "7", "min_backoff": "1.5s", "max_backoff": None, "maxDoublings": 3.0}
    read = message_codec.from_json(messages.RetryConfig, data)
    assert read == messages.RetryConfig(max_attempts=7, min_backoff=1_500_000, max_doublings=3)
