"""Verification of V4 signed URLs, by the rules of the service, with the signer's public key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from taskreel_local.emulators.storage.storage_errors import StorageError

_ALGORITHM = "GOOG4-RSA-SHA256"
_LONGEST = timedelta(days=7)
_CLOCK_SKEW = timedelta(minutes=15)
_FIELDS = (
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-SignedHeaders",
    "X-Goog-Signature",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The signed parts of a request. The path is percent-encoded; header names are lower case."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]


def check_signed_url(
    request: SignedRequest, public_key: RSAPublicKey | None, now: datetime
) -> None:
    """Raise StorageError unless the URL is signed, valid now and used as signed.

    Without a public key the signature itself is not verified.
    """
    pairs = parse_qsl(request.query, keep_blank_values=True)
    params = dict(pairs)
    missing = [name for name in _FIELDS if name not in params]
    if missing:
        raise StorageError(
            400, f"Missing query parameters: {', '.join(missing)}.", "AuthenticationRequired"
        )
    if params["X-Goog-Algorithm"] != _ALGORITHM:
        raise StorageError(400, f"Only {_ALGORITHM} is accepted.", "AuthenticationRequired")
    _check_time(params, now)
    _check_headers(params, request.headers)
    if public_key is not None:
        _check_signature(request, pairs, params, public_key)


def _check_time(params: Mapping[str, str], now: datetime) -> None:
    try:
        begins = datetime.strptime(params["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lasts = timedelta(seconds=int(params["X-Goog-Expires"]))
    except (ValueError, OverflowError):
        raise StorageError(
            400, "X-Goog-Date or X-Goog-Expires is malformed.", "InvalidArgument"
        ) from None
    if not timedelta(0) <= lasts <= _LONGEST:
        raise StorageError(
            400,
            "X-Goog-Expires must be at most 604800 seconds.",
            "AuthorizationQueryParametersError",
        )
    if params["X-Goog-Credential"].split("/")[1:2] != [params["X-Goog-Date"][:8]]:
        raise StorageError(
            400,
            "X-Goog-Credential and X-Goog-Date name different days.",
            "AuthorizationQueryParametersError",
        )
    if now < begins - _CLOCK_SKEW:
        raise StorageError(403, "The URL is not valid yet.", "RequestTimeTooSkewed")
    if now >= begins + lasts:
        raise StorageError(
            400,
            "The provided token has expired. "
            f"Request signature expired at: {begins + lasts:%Y-%m-%dT%H:%M:%S%z}",
            "ExpiredToken",
        )


def _check_headers(params: Mapping[str, str], headers: Mapping[str, str]) -> None:
    signed = params["X-Goog-SignedHeaders"].split(";")
    absent = [name for name in signed if name not in headers]
    unsigned = [name for name in headers if name.startswith("x-goog-") and name not in signed]
    if "host" not in signed or absent:
        raise StorageError(
            400,
            f"Signed headers missing from the request: {', '.join(absent) or 'host'}.",
            "MalformedSecurityHeader",
        )
    if unsigned:
        raise StorageError(
            400,
            f"Your request has headers that are not signed: {', '.join(unsigned)}.",
            "MalformedSecurityHeader",
        )


def _check_signature(
    request: SignedRequest,
    pairs: list[tuple[str, str]],
    params: Mapping[str, str],
    public_key: RSAPublicKey,
) -> None:
    digest = hashlib.sha256(
        _canonical_request(request, pairs, params["X-Goog-SignedHeaders"]).encode()
    ).hexdigest()
    scope = params["X-Goog-Credential"].partition("/")[2]
    signed = "\n".join([_ALGORITHM, params["X-Goog-Date"], scope, digest])
    try:
        public_key.verify(
            bytes.fromhex(params["X-Goog-Signature"]), signed.encode(), PKCS1v15(), SHA256()
        )
    except (InvalidSignature, ValueError):
        raise StorageError(
            403,
            "Access denied. The request signature we calculated does not match "
            "the signature you provided.",
            "SignatureDoesNotMatch",
        ) from None


def _canonical_request(
    request: SignedRequest, pairs: list[tuple[str, str]], signed_headers: str
) -> str:
    """Return the canonical request, over which both sides compute the signature."""
    encoded = sorted(
        (_percent_encode(name), _percent_encode(value))
        for name, value in pairs
        if name != "X-Goog-Signature"
    )
    query = "&".join(f"{name}={value}" for name, value in encoded)
    headers = "".join(
        f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed_headers.split(";")
    )
    payload = request.headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    return f"{request.method}\n{request.raw_path}\n{query}\n{headers}\n{signed_headers}\n{payload}"


def _percent_encode(text: str) -> str:
    return quote(text, safe="-_.~")
