"""The functions: deployed when their source or settings have changed since the last deployment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .ownership import DIGEST_LABEL, DOCUMENTS_LABEL, describe_foreign, is_own_service
from .queue_steps import merge_settings
from .step import Step, StepKind, fail_step, run_step, warn_step
from .target import Target


def plan_services(
    target: Target,
    found: list[dict[str, Any]],
    secrets: set[str],
    *,
    force: bool,
    adopt: bool,
    all_users: bool,
) -> Iterator[Step]:
    """Deploy changed functions, in the order of the file; `secrets` are those that exist.

    A service of a declared name that we have not deployed stops the plan, unless `adopt`. After a
    rollback a service's traffic is pinned to a revision, and Cloud Run deploys new ones without
    traffic: a changed function is then sent its traffic again, an unchanged one stays rolled back.
    `all_users` makes public services public by a binding instead of by `--no-invoker-iam-check`.
    """
    for secret in target.secrets.values():
        if secret.get("generate") and secret["name"] not in secrets:
            yield fail_step(f"secret {secret['name']} does not exist; run scripts/provision first")
    existing = {service["metadata"]["name"]: service for service in found}
    declared = declared_services(target)
    foreign = {name for name in declared if name in existing and not is_own_service(existing[name])}
    if foreign and not adopt:
        yield fail_step(describe_foreign("service", foreign, f"the label {DIGEST_LABEL}"))
        return
    source = source_digest(target.source)
    known = f"{DOCUMENTS_LABEL}={len(_list_document_changes(target))}"
    for name, service in declared.items():
        deployed_env = _environment_of(existing.get(name))
        words = deploy_command(target, name, service, deployed_env, secrets, all_users=all_users)
        digest = hashlib.sha256("\0".join((source, *words)).encode()).hexdigest()[:16]
        deployed = existing.get(name, {}).get("metadata", {}).get("labels", {}).get(DIGEST_LABEL)
        if force or digest != deployed:
            why = f"deploy {name}" if deployed is None else f"deploy {name} again"
            labels = f"--update-labels={DIGEST_LABEL}={digest},{known}"
            yield Step(StepKind.SHOW, why, (*words, labels))
            if name in existing and find_pinned_revisions(existing[name]):
                yield _plan_latest_traffic(target, name)
        else:
            yield from _check_serving_revision(target, name, existing[name])


def find_pinned_revisions(service: Mapping[str, Any]) -> list[str]:
    """Return the revisions to which a service's traffic is pinned; empty if it is the latest."""
    return [
        f"{each['revisionName']} ({each['percent']} %)"
        for each in service["spec"].get("traffic", ())
        if each.get("percent") and not each.get("latestRevision")
    ]


def _plan_latest_traffic(target: Target, name: str) -> Step:
    """Send a service's traffic to its latest revision, now and after later deployments."""
    return run_step(
        f"send the traffic of {name} to its latest revision",
        *("run", "services", "update-traffic", name, "--to-latest"),
        *(f"--region={target.location}", f"--project={target.project}"),
    )


def _check_serving_revision(
    target: Target, name: str, service: Mapping[str, Any]
) -> Iterator[Step]:
    """Warn if an unchanged service does not serve its latest revision."""
    status = service.get("status", {})
    latest, ready = (status.get(f"latest{kind}RevisionName") for kind in ("Created", "Ready"))
    if pinned := find_pinned_revisions(service):
        yield warn_step(
            f"{name} is rolled back: its traffic is pinned to {', '.join(pinned)}, the latest "
            f"revision is {latest}. Deploy a changed source, or: gcloud run services "
            f"update-traffic {name} --to-latest --region={target.location} "
            f"--project={target.project}"
        )
    elif latest != ready:
        yield warn_step(
            f"{name}: revision {latest} does not become ready, {ready} serves: see "
            f"gcloud run revisions describe {latest} --region={target.location} "
            f"--project={target.project}, then scripts/deploy --force"
        )


