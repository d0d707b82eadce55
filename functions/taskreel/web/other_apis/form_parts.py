"""The parts of a multipart body (RFC 7578), which is in memory: clients send small files in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from taskreel.domain.errors import MalformedError


@dataclass(frozen=True, slots=True)
class FormPart:
    """A field of a form; a file where it has a file's name."""

    name: str
    filename: str | None
    content_type: str
    content: bytes


def parse_form(content_type: str, body: bytes) -> Iterator[FormPart]:
    """The parts, in their order. Raises MalformedError for a body of another kind."""
    boundary = _parse_header(content_type).get_param("boundary")
    if not content_type.lower().startswith("multipart/form-data") or not boundary:
        raise MalformedError("The body must be multipart/form-data with a boundary.")
    delimiter = f"\r\n--{boundary}".encode()
    for section in (b"\r\n" + body).split(delimiter)[1:]:
        head, separator, content = section.partition(b"\r\n\r\n")
        if not separator:
            continue
        # Names are in UTF-8 (RFC 7578, 5.1), which headers of mail are not.
        headers = HeaderParser().parsestr(head.lstrip().decode(errors="replace"))
        name = headers.get_param("name", header="content-disposition")
        if isinstance(name, str):
            yield FormPart(name, headers.get_filename(), headers.get_content_type(), content)


def _parse_header(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message
