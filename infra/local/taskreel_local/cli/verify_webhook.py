"""`taskreel webhooks verify`: tell if a received request was sent by Taskreel, unchanged."""

from __future__ import annotations

import base64
import hmac
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.completions import ENDPOINT

_PUBLIC = "whpk_"


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A received request: its headers in lower case, and its body as it came."""

    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> ReceivedRequest:
        """Parse a request as it was on the wire, with or without its first line."""
        head, separator, body = raw.partition(b"\r\n\r\n")
        if not separator:
            head, separator, body = raw.partition(b"\n\n")
        headers = parse_headers(head.decode("latin-1").splitlines())
        size = headers.get("content-length", "")
        return cls(headers, body[: int(size)] if size.isdecimal() else body)


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """Headers by their names in lower case."""
    pairs = (line.partition(":") for line in lines)
    # The request's first line has a colon only in its URL, never behind a plain name.
    return {
        name.strip().lower(): value.strip()
        for name, colon, value in pairs
        if colon and " " not in name.strip()
    }


@click.command("verify")
@click.argument("file", metavar="[FILE]", default="-", type=click.Path(path_type=Path))
@click.option("--key", "keys", multiple=True, help="whsec_… or whpk_…; repeatable.")
@click.option(
    "--endpoint", "endpoint_id", shell_complete=ENDPOINT, help="Ask the API for its keys."
)
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="FILE is the body.")
@click.option("--max-age", default=300, show_default=True, help="Seconds; 0 allows any age.")
@connected
def verify_webhook(
    session: Session,
    file: Path,
    keys: tuple[str, ...],
    endpoint_id: str | None,
    headers: tuple[str, ...],
    max_age: int,
) -> None:
    """Tell if a received request was sent by Taskreel. The exit status is 1 if it was not.

    FILE, or the standard input, has the request as it came: headers, an empty line, the body. With
    --header it has the body alone. With --key no server is needed.

    \b
    Examples:
      taskreel webhooks verify --key whsec_… request.txt
      taskreel webhooks verify --endpoint default --max-age 0 body.json \\
        --header "webhook-id: …" --header "webhook-timestamp: …" --header "webhook-signature: …"
    """
    raw = _read(file)
    request = (
        ReceivedRequest(parse_headers(headers), raw) if headers else ReceivedRequest.parse(raw)
    )
    if endpoint_id is not None:
        keys = (*keys, *_read_keys(session, endpoint_id))
    if not keys:
        raise click.UsageError("Give --key, or --endpoint to ask the API for its keys.")
    reason = find_fault(request, keys, max_age_seconds=max_age)
    answer = {"valid": reason is None, "reason": reason, "id": request.headers.get("webhook-id")}
    session.show(
        answer,
        lambda: click.echo(
            f"The request {answer['id']} is genuine." if reason is None else f"Refuse it: {reason}"
        ),
    )
    if reason is not None:
        raise click.exceptions.Exit(1)


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from None


def _read_keys(session: Session, endpoint_id: str) -> list[str]:
    found = session.call("GET", f"/api/webhook-endpoints/{endpoint_id}/keys")
    return [key.get("secret") or key["publicKey"] for key in found["keys"]]


def find_fault(
    request: ReceivedRequest, keys: Sequence[str], *, max_age_seconds: int
) -> str | None:
    """The reason why a receiver has to refuse the request; None if it is genuine."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    missing = [name for name in names if not request.headers.get(name)]
    if missing:
        return f"it has no {' and no '.join(missing)} header"
    stamp = request.headers["webhook-timestamp"]
    if not stamp.isdecimal():
        return "its webhook-timestamp is not a time in seconds"
    if not any(_is_signed(request, key) for key in keys):
        return "no signature is of this key, or the body is not as it was sent"
    age = time.time() - int(stamp)
    if max_age_seconds and abs(age) > max_age_seconds:
        return (
            f"its signature is right, but it was sent {abs(age):,.0f} seconds "
            f"{'ago' if age > 0 else 'in the future'}: it may be a repeated old message"
        )
    return None


def _is_signed(request: ReceivedRequest, key: str) -> bool:
    """True if one of the signatures is of this key."""
    from standardwebhooks.webhooks import EmptyWebhookSecretError

    version = "v1a" if key.startswith(_PUBLIC) else "v1"
    given = [
        signature
        for kind, _, signature in (
            one.partition(",") for one in request.headers["webhook-signature"].split()
        )
        if kind == version
    ]
    try:
        if version == "v1a":
            return any(_is_signed_ed25519(request, key, one) for one in given)
        expected = _sign(request, key)
    except (ValueError, EmptyWebhookSecretError):
        raise click.UsageError(f"{key[:8]}… is not a key: it is whsec_… or whpk_…") from None
    return any(hmac.compare_digest(expected, one) for one in given)


def _sign(request: ReceivedRequest, key: str) -> str:
    from standardwebhooks.webhooks import Webhook

    sent = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    # The library signs texts; a body of ours is JSON in UTF-8.
    body = request.body.decode("utf-8", "surrogateescape")
    signed = Webhook(key).sign(request.headers["webhook-id"], sent, body)
    return signed.partition(",")[2]


def _is_signed_ed25519(request: ReceivedRequest, key: str, signature: str) -> bool:
    """True for a signature of the key's other half: the library knows shared secrets alone."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix(_PUBLIC)))
    headers: Any = request.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    try:
        public.verify(base64.b64decode(signature), content)
    except InvalidSignature:
        return False
    return True
