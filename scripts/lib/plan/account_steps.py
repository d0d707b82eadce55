"""Service accounts, our own role, and the bindings of infra/iam.yaml: added, never removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .step import Step, run_step
from .target import Target

Policy = Mapping[str, Any] | None


def declared_accounts(target: Target, *, local: bool) -> dict[str, dict[str, Any]]:
    """Return the accounts of the functions, or those of local development."""
    declared = target.declared("iam.yaml")
    accounts: dict[str, dict[str, Any]] = declared["local" if local else "accounts"]
    return accounts


def plan_role(target: Target, found: Mapping[str, Any] | None) -> Iterator[Step]:
    """Create or update our own role."""
    ((name, role),) = target.declared("iam.yaml")["roles"].items()
    permissions = ",".join(sorted(role["permissions"]))
    if found is None:
        verb = "create"
    elif ",".join(sorted(found.get("includedPermissions", []))) != permissions:
        verb = "update"
    else:
        return
    flags = (
        f"--title={role['title']}",
        f"--permissions={permissions}",
        f"--project={target.project}",
    )
    yield run_step(f"{verb} role {name}", "iam", "roles", verb, name, *flags)


def plan_accounts(target: Target, found: list[dict[str, Any]], *, local: bool) -> Iterator[Step]:
    """Create the missing accounts."""
    existing = {account["email"] for account in found}
    for name, account in declared_accounts(target, local=local).items():
        if target.email(name) not in existing:
            flags = (f"--display-name={account['title']}", f"--project={target.project}")
            yield run_step(
                f"create service account {name}", "iam", "service-accounts", "create", name, *flags
            )


def plan_project_bindings(target: Target, policy: Policy, *, local: bool) -> Iterator[Step]:
    """Grant the roles on the project."""
    for name, account in declared_accounts(target, local=local).items():
        for role in account.get("project", ()):
            if not is_bound(policy, target.role(role), target.member(name)):
                yield run_step(
                    f"grant {role} on the project to {name}",
                    *("projects", "add-iam-policy-binding", target.project),
                    *_binding_flags(target, role, name),
                    "--condition=None",
                )


def plan_bucket_bindings(target: Target, policy: Policy, *, local: bool) -> Iterator[Step]:
    """Grant the roles on the bucket."""
    for name, account in declared_accounts(target, local=local).items():
        for role in account.get("bucket", ()):
            if not is_bound(policy, target.role(role), target.member(name)):
                yield run_step(
                    f"grant {role} on the bucket to {name}",
                    *("storage", "buckets", "add-iam-policy-binding", f"gs://{target.bucket}"),
                    *_binding_flags(target, role, name),
                )


def plan_account_bindings(
    target: Target, policy: Policy, on: str, *, local: bool
) -> Iterator[Step]:
    """Grant the roles on the service account `on`."""
    for name, account in declared_accounts(target, local=local).items():
        for role in account.get("accounts", {}).get(on, ()):
            if not is_bound(policy, role, target.member(name)):
                yield run_step(
                    f"grant {role} on {on} to {name}",
                    *("iam", "service-accounts", "add-iam-policy-binding", target.email(on)),
                    *_binding_flags(target, role, name),
                    f"--project={target.project}",
                )


def plan_impersonation(target: Target, policy: Policy, member: str) -> Iterator[Step]:
    """Let a person act as the accounts of local development."""
    role = "roles/iam.serviceAccountTokenCreator"
    for name in declared_accounts(target, local=True):
        if not is_bound(policy, role, member):
            yield run_step(
                f"let {member} impersonate {name}",
                *("iam", "service-accounts", "add-iam-policy-binding", target.email(name)),
                *(f"--member={member}", f"--role={role}", f"--project={target.project}"),
            )


def list_accounts_with_policy(target: Target, *, local: bool) -> list[str]:
    """Return the accounts on which other accounts have a role."""
    every = declared_accounts(target, local=local).values()
    return sorted({on for account in every for on in account.get("accounts", {})})


def list_secret_readers(target: Target) -> dict[str, list[str]]:
    """Return the accounts that read each secret.

    These are the accounts of the services that use it, and those that it names itself.
    """
    secrets = target.secrets
    readers = {secret["name"]: list(secret.get("readers", ())) for secret in secrets.values()}
    for service in target.declared("services.yaml")["services"].values():
        for env in target.secrets_of(service):
            readers[secrets[env]["name"]].append(service["account"])
    return readers


def plan_secret_bindings(target: Target, policy: Policy, secret: str) -> Iterator[Step]:
    """Grant the reading of one secret."""
    role = "roles/secretmanager.secretAccessor"
    for name in list_secret_readers(target)[secret]:
        if not is_bound(policy, role, target.member(name)):
            yield run_step(
                f"let {name} read secret {secret}",
                *("secrets", "add-iam-policy-binding", secret),
                *_binding_flags(target, role, name),
                f"--project={target.project}",
            )


def plan_service_bindings(target: Target, policy: Policy, service: str) -> Iterator[Step]:
    """Grant the calling of one Cloud Run service."""
    for name, account in declared_accounts(target, local=False).items():
        for role in account.get("services", {}).get(service, ()):
            if not is_bound(policy, role, target.member(name)):
                yield run_step(
                    f"grant {role} on {service} to {name}",
                    *("run", "services", "add-iam-policy-binding", service),
                    *_binding_flags(target, role, name),
                    *(f"--region={target.location}", f"--project={target.project}"),
                )


def _binding_flags(target: Target, role: str, account: str) -> tuple[str, str]:
    """Return the two flags that all these commands share."""
    return f"--member={target.member(account)}", f"--role={target.role(role)}"


def is_bound(policy: Policy, role: str, member: str) -> bool:
    """Return True if the policy grants the role without a condition."""
    return any(
        binding["role"] == role
        and member in binding.get("members", ())
        and "condition" not in binding
        for binding in (policy or {}).get("bindings", ())
    )