def plan_rollback(
    target: Target, found: Mapping[str, Any], name: str, revision: str
) -> Iterator[Step]:
    """Send a service's traffic to an older revision: the given one, else the one before.

    `found` has the service and its revisions, newest first.
    """
    service = found["service"]
    if service is None or not is_own_service(service):
        yield fail_step(f"{name} is not a service that scripts/deploy has deployed here")
        return
    revisions = sorted(
        found["revisions"] or [],
        key=lambda each: each["metadata"]["creationTimestamp"],
        reverse=True,
    )
    ready = [each["metadata"]["name"] for each in revisions if _is_ready(each)]
    serving = [
        each["revisionName"]
        for each in service["status"].get("traffic", ())
        if each.get("percent") and each.get("revisionName")
    ]
    if revision and revision not in ready:
        yield fail_step(
            f"{name} has no ready revision {revision}; it has: {', '.join(ready) or 'none'}"
        )
        return
    newest = min((ready.index(each) for each in serving if each in ready), default=0)
    older = ready[newest + 1 :]
    if not revision and not older:
        yield warn_step(f"{name} has no ready revision older than {', '.join(serving)}; unchanged")
        return
    goal = revision or older[0]
    if serving == [goal]:
        return
    found_goal = next(each for each in revisions if each["metadata"]["name"] == goal)
    yield from _warn_of_unknown_documents(target, name, found_goal)
    yield run_step(
        f"send the traffic of {name} to {goal} instead of {', '.join(serving)}",
        *("run", "services", "update-traffic", name, f"--to-revisions={goal}=100"),
        *(f"--region={target.location}", f"--project={target.project}"),
    )


def _warn_of_unknown_documents(
    target: Target, name: str, revision: Mapping[str, Any]
) -> Iterator[Step]:
    """Warn of stored documents that a revision cannot handle, and say what to do before."""
    labels = revision["metadata"].get("labels", {})
    # One from before the label may know some of the changes; no mark says which.
    for change in _list_document_changes(target)[int(labels.get(DOCUMENTS_LABEL, 0)) :]:
        yield warn_step(
            f"{name}: {revision['metadata']['name']} may be from before {change['name']}. An older "
            f"release {change['older']}. If it is, first {change['first']}"
        )


def _list_document_changes(target: Target) -> list[dict[str, str]]:
    changes: list[dict[str, str]] = target.declared("documents.yaml")["changes"]
    return changes


def _is_ready(revision: Mapping[str, Any]) -> bool:
    conditions = revision.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


#: The request with which clients of a public service other than the API begin.
_HANDSHAKES = {"jobs-gateway": "/socket.io/?EIO=4&transport=polling"}


