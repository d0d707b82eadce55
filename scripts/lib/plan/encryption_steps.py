"""The key of Cloud KMS that ENCRYPTION_KEY names: its ring, itself, and who may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .account_steps import Policy, declared_accounts, is_bound
from .ownership import LABEL
from .step import Step, run_step
from .target import Target

API = "cloudkms.googleapis.com"
ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
_SCHEME = "gcp-kms://"


def list_keys(variables: Mapping[str, str]) -> list[str]:
    """Return the keys of Cloud KMS in ENCRYPTION_KEY: `projects/P/locations/L/keyRings/R/…`."""
    every = [one.strip() for one in variables.get("ENCRYPTION_KEY", "").split(",")]
    return [one.removeprefix(_SCHEME) for one in every if one.startswith(_SCHEME)]


def plan_ring(key: str, found: Mapping[str, Any] | None) -> Iterator[Step]:
    """Create the key ring. It costs nothing, and cannot be deleted."""
    if found is None:
        ring, *flags = _split(key)[1:]
        yield run_step(f"create key ring {ring}", "kms", "keyrings", "create", ring, *flags)


def plan_key(key: str, found: Mapping[str, Any] | None) -> Iterator[Step]:
    """Create the key, with a new version every 90 days; older ones still decrypt."""
    if found is None:
        name, ring, *flags = _split(key)
        yield run_step(
            f"create key {name}",
            *("kms", "keys", "create", name, f"--keyring={ring}", *flags),
            *("--purpose=encryption", "--rotation-period=90d", "--next-rotation-time=+p90d"),
            f"--labels={LABEL}",
        )


def plan_key_bindings(target: Target, key: str, policy: Policy) -> Iterator[Step]:
    """Let the functions' accounts encrypt and decrypt by the key, and no one by the project."""
    name, ring, *flags = _split(key)
    services = target.declared("services.yaml")["services"].values()
    using = {each["account"] for each in services if "ENCRYPTION_KEY" in each.get("passed", ())}
    for account in declared_accounts(target, local=False):
        if account in using and not is_bound(policy, ROLE, target.member(account)):
            yield run_step(
                f"grant {ROLE} on key {name} to {account}",
                *("kms", "keys", "add-iam-policy-binding", name, f"--keyring={ring}", *flags),
                *(f"--member={target.member(account)}", f"--role={ROLE}"),
            )


def _split(key: str) -> tuple[str, str, str, str]:
    """Return the key's name, its ring, and the flags of its place."""
    _, project, _, location, _, ring, _, name = key.split("/")
    return name, ring, f"--location={location}", f"--project={project}"
