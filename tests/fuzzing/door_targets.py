"""Parsers of the other doors: forms, models' inputs, sockets, MCP, traces, stored texts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from fuzzing.target import NOW, Target, read_text
from taskreel import store_collections
from taskreel.adapters.encryption.sealed_fields import find_key_id, unseal
from taskreel.adapters.media.measure_content import _measure_script
from taskreel.adapters.providers.provider_webhooks import check_timestamp, read_operation_id
from taskreel.ports import Collection
from taskreel.web import mcp_server
from taskreel.web.http import read_request_id, read_trace
from taskreel.web.live.socket_cursor import choose_cursor, parse_cursor
from taskreel.web.mcp_tools import RefusedError
from taskreel.web.other_apis.form_parts import parse_form
from taskreel.web.other_apis.model_inputs import translate_input
from taskreel.web.other_apis.model_names import Service, find_model, list_models
from taskreel.web.other_apis.openai_edits import _read_fields
from taskreel_local.emulators.storage.downloads import _parse_range
from taskreel_local.emulators.storage.object_uploads import expected_checksums, parse_multipart
from taskreel_local.emulators.storage.signed_urls import SignedRequest, check_signed_url
from taskreel_local.emulators.storage.storage_errors import StorageError

SERVICES: tuple[Service, ...] = get_args(Service)
_DOCUMENTS = Path(__file__).parents[1] / "data" / "documents_2026_11_27.json"
_COLLECTIONS: Mapping[str, Collection[Any]] = {
    one.name: one for one in vars(store_collections).values() if isinstance(one, Collection)
}


def _load_json(data: bytes) -> Any:
    """The JSON value; None where it is none, or too deep to be read."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _read_form(data: bytes) -> None:
    """The head is the content type."""
    head, _, body = data.partition(b"\n\n")
    _read_fields(list(parse_form(head.decode("latin-1"), body)))


def _read_model_input(data: bytes) -> None:
    """The first byte chooses the model, of all services."""
    models = [one for service in SERVICES for one in list_models(service)]
    given = _load_json(data[1:])
    if data and isinstance(given, dict):
        translate_input(models[data[0] % len(models)], given)


def _find_model(data: bytes) -> None:
    for service in SERVICES:
        find_model(service, read_text(data))


def _read_socket(data: bytes) -> None:
    pid, _, offset = read_text(data).partition("\n")
    parse_cursor(pid)
    choose_cursor(pid, offset)


def _read_headers(data: bytes) -> None:
    traced, _, cloud = data.partition(b"\n")
    headers = {b"traceparent": traced, b"x-cloud-trace-context": cloud, b"x-request-id": traced}
    read_trace(headers)
    read_request_id(headers)


async def _refuse(*_: Any, **__: Any) -> Any:
    raise RefusedError({"detail": "no API is there"})


def _read_rpc(data: bytes) -> None:
    message = mcp_server._parse_message(data)
    if "method" in message:
        params = message.get("params") or {}
        asyncio.run(mcp_server._call_method(_refuse, message["method"], params))


def _read_event(data: bytes) -> None:
    seconds, _, body = data.partition(b"\n")
    read_operation_id(body, "data", "id")
    check_timestamp(read_text(seconds), NOW)


def _read_script(data: bytes) -> None:
    _measure_script(read_text(data))


def _unseal(data: bytes) -> None:
    text = read_text(data)
    find_key_id(text)
    unseal(b"k" * 32, ("jobs", "job_1"), text)


def _restore_times(found: dict[str, Any]) -> Any:
    return datetime.fromisoformat(found["$time"]) if found.keys() == {"$time"} else found


def _read_document(data: bytes) -> None:
    """A stored document of the collection that its first line names."""
    name, _, text = data.partition(b"\n")
    collection = _COLLECTIONS.get(read_text(name))
    try:
        found = json.loads(text, object_hook=_restore_times)
    except (ValueError, TypeError, RecursionError):
        return
    if collection is not None and isinstance(found, dict):
        collection.read("an-id", found)


def _read_object(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    parse_multipart(head.decode("latin-1"), body)
    expected_checksums(head.decode("latin-1"))


def _read_link(data: bytes) -> None:
    query, _, wanted = read_text(data).partition("\n")
    _parse_range(wanted, 100)
    check_signed_url(SignedRequest("GET", "/b/a", query, {"host": "a"}), None, NOW)


def _list_documents() -> list[bytes]:
    """One stored document of each collection."""
    written: dict[str, dict[str, Any]] = json.loads(_DOCUMENTS.read_bytes())
    return [
        f"{name}\n{json.dumps(next(iter(rows.values())))}".encode()
        for name, rows in written.items()
    ]


_FORM = (
    b'multipart/form-data; boundary=x\n\n--x\r\ncontent-disposition: form-data; name="n"\r\n\r\n2'
    b'\r\n--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n'
    b"content-type: image/png\r\n\r\na\r\n--x--\r\n"
)
_OBJECT = (
    b'multipart/related; boundary="x"\n\n--x\ncontent-type: application/json\n\n{"name": "a"}\n'
    b"--x\ncontent-type: image/png\n\nabc\n--x--"
)
_CALL = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_jobs", '
    b'"arguments": {"status": "FAILED"}}}'
)
_LINK = (
    b"X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=a%2F20261127%2Fauto&"
    b"X-Goog-Date=20261127T093000Z&X-Goog-Expires=60&X-Goog-SignedHeaders=host&"
    b"X-Goog-Signature=00\nbytes=0-9"
)
DOOR_TARGETS: dict[str, Target] = {
    "form": Target(_read_form, [_FORM, b"multipart/form-data\n\n", b"\n\n"]),
    "model-input": Target(
        _read_model_input,
        [
            b'\1{"prompt": "a kite", "image_size": {"width": 64, "height": 64}, "num_images": 2}',
            b'\x20{"prompt": "a kite", "aspect_ratio": "16:9", "duration": "5s"}',
            b'\x40{"text": "hello", "voice": "ada", "output_format": "mp3_44100_128"}',
        ],
    ),
    "model-name": Target(_find_model, [b"fal-ai/flux/dev", b"black-forest-labs/flux-2-pro", b"/"]),
    "socket": Target(
        _read_socket,
        [b"own@12.1764235000000.job_a~jobId:job_y@1.2.job_y#00aa\nown@12.1764235000001.job_b"],
    ),
    "headers": Target(
        _read_headers,
        [b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n4bf92f35/1;o=1"],
    ),
    "mcp": Target(
        _read_rpc,
        [
            b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}',
            _CALL,
        ],
        (mcp_server._RpcError,),
    ),
    "script": Target(
        _read_script,
        [
            b'{"scenes": [{"duration": 2.5, "speaker": "ada", "dialogue": [{"speaker": "bob"}]}]}',
            b"INT. KITCHEN - DAY\n\nADA\nIs it done?\n",
        ],
    ),
    "provider-event": Target(_read_event, [b'1795771800\n{"data": {"id": "a"}}']),
    "sealed": Target(
        _unseal, [b"1.key.aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8=", b"1..", b"."], (ValueError,)
    ),
    "document": Target(_read_document, _list_documents()),
    "object": Target(
        _read_object,
        [
            _OBJECT,
            _OBJECT.replace(b'{"name": "a"}', b"[1]"),
            _OBJECT.replace(b"image/png", b"image/\xff"),
        ],
        (StorageError,),
    ),
    "signed-link": Target(
        _read_link,
        [
            _LINK,
        ],
        (StorageError,),
    ),
}
