"""APIs, the bucket, secrets and the scheduler."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from .encryption_steps import API, list_keys
from .ownership import LABEL, LABEL_KEY, describe_foreign, has_label, is_own_schedule
from .step import Step, StepKind, fail_step, run_step, warn_step
from .target import Target


def plan_apis(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Enable missing APIs, in one call."""
    enabled = {service["config"]["name"] for service in found}
    wanted = [*target.declared("apis.yaml")["apis"]]
    if list_keys(target.variables):
        wanted.append(API)
    if missing := [api for api in wanted if api not in enabled]:
        yield run_step(
            f"enable {len(missing)} APIs",
            "services",
            "enable",
            *missing,
            f"--project={target.project}",
        )


def plan_bucket(target: Target, found: Mapping[str, Any] | None, *, adopt: bool) -> Iterator[Step]:
    """Create a private bucket with a lifecycle and cross-origin rules, or update it.

    A bucket without our label stops the plan, unless `adopt` or its lifecycle is the declared one:
    then it is ours, and the script was stopped before it could label it.
    """
    declared = target.declared("bucket.yaml")
    url = f"gs://{target.bucket}"
    _ = target.retention_days  # refuses a lifecycle that the services could not follow
    lifecycle = f"--lifecycle-file={target.infra / declared['lifecycle']}"
    soft_delete = f"--soft-delete-duration={declared['softDeleteDuration']}"
    private = ("--uniform-bucket-level-access", "--public-access-prevention")
    project = f"--project={target.project}"
    # gcloud cannot set labels when it creates a bucket.
    label = run_step(
        f"label {url} as Taskreel's",
        *("storage", "buckets", "update", url, f"--update-labels={LABEL}", project),
    )
    # Nor can it set these.
    share = run_step(
        f"let web pages read files of {url} by their signed URLs",
        *("storage", "buckets", "update", url),
        *(f"--cors-file={target.infra / declared['cors']}", project),
    )
    if found is None:
        yield run_step(
            f"create bucket {url} in {target.location}",
            *("storage", "buckets", "create", url, f"--location={target.location}", *private),
            *(
                f"--default-storage-class={declared['storageClass']}",
                soft_delete,
                lifecycle,
                project,
            ),
        )
        yield label
        yield share
        return
    same_lifecycle = found.get("lifecycle_config") == target.declared(declared["lifecycle"])
    if not has_label(found.get("labels")):
        if not (adopt or same_lifecycle):
            yield fail_step(describe_foreign("bucket", [url], f"the label {LABEL_KEY}"))
            return
        yield label
    if found["location"].lower() != target.location.lower():
        yield fail_step(
            f"bucket {url} is in {found['location']}, not in {target.location}, and cannot move. "
            "Use another: BUCKET=… scripts/provision"
        )
    if not same_lifecycle:
        yield run_step(
            f"set the lifecycle of {url}", "storage", "buckets", "update", url, lifecycle, project
        )
    if found.get("cors_config") != target.declared(declared["cors"]):
        yield share
    if (
        not found.get("uniform_bucket_level_access")
        or found.get("public_access_prevention") != "enforced"
    ):
        yield run_step(
            f"close {url} to the public", "storage", "buckets", "update", url, *private, project
        )
    retention_seconds = int(found.get("soft_delete_policy", {}).get("retentionDurationSeconds", 0))
    if f"{retention_seconds}s" != declared["softDeleteDuration"]:
        yield run_step(
            f"set the soft delete duration of {url}",
            "storage",
            "buckets",
            "update",
            url,
            soft_delete,
            project,
        )


