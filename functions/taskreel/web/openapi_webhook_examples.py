"""Examples of the responses of webhooks and uploads in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from taskreel.domain.webhook_events import FINAL_EVENTS
from taskreel.web.uploads import UploadPage, UploadView
from taskreel.web.webhook_views import (
    DeliveryPage,
    DeliveryView,
    EndpointPage,
    EndpointView,
    KeysView,
    KeyView,
    SentAgainView,
    TryView,
)

_CREATED = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
_ENDPOINT_ID = "whe_2b4d6f8h3j5k7m9n2p4r6t8v3x"
_URL = "https://example.com/hooks/taskreel"
_JOB_ID = "job_4k7m2xq9w3r5t8v6b2n4c6z8a1"


def _build_keys() -> list[KeyView]:
    key = KeyView(
        signature="v1",
        secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",  # noqa: S106 - no real one
        public_key=None,
        created_at=_CREATED,
        expires_at=None,
    )
    return [key]


def _build_endpoint() -> EndpointView:
    return EndpointView(
        endpoint_id=_ENDPOINT_ID,
        user_id="ada",
        url=_URL,
        events=list(FINAL_EVENTS),
        project_id=None,
        description=None,
        state="enabled",
        disabled_reason=None,
        disabled_at=None,
        failing_since=None,
        resting_until=None,
        keys=_build_keys(),
        created_at=_CREATED,
        updated_at=_CREATED,
    )


def _build_delivery() -> DeliveryView:
    made = TryView(at=_CREATED, url=_URL, status=204, error=None, body="", milliseconds=87)
    return DeliveryView(
        delivery_id="msg_6c8e2g4i6k8m2o4q6s8u2w4y6a",
        endpoint_id=_ENDPOINT_ID,
        event="job.completed",
        job_id=_JOB_ID,
        state="succeeded",
        reason=None,
        attempt=1,
        next_try_at=None,
        body=f'{{"type":"job.completed","data":{{"jobId":"{_JOB_ID}"}}}}',
        tries=[made],
        created_at=_CREATED - timedelta(seconds=1),
    )


def _build_upload() -> UploadView:
    return UploadView(
        upload_id="upl_3c5e7g2i4k6m2o4q6s2u4w6y2a",
        reference="upload:upl_3c5e7g2i4k6m2o4q6s2u4w6y2a",
        name="cat.png",
        content_type="image/png",
        bytes=482_113,
        sha256=None,
        upload_url="https://storage.googleapis.com/upload/storage/v1/b/example/o?upload_id=AB3",
        received=False,
        expires_at=_CREATED,
    )


#: Name of a response's schema → its example.
WEBHOOK_EXAMPLES: Mapping[str, Callable[[], BaseModel]] = {
    "DeliveryPage": lambda: DeliveryPage(deliveries=[_build_delivery()], next_cursor=None),
    "DeliveryView": _build_delivery,
    "EndpointPage": lambda: EndpointPage(
        endpoints=[_build_endpoint().model_copy(update={"keys": None})], next_cursor=None
    ),
    "EndpointView": _build_endpoint,
    "KeysView": lambda: KeysView(keys=_build_keys()),
    "UploadPage": lambda: UploadPage(
        uploads=[_build_upload().model_copy(update={"upload_url": None})], next_cursor=None
    ),
    "UploadView": _build_upload,
    "SentAgainView": lambda: SentAgainView(sent=12, skipped=0, more=False),
}
