"""The API of uploads: announce a file, PUT its bytes to the URL, name it in a job."""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.jobs import uploads as use_cases
from taskreel.app.jobs.uploads import NewUpload
from taskreel.domain.upload import Upload
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated, json_body

router = APIRouter(prefix="/api/uploads", tags=["uploads"])


class UploadOrder(Value):
    """A file that you are about to upload. Its content is compared with this when it is used."""

    name: str = Field(min_length=1, max_length=200)
    content_type: str = Field(
        pattern=r"^(image|video|audio)/[a-z0-9.+-]{1,60}$|^text/plain$",
        examples=["image/png", "video/mp4", "audio/mpeg", "text/plain"],
    )
    bytes: int = Field(ge=1, strict=True)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


class UploadView(View):
    """An upload; `reference` is an input of a job. `uploadUrl` takes the bytes once, by PUT."""

    upload_id: str
    reference: str
    name: str
    content_type: str
    bytes: int
    sha256: str | None = Field(exclude_if=is_absent)
    #: Shown when it is created.
    upload_url: str | None = Field(default=None, exclude_if=is_absent)
    #: True when the whole file has arrived.
    received: bool
    expires_at: datetime


class UploadPage(View):
    """Uploads, newest first; pass `nextCursor` as `cursor` to get the next page."""

    uploads: list[UploadView]
    next_cursor: str | None


@router.post(
    "",
    status_code=201,
    summary="Announce a file to upload",
    response_model=UploadView,
    responses=document_problems("conflict"),
    openapi_extra=document_body(
        UploadOrder, {"name": "cat.png", "contentType": "image/png", "bytes": 482_113}
    ),
)
async def create_upload(
    request: Request,
    context: Authenticated,
    order: Annotated[UploadOrder, json_body(UploadOrder)],
) -> Response:
    """PUT exactly `bytes` bytes to `uploadUrl` within a day, and name `reference` in a job.

    On Cloud Storage the URL is that of a resumable upload: a transfer that was cut can go on.
    """
    check_query(request)
    wanted = NewUpload(
        name=order.name,
        content_type=order.content_type,
        bytes=order.bytes,
        sha256=order.sha256,
        origin=request.headers.get("origin"),
    )
    upload, url = await use_cases.create_upload(context.services, context.caller, wanted)
    view = build_upload_view(upload, received=False, url=url)
    return JsonResponse(view, HTTPStatus.CREATED)


@router.get("", summary="Your uploads", response_model=UploadPage)
async def list_uploads(
    request: Request,
    context: Authenticated,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Response:
    """Those that have not expired, newest first."""
    check_query(request, "limit", "cursor")
    services = context.services
    page = await use_cases.list_uploads(services, context.caller, limit=limit, cursor=cursor)
    received = await asyncio.gather(*(use_cases.is_received(services, one) for one in page.rows))
    views = [
        build_upload_view(upload, received=there)
        for upload, there in zip(page.rows, received, strict=True)
    ]
    return JsonResponse(UploadPage(uploads=views, next_cursor=page.cursor))


@router.get("/{upload_id}", summary="An upload", response_model=UploadView)
async def read_upload(request: Request, upload_id: str, context: Authenticated) -> Response:
    """`received` tells when its file has arrived."""
    check_query(request)
    upload = await use_cases.find_upload(context.services, context.caller, upload_id)
    received = await use_cases.is_received(context.services, upload)
    return JsonResponse(build_upload_view(upload, received=received))


@router.delete("/{upload_id}", summary="Delete an upload and its file", response_model=UploadView)
async def delete_upload(request: Request, upload_id: str, context: Authenticated) -> Response:
    """Jobs that have not read it yet fail."""
    check_query(request)
    upload = await use_cases.delete_upload(context.services, context.caller, upload_id)
    return JsonResponse(build_upload_view(upload, received=False))


def build_upload_view(upload: Upload, *, received: bool, url: str | None = None) -> UploadView:
    """The view of an upload."""
    return UploadView(
        upload_id=upload.upload_id,
        reference=upload.reference,
        name=upload.name,
        content_type=upload.content_type,
        bytes=upload.bytes,
        sha256=upload.sha256,
        upload_url=url,
        received=received,
        expires_at=upload.expire_at,
    )
