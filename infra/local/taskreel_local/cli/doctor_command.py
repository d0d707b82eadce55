"""`taskreel doctor`: check what the commands need, and the API that they call."""

from __future__ import annotations

import base64
import binascii
import json
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.profiles import profiles_file


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of a check; `advice` is what to do about a problem."""

    name: str
    ok: bool
    found: str
    advice: str = ""


@click.command("doctor")
@connected
def run_checks(session: Session) -> None:
    """Check your profile, its token, and the API: health, queues and providers.

    The exit status is 1 if something is wrong. scripts/doctor checks a cloud project as a whole.
    """
    checks = [_check_python(), _check_profiles(), *_check_api(session)]
    session.show(
        {"checks": [asdict(one) for one in checks]}, lambda: _print_checks(session, checks)
    )
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


def _print_checks(session: Session, checks: list[Check]) -> None:
    from rich.text import Text

    for check in checks:
        mark = Text("ok     " if check.ok else "wrong  ", style="green" if check.ok else "red")
        session.console.print(mark, f"{check.name}: {check.found}", sep="", soft_wrap=True)
        if not check.ok and check.advice:
            session.console.print(f"       {check.advice}", soft_wrap=True)


def _check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", sys.version_info >= (3, 11), version, "Taskreel needs Python 3.11.")


def _check_profiles() -> Check:
    """The file with the tokens is its owner's alone."""
    path = profiles_file()
    if not path.exists():
        return Check("profiles", ok=True, found="none; taskreel login makes them")
    mode = stat.S_IMODE(path.stat().st_mode)
    private = not mode & 0o077
    return Check("profiles", private, f"{path}, mode {mode:04o}", f"chmod 600 {path}")


def _check_api(session: Session) -> list[Check]:
    """The API, as far as it can be reached."""
    import httpx

    from taskreel.client import ApiError

    try:
        target = session.target
    except click.ClickException as error:
        return [Check("API", ok=False, found="none", advice=error.message)]
    checks = [
        Check("API", ok=True, found=f"{target.url} ({target.name})"),
        check_token(target.token),
    ]
    try:
        started = time.perf_counter()
        account = session.client.account()
        took = (time.perf_counter() - started) * 1000
    except ApiError as error:
        advice = "taskreel login" if error.status == httpx.codes.UNAUTHORIZED else ""
        return [*checks, Check("account", ok=False, found=str(error), advice=advice)]
    except httpx.TransportError as error:
        return [*checks, Check("account", ok=False, found=str(error), advice=target.advice)]
    found = f"{account.user_id}, {account.available:,} credits available, answered in {took:.0f} ms"
    checks.append(Check("account", ok=True, found=found))
    reads = (_check_health, _check_queues, _check_providers)
    return [*checks, *(_guard(session, read) for read in reads)]


def _guard(session: Session, read: Callable[[Session], Check]) -> Check:
    from taskreel.client import ApiError

    try:
        return read(session)
    except ApiError as error:
        return Check(read.__name__.removeprefix("_check_"), ok=False, found=str(error))


def check_token(token: str) -> Check:
    """The token's claims and its end. Its signature is the server's to check."""
    try:
        part = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return Check("token", ok=True, found="its claims cannot be read here")
    rest_seconds = float(claims.get("exp", time.time() + 1)) - time.time()
    role = f", role {claims['role']}" if claims.get("role") else ""
    if rest_seconds <= 0:
        return Check(
            "token", ok=False, found=f"of {claims.get('sub')}, expired", advice="taskreel login"
        )
    from taskreel_local.cli.text_output import format_seconds

    ends = f", valid for {format_seconds(rest_seconds)}" if "exp" in claims else ", without an end"
    return Check("token", ok=True, found=f"of {claims.get('sub')}{role}{ends}")


def _check_health(session: Session) -> Check:
    from taskreel.client import ApiError

    try:
        found = session.call("GET", "/api/jobs/health")
    except ApiError as error:  # 503 with the same report: unhealthy
        if "reasons" not in error.problem:
            raise
        found = error.problem
    reasons = "; ".join(found["reasons"])
    text = f"{found['status']}{f': {reasons}' if reasons else ''}"
    return Check("health", found["status"] == "healthy", text, "taskreel queues; taskreel top")


def _check_queues(session: Session) -> Check:
    queues = session.call("GET", "/api/jobs/queues/stats")["queues"]
    paused = [one["jobType"] for one in queues if one["queue"]["paused"]]
    if not paused:
        return Check("queues", ok=True, found=f"all {len(queues)} run")
    advice = f"taskreel queues resume {paused[0]}"
    return Check("queues", ok=False, found=f"paused: {', '.join(paused)}", advice=advice)


def _check_providers(session: Session) -> Check:
    providers = session.call("GET", "/api/providers")["providers"]
    stopped = [
        f"{one['provider']} {model['name']}"
        for one in providers
        for model in one["models"]
        if model["breaker"]["state"] == "open"
    ]
    if stopped:
        return Check(
            "providers",
            ok=False,
            found=f"stopped: {', '.join(stopped)}",
            advice="taskreel providers",
        )
    advice = "Set a provider's key: infra/README.md"
    # Those in-house have no key to set.
    paid = [one for one in providers if one.get("keyVariable")]
    keyed = [one for one in paid if one["configured"]]
    stand_ins = {one["servedBy"] for one in paid if one["servedBy"] and not one["configured"]}
    found = f"{len(keyed)} of {len(paid)} have a key"
    found += f"; {', '.join(sorted(stand_ins))} stands in for the others" if stand_ins else ""
    ending = [text for one in providers if one["configured"] for text in one.get("warnings", ())]
    found += f"; warning: {'; '.join(ending)}" if ending else ""
    return Check("providers", bool(keyed or stand_ins), found, advice)
