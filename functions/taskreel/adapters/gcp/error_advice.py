"""What an answer of a Google service means to the person who must mend it: one sentence, with the command."""

from __future__ import annotations

from dataclasses import dataclass

_CREDENTIALS = "Run `scripts/setup-local-auth.sh` (at home) or check the service account of the function (`scripts/doctor`)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One Google service as this process reaches it; `emulator` is the address of a stand-in, if any."""

    name: str
    api: str
    role: str
    #: The command that makes what the service is missing: its database, queue or bucket.
    provision: str
    emulator: str | None = None


def advice(service: Service, what: str, code: str, details: str) -> str:
    """What happened and what to do about it.

    `what` is the queue, database or bucket that was asked for, `code` a gRPC status name or an HTTP status number.
    """
    text = details.strip().split("\n", maxsplit=1)[0]
    return f"{_advice(service, what, code, details)} ({service.name} said {code}: {text[:500]})"


def _advice(service: Service, what: str, code: str, details: str) -> str:  # noqa: PLR0911 - one return a cause
    said = details.lower()
    if "requires an index" in said or "matching index" in said:
        return "A composite index is missing. Run `scripts/provision`, or open the URL below to create it."
    if "getting metadata from plugin failed" in said or code in {"UNAUTHENTICATED", "401"}:
        return f"{service.name} does not accept these credentials; they may have expired. {_CREDENTIALS}"
    if "has not been used in project" in said or "service_disabled" in said:
        return f"The API is not enabled. Run `scripts/provision`, or `gcloud services enable {service.api}`."
    if code in {"PERMISSION_DENIED", "403"}:
        return f"This account may not do that: it needs {service.role}. Run `scripts/provision`, then `scripts/doctor`."
    if code in {"NOT_FOUND", "404"} or "not a valid location" in said:
        return (
            f"There is no {what}. If its project and location are right, run `{service.provision}`."
        )
    if code in {"RESOURCE_EXHAUSTED", "429"}:
        return f"A quota of {service.name} is used up. See `scripts/doctor` for the quotas; retry later."
    if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "503", "unreachable"}:
        return _unreachable(service)
    return f"{service.name} refused the request. Run `scripts/doctor`."


def _unreachable(service: Service) -> str:
    if service.emulator is not None:
        return f"No {service.name} emulator answers at {service.emulator}. Start it: `scripts/dev --google-emulators`."
    return f"{service.name} cannot be reached now. Nothing is to be mended if this passes; otherwise run `scripts/doctor`."


def without_credentials(service: Service) -> str:
    """What to say when no credentials were found at all."""
    return f"There are no Google credentials to call {service.name} with. {_CREDENTIALS}"
