"""Error texts for an operator: the Google service, what failed and the command to run."""

from __future__ import annotations

from dataclasses import dataclass

_CREDENTIALS_ADVICE = (
    "On your machine run `scripts/setup-local-auth.sh`; "
    "for a deployed function run `scripts/doctor` to check its service account."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One Google service as this process reaches it.

    `role` names the IAM roles that the process needs, `provision` the command that creates a
    missing database, queue or bucket. `emulator` is the address of an emulator, `endpoint` a host
    to use instead of the client's default one; both are optional.
    """

    name: str
    api: str
    role: str
    provision: str
    emulator: str | None = None
    endpoint: str | None = None


def explain_error(service: Service, resource: str, code: str, details: str) -> str:
    """Describe a failed call: the cause, the command to run, then the service's own words.

    `resource` is the queue, database or bucket of the call. `code` is the name of a gRPC status,
    an HTTP status number, or "unreachable".
    """
    first_line = details.strip().split("\n", maxsplit=1)[0]
    cause = _explain_cause(service, resource, code, details.lower())
    return f"{cause} ({service.name} answered {code}: {first_line[:500]})"


def explain_missing_credentials(service: Service) -> str:
    """Describe the error of a process that has no Google credentials at all."""
    return f"No Google credentials were found to call {service.name}. {_CREDENTIALS_ADVICE}"


def _explain_cause(  # noqa: PLR0911 - one return a cause
    service: Service, resource: str, code: str, details: str
) -> str:
    """The cause and the command. `details` is in lower case."""
    if "requires an index" in details or "matching index" in details:
        return (
            f"{service.name} has no composite index for this query. Run `scripts/provision`, "
            "or open the URL at the end of this message to create it."
        )
    if "getting metadata from plugin failed" in details or code in {"UNAUTHENTICATED", "401"}:
        return (
            f"{service.name} rejected the credentials of this process; they may have expired. "
            f"{_CREDENTIALS_ADVICE}"
        )
    if "has not been used in project" in details or "service_disabled" in details:
        return (
            f"The API of {service.name} is not enabled in this project. Run `scripts/provision`, "
            f"or `gcloud services enable {service.api}`."
        )
    if code in {"PERMISSION_DENIED", "403"}:
        return (
            f"The account of this process may not use {resource} in {service.name}. It needs "
            f"{service.role}. Run `scripts/provision`, then `scripts/doctor`."
        )
    if code in {"NOT_FOUND", "404"} or "not a valid location" in details:
        return (
            f"There is no {resource} in {service.name}. Check the project and the location in the "
            f"settings; if they are right, run `{service.provision}` to create it."
        )
    if code in {"RESOURCE_EXHAUSTED", "429"}:
        return (
            f"A quota of {service.name} is used up. Retry later; "
            "run `scripts/doctor` to compare the quotas with what is needed."
        )
    if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "503", "unreachable"}:
        return _explain_unreachable(service)
    return (
        f"{service.name} refused a request for {resource}. "
        "Run `scripts/doctor` to check the configuration."
    )


def _explain_unreachable(service: Service) -> str:
    if service.emulator is not None:
        return (
            f"No {service.name} emulator answers at {service.emulator}. "
            "Start it: `scripts/dev --google-emulators`."
        )
    return (
        f"{service.name} cannot be reached at the moment. An outage of a few seconds needs no "
        "action; if it lasts, run `scripts/doctor`."
    )