def plan_secrets(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Create secrets that are generated, or whose value is in the environment."""
    existing = secret_names(found)
    for env, secret in target.secrets.items():
        given = bool(target.variables.get(env))
        if secret["name"] in existing or not (given or secret.get("generate")):
            continue
        source = f"from ${env}" if given else "32 random bytes"
        words = (
            "gcloud",
            "secrets",
            "create",
            secret["name"],
            "--data-file=-",
            "--replication-policy=user-managed",
        )
        flags = (
            f"--locations={target.location}",
            f"--labels={LABEL}",
            f"--project={target.project}",
        )
        yield Step(
            StepKind.SECRET, f"create secret {secret['name']}, {source}", (env, *words, *flags)
        )


def secret_names(found: list[dict[str, Any]]) -> set[str]:
    """Return the secret names of a listing."""
    return {secret["name"].rpartition("/")[2] for secret in found}


def plan_scheduler(
    target: Target, found: list[dict[str, Any]], key: str, *, adopt: bool
) -> Iterator[Step]:
    """Create or update the scheduled calls.

    `key` is the internal key in use, empty if it is unknown. A call of a declared name with another
    account than ours stops the plan, unless `adopt`.
    """
    declared = target.declared("scheduler.yaml")
    existing = {job["name"].rpartition("/")[2]: job for job in found}
    foreign = {
        name
        for name in declared["jobs"]
        if name in existing and not is_own_schedule(target, existing[name])
    }
    if foreign and not adopt:
        yield fail_step(describe_foreign("schedule", foreign, "Taskreel's invoker account"))
        return
    for name, job in declared["jobs"].items():
        wanted = {
            "schedule": job["schedule"],
            "time-zone": declared["timeZone"],
            "uri": target.url(job["service"]) + job["path"],
            "http-method": "POST",
            "oidc-service-account-email": target.email("taskreel-invoker"),
            "oidc-token-audience": target.url(job["service"]),
            "attempt-deadline": job["attemptDeadline"],
            "max-retry-attempts": str(job["maxRetryAttempts"]),
        }
        common = (*(f"--{flag}={value}" for flag, value in wanted.items()), *target.here)
        if name not in existing:
            words = ("--headers", "gcloud", "scheduler", "jobs", "create", "http", name, *common)
            yield Step(StepKind.HEADER, f"schedule {name}: {job['schedule']}", words)
        elif different := _list_differences(existing[name], wanted, key):
            words = (
                "--update-headers",
                "gcloud",
                "scheduler",
                "jobs",
                "update",
                "http",
                name,
                *common,
            )
            why = f"reschedule {name}: {', '.join(different)} changed"
            yield Step(StepKind.HEADER, why, words)


def _list_differences(job: Mapping[str, Any], wanted: Mapping[str, str], key: str) -> list[str]:
    """Return the settings that differ; the key is compared, never shown."""
    http = job.get("httpTarget", {})
    token = http.get("oidcToken", {})
    found = {
        "schedule": job.get("schedule"),
        "time-zone": job.get("timeZone"),
        "uri": http.get("uri"),
        "http-method": http.get("httpMethod"),
        "oidc-service-account-email": token.get("serviceAccountEmail"),
        "oidc-token-audience": token.get("audience"),
        "attempt-deadline": job.get("attemptDeadline"),
        "max-retry-attempts": str(job.get("retryConfig", {}).get("retryCount", 0)),
    }
    different = [name for name, value in wanted.items() if found[name] != value]
    # A signature is never replaced by the key: SIGN_TASKS may be missing here alone.
    right = {build_schedule_key(key), _sign_sweep(key)}
    if key and http.get("headers", {}).get("X-Internal-Api-Key") not in right:
        different.append("internal key")
    return different


def build_schedule_key(keys: str) -> str:
    """The value of X-Internal-Api-Key of the sweep's schedule: the first key, or its signature."""
    if os.environ.get("SIGN_TASKS", "").lower() in {"1", "true"}:
        return _sign_sweep(keys)
    return _first_key(keys)


def _sign_sweep(keys: str) -> str:
    from taskreel.domain.task_signature import sign_task  # of the schedule alone

    return sign_task(_first_key(keys), "/tasks/sweep", b"")


def _first_key(keys: str) -> str:
    return keys.partition(",")[0].strip()


def plan_schedule_removal(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Delete our scheduled calls."""
    declared = target.declared("scheduler.yaml")["jobs"]
    for job in found:
        name = job["name"].rpartition("/")[2]
        if name not in declared:
            continue
        if is_own_schedule(target, job):
            yield run_step(
                f"delete schedule {name}", "scheduler", "jobs", "delete", name, *target.here
            )
        else:
            yield warn_step(f"schedule {name} calls as another account than ours; left alone")


def plan_bucket_removal(target: Target, found: Mapping[str, Any] | None) -> Iterator[Step]:
    """Delete our bucket with everything in it."""
    url = f"gs://{target.bucket}"
    if found is None:
        return
    if has_label(found.get("labels")):
        yield run_step(
            f"delete bucket {target.bucket} and every artifact in it",
            *("storage", "rm", url, "--recursive", f"--project={target.project}"),
        )
    else:
        yield warn_step(f"bucket {url} has no label {LABEL}; left alone")