def list_public_urls(target: Target, found: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the URLs at which clients call the deployed public services.

    That of the API has no path; another one is that of a first request, which needs no token.
    """
    declared = declared_services(target)
    for service in found:
        name = service["metadata"]["name"]
        if name in declared and declared[name]["public"] and is_own_service(service):
            handshake = _HANDSHAKES.get(name, "")
            yield service["status"]["url"] + handshake
            # The API's own domain; other public services know it too.
            own = _environment_of(service).get("API_BASE_URL", "") if name == "jobs-api" else ""
            if own not in {"", service["status"]["url"], target.url(name)}:
                yield own


def read_own_issuer(found: list[dict[str, Any]]) -> str:
    """Return the issuer whose tokens the deployed API accepts; empty if the generated secret's."""
    for service in found:
        if service["metadata"]["name"] == "jobs-api" and is_own_service(service):
            env = _environment_of(service)
            if env.get("JWT_JWKS_URL") or env.get("JWT_PUBLIC_KEY"):
                return env.get("JWT_ISSUER") or "the issuer of JWT_PUBLIC_KEY"
    return ""


def list_settings(found: list[dict[str, Any]]) -> Iterator[str]:
    """Yield `NAME=value` for settings that a new deployment would otherwise lose."""
    deployed = {
        service["metadata"]["name"]: _environment_of(service)
        for service in found
        if is_own_service(service)
    }
    env = deployed.get("jobs-api", {})
    database = env.get("STORE_URL", "").rpartition("/")[2]
    named = {
        "API_BASE_URL": env.get("API_BASE_URL"),
        "ENCRYPTION_KEY": env.get("ENCRYPTION_KEY"),
        "BUCKET": env.get("BLOBS_URL", "").removeprefix("gs://"),
        "DATABASE": database,
        "DEPLOYED_DATABASE": database,
        "CONFIGURED_PROVIDERS": env.get("CONFIGURED_PROVIDERS"),
    }
    return (f"{name}={value}" for name, value in named.items() if value)


def plan_service_removal(target: Target, found: list[dict[str, Any]]) -> Iterator[Step]:
    """Delete our services."""
    declared = declared_services(target)
    for service in found:
        name = service["metadata"]["name"]
        if name not in declared:
            continue
        if is_own_service(service):
            flags = (f"--region={target.location}", f"--project={target.project}")
            yield run_step(f"delete function {name}", "run", "services", "delete", name, *flags)
        else:
            yield warn_step(f"service {name} has no label {DIGEST_LABEL}; left alone")


def declared_services(target: Target) -> dict[str, dict[str, Any]]:
    """Return the services with the defaults filled in."""
    file = target.declared("services.yaml")
    defaults = file["defaults"]
    return {
        name: {**defaults, **own, "env": {**defaults["env"], **own.get("env", {})}}
        for name, own in file["services"].items()
    }


def deploy_command(
    target: Target,
    name: str,
    service: Mapping[str, Any],
    deployed: Mapping[str, str],
    secrets: set[str],
    *,
    all_users: bool = False,
) -> tuple[str, ...]:
    """Return `gcloud run deploy` for one service."""
    env = {key: target.fill(value) for key, value in service["env"].items()}
    for key in service.get("passed", ()):
        if value := target.variables.get(key) or deployed.get(key):
            env[key] = value
    if variable := service.get("announces"):
        env[variable] = ",".join(_configured_providers(target, secrets))
    bindings = _secret_bindings(target, service, env, secrets)
    # "^|^" makes | the separator: a value may contain commas.
    variables = "^|^" + "|".join(f"{key}={value}" for key, value in env.items())
    return (
        *(
            "gcloud",
            "run",
            "deploy",
            name,
            f"--source={target.source}",
            *([] if "entrypoint" in service else [f"--function={service['function']}"]),
        ),
        *(
            f"--base-image={service['baseImage']}",
            f"--region={target.location}",
            f"--project={target.project}",
        ),
        _access_flag(service, all_users=all_users),
        f"--service-account={target.email(service['account'])}",
        f"--build-service-account=projects/{target.project}/serviceAccounts/"
        + target.email("taskreel-build"),
        *(
            f"--cpu={service['cpu']}",
            f"--memory={service['memory']}",
            f"--concurrency={service['concurrency']}",
        ),
        *(
            f"--min-instances={service['minInstances']}",
            f"--max-instances={service['maxInstances']}",
            f"--ingress={service['ingress']}",
        ),
        *(
            "--cpu-boost",
            "--no-cpu-throttling" if service["cpuBetweenRequests"] else "--cpu-throttling",
            "--execution-environment=gen2",
            f"--timeout={service['timeout'].removesuffix('s')}",
        ),
        # The builder compiles our code, and the image's files then get the time 1980: bytecode with
        # times is stale and compiled again at each start. With this variable Python writes hashes.
        "--set-build-env-vars=" + _build_variables(service),
        f"--set-env-vars={variables}",
        # The gateway has none where tokens are checked by a public key.
        f"--set-secrets={bindings}" if bindings else "--clear-secrets",
    )


def _build_variables(service: Mapping[str, Any]) -> str:
    """Return the builder's variables: with an entry point of its own, a service is no function."""
    date = "SOURCE_DATE_EPOCH=315532801"
    return f"{date},GOOGLE_ENTRYPOINT={service['entrypoint']}" if "entrypoint" in service else date


def _access_flag(service: Mapping[str, Any], *, all_users: bool) -> str:
    """Return the flag that opens or closes a service.

    `--allow-unauthenticated` binds a role to allUsers, which the organisation policy of domain
    restricted sharing (the default of new organisations) forbids, and gcloud then only warns.
    Google recommends the flag used here: https://cloud.google.com/run/docs/authenticating/public
    """
    if not service["public"]:
        return "--no-allow-unauthenticated"
    return "--allow-unauthenticated" if all_users else "--no-invoker-iam-check"


#: Cloud Run's quota → a service's setting, its unit, and the number of quota units in one unit.
_QUOTAS = {
    "CpuAllocPerProjectRegion": ("cpu", "CPUs", 1000),
    "MemAllocPerProjectRegion": ("memory", "MiB", 2**20),
}


def plan_quota(target: Target, found: Mapping[str, Any] | None, name: str) -> Iterator[Step]:
    """Warn if the instances of all services could exceed the region's quota.

    Cloud Run refuses to deploy a service that exceeds it alone, and starts no instance beyond it.
    """
    values = [
        int(each["details"]["value"])
        for each in (found or {}).get("dimensionsInfos", ())
        if target.location in each.get("applicableLocations", ())
    ]
    setting, unit, scale = _QUOTAS[name]
    amounts = {
        service: _parse_amount(own[setting]) * own["maxInstances"]
        for service, own in declared_services(target).items()
    }
    total = sum(amounts.values())
    # -1 is no limit.
    if values and -1 < min(values) < total * scale:
        parts = ", ".join(f"{service} {amount:g}" for service, amount in amounts.items())
        yield warn_step(
            f"all instances together may use {total:g} {unit} ({parts}), more than the "
            f"{min(values) / scale:g} that {target.location} allows this project for all its "
            "services; lower maxInstances in infra/services.yaml, or ask for "
            f"more of {name}: https://console.cloud.google.com/iam-admin/quotas"
        )


def plan_capacity(target: Target) -> Iterator[Step]:
    """Warn if the queues of a service dispatch more at a time than its instances take."""
    declared = target.declared("queues.yaml")
    limits = {
        name: settings["rateLimits", "maxConcurrentDispatches"]
        for name, settings in merge_settings(declared).items()
    }
    services = declared_services(target)
    for name, its_queues in declared["services"].items():
        queues = [queue for queue in its_queues if queue in limits]
        dispatched = sum(limits[queue] for queue in queues)
        service = services.get(name, {"maxInstances": 0, "concurrency": 0})
        capacity = service["maxInstances"] * service["concurrency"]
        if queues and dispatched > capacity:
            yield warn_step(
                f"the {len(queues)} queues of {name} dispatch up to {dispatched} tasks at a time, "
                f"and its instances take {capacity} (maxInstances × concurrency): Cloud Run "
                "answers the rest with 429, and Cloud Tasks then slows the queues. Lower the "
                "limits of job types (`queue=`), or raise concurrency or maxInstances in "
                "infra/services.yaml"
            )


def _parse_amount(text: str | float) -> float:
    """Return CPUs, or mebibytes."""
    number = str(text).removesuffix("i")
    return (
        float(number.removesuffix("G")) * 1024
        if number.endswith("G")
        else float(number.removesuffix("M"))
    )


def _secret_bindings(
    target: Target, service: Mapping[str, Any], env: Mapping[str, str], secrets: set[str]
) -> str:
    """Return `VARIABLE=secret:latest,…` for the secrets that exist and are used."""
    declared = target.secrets
    return ",".join(
        f"{key}={declared[key]['name']}:latest"
        for key in target.secrets_of(service)
        if declared[key]["name"] in secrets
        and not any(other in env for other in declared[key].get("unless", ()))
    )


def _configured_providers(target: Target, secrets: set[str]) -> list[str]:
    """Return the providers whose secrets exist."""
    declared = target.secrets.values()
    return [
        secret["provider"]
        for secret in declared
        if "provider" in secret and secret["name"] in secrets
    ]


def _environment_of(service: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the plain environment variables of a deployed service."""
    if service is None:
        return {}
    containers = service["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in containers[0].get("env", ()) if "value" in each}


def source_digest(source: Path) -> str:
    """Return a digest of every file that would be uploaded."""
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            digest.update(f"{path.relative_to(source)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
