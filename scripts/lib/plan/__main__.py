"""`python -m plan PART [NAME] --project … --location … < found.json`: the steps, or with a `list-` part, names."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import accounts, firestore, parts, queues, services
from .step import Step
from .target import Target


@dataclass(frozen=True, slots=True)
class Asked:
    """What the shell asks for, and what it found."""

    target: Target
    name: str
    found: Any
    flags: frozenset[str]

    @property
    def local(self) -> bool:
        """The account of local development instead of the functions' accounts."""
        return "local" in self.flags

    @property
    def rows(self) -> list[Any]:
        """A listing; empty when there is nothing to list yet."""
        return self.found or []


def _queues(asked: Asked) -> Iterable[Step]:
    return queues.steps(
        asked.target,
        asked.rows,
        asked.target.declared("queues.yaml"),
        resume="resume" in asked.flags,
    )


def _services(asked: Asked) -> Iterable[Step]:
    found = asked.found or {}
    return services.services(
        asked.target,
        found["services"] or [],
        parts.secret_names(found["secrets"] or []),
        force="force" in asked.flags,
    )


def _scheduler(asked: Asked) -> Iterable[Step]:
    # The key comes in the environment: a process list must not show it.
    return parts.scheduler(asked.target, asked.rows, asked.target.variables.get("KEY_IN_USE", ""))


#: PART → what it plans.
PLANS: Mapping[str, Callable[[Asked], Iterable[Step]]] = {
    "apis": lambda asked: parts.apis(asked.target, asked.rows),
    "role": lambda asked: accounts.roles(asked.target, asked.found),
    "accounts": lambda asked: accounts.accounts(asked.target, asked.rows, local=asked.local),
    "project-policy": lambda asked: accounts.project_bindings(
        asked.target, asked.found, local=asked.local
    ),
    "account-policy": lambda asked: accounts.account_bindings(
        asked.target, asked.found, asked.name, local=asked.local
    ),
    "impersonation": lambda asked: accounts.impersonation(asked.target, asked.found, asked.name),
    "bucket": lambda asked: parts.bucket(asked.target, asked.found),
    "bucket-policy": lambda asked: accounts.bucket_bindings(
        asked.target, asked.found, local=asked.local
    ),
    "database": lambda asked: firestore.database(asked.target, asked.rows),
    "indexes": lambda asked: firestore.indexes(asked.target, asked.rows),
    "fields": lambda asked: firestore.fields(asked.target, asked.rows),
    "secrets": lambda asked: parts.secrets(asked.target, asked.rows),
    "secret-policy": lambda asked: accounts.secret_bindings(asked.target, asked.found, asked.name),
    "queues": _queues,
    "scheduler": _scheduler,
    "services": _services,
    "quota": lambda asked: services.quota(asked.target, asked.found, asked.name),
    "service-policy": lambda asked: accounts.service_bindings(
        asked.target, asked.found, asked.name
    ),
}


def _secrets_in_use(asked: Asked) -> Iterable[str]:
    """Declared secrets that exist or are about to."""
    existing = parts.secret_names(asked.rows)
    for env, secret in asked.target.secrets.items():
        if secret["name"] in existing or secret.get("generate") or asked.target.variables.get(env):
            yield secret["name"]


#: `list-…` → names, one a line.
LISTS: Mapping[str, Callable[[Asked], Iterable[str]]] = {
    "list-accounts": lambda asked: accounts.accounts_with_policy(asked.target, local=asked.local),
    "list-secrets": _secrets_in_use,
    "list-queues": lambda asked: queues.settings(asked.target.declared("queues.yaml")),
    "list-called": lambda asked: sorted(
        {
            service
            for account in accounts.declared_accounts(asked.target, local=False).values()
            for service in account.get("services", {})
        }
    ),
    "list-settings": lambda asked: services.settings(asked.rows),
    "list-services": lambda asked: services.declared(asked.target),
    "list-schedules": lambda asked: asked.target.declared("scheduler.yaml")["jobs"],
    "value-url": lambda asked: [asked.target.url(asked.name)],
    "value-email": lambda asked: [asked.target.email(asked.name)],
}


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="plan", description=__doc__)
    parser.add_argument("part", choices=[*PLANS, *LISTS])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--project", required=True)
    parser.add_argument("--location", required=True)
    parser.add_argument("--number", default="")
    for flag in ("local", "resume", "force"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args()
    target = Target(
        project=options.project,
        location=options.location,
        number=options.number or "PROJECT_NUMBER",
        infra=Path(os.environ.get("TASKREEL_INFRA") or "infra"),
        source=Path(os.environ.get("TASKREEL_SOURCE") or "functions"),
        variables=os.environ,
    )
    flags = frozenset(flag for flag in ("local", "resume", "force") if getattr(options, flag))
    found = json.loads(("" if sys.stdin.isatty() else sys.stdin.read()) or "null")
    asked = Asked(target, options.name, found, flags)
    try:
        if options.part in PLANS:
            sys.stdout.writelines(step.record() for step in PLANS[options.part](asked))
        else:
            sys.stdout.writelines(f"{name}\n" for name in LISTS[options.part](asked))
    except queues.QueuesFileError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
