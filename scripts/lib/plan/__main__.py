"""`python -m plan PART [NAME] --project … --location … < found.json`.

Prints the steps of a part as shell, or with a `list-` or `value-` part names and values.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import (
    account_steps,
    encryption_steps,
    firestore_steps,
    queue_steps,
    resource_steps,
    service_steps,
)
from .step import Step
from .target import LifecycleFileError, Target

#: Options of the scripts that change a plan.
FLAGS = ("local", "resume", "force", "adopt", "all-users", "delete-retired")


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The arguments of one plan, and the state that the shell read with gcloud."""

    target: Target
    name: str
    found: Any
    flags: frozenset[str]

    @property
    def local(self) -> bool:
        """True to plan the account of local development instead of the functions' accounts."""
        return "local" in self.flags

    @property
    def adopt(self) -> bool:
        """True to take over resources that carry no mark of ours."""
        return "adopt" in self.flags

    @property
    def rows(self) -> list[Any]:
        """The state as a list; empty if nothing exists yet."""
        return self.found or []


def _plan_queues(request: PlanRequest) -> Iterable[Step]:
    return queue_steps.plan_queues(
        request.target,
        request.rows,
        request.target.declared("queues.yaml"),
        resume="resume" in request.flags,
        adopt=request.adopt,
        delete_retired="delete-retired" in request.flags,
    )


def _plan_services(request: PlanRequest) -> Iterable[Step]:
    found = request.found or {}
    return service_steps.plan_services(
        request.target,
        found["services"] or [],
        resource_steps.secret_names(found["secrets"] or []),
        force="force" in request.flags,
        adopt=request.adopt,
        all_users="all-users" in request.flags,
    )


def _plan_scheduler(request: PlanRequest) -> Iterable[Step]:
    # The key is passed in the environment, so that no process list shows it.
    return resource_steps.plan_scheduler(
        request.target,
        request.rows,
        request.target.variables.get("KEY_IN_USE", ""),
        adopt=request.adopt,
    )


#: PART → its plan.
PLANS: Mapping[str, Callable[[PlanRequest], Iterable[Step]]] = {
    "apis": lambda request: resource_steps.plan_apis(request.target, request.rows),
    "role": lambda request: account_steps.plan_role(request.target, request.found),
    "accounts": lambda request: account_steps.plan_accounts(
        request.target, request.rows, local=request.local
    ),
    "project-policy": lambda request: account_steps.plan_project_bindings(
        request.target, request.found, local=request.local
    ),
    "account-policy": lambda request: account_steps.plan_account_bindings(
        request.target, request.found, request.name, local=request.local
    ),
    "impersonation": lambda request: account_steps.plan_impersonation(
        request.target, request.found, request.name
    ),
    "bucket": lambda request: resource_steps.plan_bucket(
        request.target, request.found, adopt=request.adopt
    ),
    "bucket-policy": lambda request: account_steps.plan_bucket_bindings(
        request.target, request.found, local=request.local
    ),
    "database": lambda request: firestore_steps.plan_database(request.target, request.rows),
    "backups": lambda request: firestore_steps.plan_backups(request.target, request.rows),
    "restore": lambda request: firestore_steps.plan_restore(
        request.target, request.found, *request.name.split("=")
    ),
    "restore-at": lambda request: firestore_steps.plan_restore_at(
        request.target, request.found, *request.name.split("=")
    ),
    "indexes": lambda request: firestore_steps.plan_indexes(request.target, request.rows),
    "fields": lambda request: firestore_steps.plan_fields(request.target, request.rows),
    "secrets": lambda request: resource_steps.plan_secrets(request.target, request.rows),
    "secret-policy": lambda request: account_steps.plan_secret_bindings(
        request.target, request.found, request.name
    ),
    "key-ring": lambda request: encryption_steps.plan_ring(request.name, request.found),
    "encryption-key": lambda request: encryption_steps.plan_key(request.name, request.found),
    "encryption-key-policy": lambda request: encryption_steps.plan_key_bindings(
        request.target, request.name, request.found
    ),
    "queues": _plan_queues,
    "scheduler": _plan_scheduler,
    "services": _plan_services,
    "rollback": lambda request: service_steps.plan_rollback(
        request.target, request.found, *request.name.split("=")
    ),
    "service-removal": lambda request: service_steps.plan_service_removal(
        request.target, request.rows
    ),
    "schedule-removal": lambda request: resource_steps.plan_schedule_removal(
        request.target, request.rows
    ),
    "queue-removal": lambda request: queue_steps.plan_queue_removal(
        request.target, request.rows, request.target.declared("queues.yaml")
    ),
    "bucket-removal": lambda request: resource_steps.plan_bucket_removal(
        request.target, request.found
    ),
    "quota": lambda request: service_steps.plan_quota(request.target, request.found, request.name),
    "capacity": lambda request: service_steps.plan_capacity(request.target),
    "service-policy": lambda request: account_steps.plan_service_bindings(
        request.target, request.found, request.name
    ),
}


def _list_secrets_in_use(request: PlanRequest) -> Iterable[str]:
    """Yield the declared secrets that exist or will be created."""
    existing = resource_steps.secret_names(request.rows)
    for env, secret in request.target.secrets.items():
        if (
            secret["name"] in existing
            or secret.get("generate")
            or request.target.variables.get(env)
        ):
            yield secret["name"]


#: `list-…` and `value-…` → names, one a line.
LISTS: Mapping[str, Callable[[PlanRequest], Iterable[str]]] = {
    "list-accounts": lambda request: account_steps.list_accounts_with_policy(
        request.target, local=request.local
    ),
    "list-secrets": _list_secrets_in_use,
    "list-keys": lambda request: encryption_steps.list_keys(request.target.variables),
    "list-called": lambda request: sorted(
        {
            service
            for account in account_steps.declared_accounts(request.target, local=False).values()
            for service in account.get("services", {})
        }
    ),
    # The deployment's own location is the first one.
    "list-locations": lambda request: queue_steps.list_locations(
        request.target, request.target.declared("queues.yaml")
    ),
    "list-services": lambda request: service_steps.declared_services(request.target),
    "list-public": lambda request: service_steps.list_public_urls(request.target, request.rows),
    "value-issuer": lambda request: [service_steps.read_own_issuer(request.rows)],
    "list-settings": lambda request: service_steps.list_settings(request.rows),
    "value-url": lambda request: [request.target.url(request.name)],
    "value-email": lambda request: [request.target.email(request.name)],
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="plan", description=__doc__)
    parser.add_argument("part", choices=[*PLANS, *LISTS])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--project", required=True)
    parser.add_argument("--location", required=True)
    parser.add_argument("--number", default="")
    for flag in FLAGS:
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
    flags = frozenset(flag for flag in FLAGS if getattr(options, flag.replace("-", "_")))
    found = json.loads(("" if sys.stdin.isatty() else sys.stdin.read()) or "null")
    request = PlanRequest(target, options.name, found, flags)
    try:
        if options.part in PLANS:
            sys.stdout.writelines(step.to_shell() for step in PLANS[options.part](request))
        else:
            sys.stdout.writelines(f"{name}\n" for name in LISTS[options.part](request))
    except (queue_steps.QueuesFileError, LifecycleFileError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
