"""Webhook endpoints for their owners: create, read, change, delete, and keys.

An endpoint's events are listed in its owner's account too, in the same commit: a submission reads
the account anyway, so webhooks cost it no further read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.credits.balances import open_account
from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.projects.rights import load_project
from taskreel.app.services import Services
from taskreel.domain.client_webhook import (
    EndpointState,
    SigningKey,
    WebhookEndpoint,
    WebhookEndpointChanges,
)
from taskreel.domain.errors import ConflictError, ForbiddenError, NotFoundError
from taskreel.domain.ids import (
    key_of_user,
    own_endpoint_id,
    project_key_user_id,
    random_endpoint_id,
)
from taskreel.domain.value import is_known
from taskreel.domain.webhook_events import Signature
from taskreel.ports import Clock, Condition, Query, Transaction
from taskreel.store_collections import ACCOUNTS, WEBHOOK_ENDPOINTS

#: A user has at most so many endpoints, and so have all API keys of a project together: each is
#: listed in an account and in its jobs.
MOST_ENDPOINTS = 20
#: The word for the endpoint with the keys of the webhooks that jobs name.
OWN = "default"
_MOST_KEYS = 3
_LONGEST_ID = 100

Change = Callable[[WebhookEndpoint, datetime], WebhookEndpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """A request for an endpoint."""

    url: str
    events: tuple[str, ...]
    project_id: str | None
    description: str | None
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChanges:
    """The fields of an endpoint that its owner changes; None leaves one as it is."""

    url: str | None = None
    events: tuple[str, ...] | None = None
    description: str | None = None
    enabled: bool | None = None


async def create_endpoint(
    services: Services, caller: Caller, wanted: NewEndpoint
) -> WebhookEndpoint:
    """Store an endpoint with a new key; it gets events of jobs that are submitted from now on.

    Raises InvalidError (url), ForbiddenError (project), ConflictError (too many).
    """
    services.webhooks.check_url(wanted.url, "url")
    project = wanted.project_id
    if project is not None and caller.projects is not None and project not in caller.projects:
        raise ForbiddenError(f"Your token does not include project {project!r}.")
    now = services.clock.now()
    endpoint = WebhookEndpoint(
        endpoint_id=random_endpoint_id(services.random),
        user_id=caller.user_id,
        url=wanted.url,
        description=wanted.description,
        events=wanted.events,
        project_id=project,
        signing_keys=(SigningKey.create(wanted.signature, services.random, now),),
        created_at=now,
        updated_at=now,
    )

    of_other_keys = await _count_of_other_keys(services, caller.user_id)

    async def store_new(tx: Transaction) -> None:
        tx.create(WEBHOOK_ENDPOINTS, endpoint.endpoint_id, endpoint)
        await _list_in_account(services, tx, endpoint, now, of_other_keys=of_other_keys)

    await services.store.transaction(store_new)
    return endpoint


async def find_endpoint(services: Services, caller: Caller, id_: str) -> WebhookEndpoint:
    """The endpoint, if the caller may see it; `default` is made on first use.

    Raises NotFoundError.
    """
    if id_ == OWN:
        return await services.store.transaction(
            lambda tx: open_own_endpoint(tx, caller.user_id, services.clock, services.random)
        )
    found = None
    if len(id_) <= _LONGEST_ID:
        found = await services.store.get(WEBHOOK_ENDPOINTS, id_)
    if found is None or not (caller.admin or found.user_id == caller.user_id):
        raise NotFoundError(f"There is no webhook endpoint {id_} that you may see.")
    return found


async def open_own_endpoint(
    tx: Transaction, user_id: str, clock: Clock, random: Random
) -> WebhookEndpoint:
    """The endpoint with the keys of the webhooks that a user's jobs name, made on first use."""
    id_ = own_endpoint_id(user_id)
    found = await tx.get(WEBHOOK_ENDPOINTS, id_)
    if found is not None:
        return found
    now = clock.now()
    own = WebhookEndpoint(
        endpoint_id=id_,
        user_id=user_id,
        description="Signs the webhooks that your jobs name by webhookUrl.",
        signing_keys=(SigningKey.create(Signature.HMAC, random, now),),
        created_at=now,
        updated_at=now,
    )
    tx.create(WEBHOOK_ENDPOINTS, id_, own)
    return own


async def list_endpoints(
    services: Services,
    caller: Caller,
    *,
    limit: int,
    cursor: str | None,
    all_users: bool = False,
) -> Page[WebhookEndpoint]:
    """The caller's endpoints, newest first; with `all_users` those of everybody (admin).

    Raises ForbiddenError.
    """
    if all_users and not caller.admin:
        raise ForbiddenError("Only an admin may list the webhook endpoints of all users.")
    # No index starts with a time (DESIGN.md, law 6): all states are named instead.
    everybody: Condition = ("state", "in", sorted(map(str, EndpointState)))
    query = Query(
        collection=WEBHOOK_ENDPOINTS,
        where=(everybody if all_users else ("userId", "==", caller.user_id),),
        order=(("createdAt", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    return await query_page(
        services, query, limit=limit, matches=lambda endpoint: endpoint.url is not None
    )


async def change_endpoint(
    services: Services, caller: Caller, id_: str, wanted: EndpointChanges
) -> WebhookEndpoint:
    """Change its address, events or description, or enable or disable it."""
    if wanted.url is not None:
        services.webhooks.check_url(wanted.url, "url")

    def change(endpoint: WebhookEndpoint, now: datetime) -> WebhookEndpoint:
        if endpoint.url is None:
            raise ConflictError("Only the keys of the default endpoint can be changed.")
        given: WebhookEndpointChanges = {}
        if wanted.url is not None:
            given["url"] = wanted.url
        if wanted.events is not None:
            given["events"] = wanted.events
        if wanted.description is not None:
            given["description"] = wanted.description
        changed = endpoint.with_changes(now, **given)
        if wanted.enabled is True and endpoint.state is not EndpointState.ENABLED:
            changed = changed.enable(now)
        elif wanted.enabled is False and endpoint.state is EndpointState.ENABLED:
            changed = changed.disable("Its owner has disabled it.", now)
        return changed

    return await _change(services, caller, id_, change, "webhook endpoint changed")


async def rotate_key(
    services: Services, caller: Caller, id_: str, signature: Signature | None, overlap: timedelta
) -> WebhookEndpoint:
    """Give it a new key; messages carry both signatures while the present one is valid too.

    Raises ConflictError when more keys would be valid than receivers may be expected to try.
    """

    def change(endpoint: WebhookEndpoint, now: datetime) -> WebhookEndpoint:
        if len(endpoint.valid_keys(now)) >= _MOST_KEYS:
            raise ConflictError(
                f"{_MOST_KEYS} keys are valid already. Wait until an old one expires, or rotate "
                "with overlapSeconds 0."
            )
        last = endpoint.signing_keys[-1].kind
        kind = signature or (last if is_known(last) else Signature.HMAC)
        return endpoint.rotate_key(SigningKey.create(kind, services.random, now), overlap, now)

    return await _change(services, caller, id_, change, "webhook key rotated")


async def delete_endpoint(services: Services, caller: Caller, id_: str) -> WebhookEndpoint:
    """Delete it; what waits to be delivered to it fails. Raises NotFoundError."""
    endpoint = await find_endpoint(services, caller, id_)

    async def delete(tx: Transaction) -> None:
        tx.delete(WEBHOOK_ENDPOINTS, endpoint.endpoint_id)
        await _list_in_account(services, tx, endpoint, services.clock.now(), listed=False)
        action, subject = "webhook endpoint deleted", endpoint.endpoint_id
        record_admin_act(services, tx, caller, action, subject=subject, owner=endpoint.user_id)

    await services.store.transaction(delete)
    return endpoint


async def _change(
    services: Services, caller: Caller, id_: str, change: Change, action: str
) -> WebhookEndpoint:
    """Change it; `action` is the change in the audit log, where an admin makes it to another's."""
    found = await find_endpoint(services, caller, id_)
    endpoint_id = found.endpoint_id
    of_other_keys = await _count_of_other_keys(services, found.user_id)

    async def write(tx: Transaction) -> WebhookEndpoint:
        endpoint = await tx.get(WEBHOOK_ENDPOINTS, endpoint_id)
        if endpoint is None:
            raise NotFoundError(f"There is no webhook endpoint {id_} any more.")
        now = services.clock.now()
        changed = change(endpoint, now)
        tx.set(WEBHOOK_ENDPOINTS, endpoint_id, changed)
        if changed.url is not None:
            # In a state of a newer revision it is listed as that has left it.
            listed = None if not is_known(changed.state) else changed.state is EndpointState.ENABLED
            await _list_in_account(
                services, tx, changed, now, listed=listed, of_other_keys=of_other_keys
            )
        owner = endpoint.user_id
        record_admin_act(services, tx, caller, action, subject=endpoint_id, owner=owner)
        return changed

    return await services.store.transaction(write)


async def _count_of_other_keys(services: Services, user_id: str) -> int:
    """The endpoints that the other API keys of a key's project have; 0 of a person.

    Two keys that make one at once may both pass: what each job lists stays bounded.
    """
    key = key_of_user(user_id)
    project = None if key is None else await load_project(services.store, key.project_id)
    if key is None or project is None:
        return 0
    others = [one.key_id for one in project.keys if one.key_id != key.key_id]
    ids = [project_key_user_id(key.project_id, key_id) for key_id in others]
    accounts = await services.store.get_all(ACCOUNTS, ids) if ids else []
    return sum(len(account.webhooks) for account in accounts if account is not None)


async def _list_in_account(
    services: Services,
    tx: Transaction,
    endpoint: WebhookEndpoint,
    now: datetime,
    *,
    listed: bool | None = True,
    of_other_keys: int = 0,
) -> None:
    """List the endpoint's events in its owner's account, or no longer; None where it is listed.

    Raises ConflictError where it is not listed yet, and as many are as may be.
    """
    account = await open_account(services, tx, endpoint.user_id, now)
    others = tuple(one for one in account.webhooks if one.endpoint_id != endpoint.endpoint_id)
    before = [one for one in account.webhooks if one.endpoint_id == endpoint.endpoint_id]
    if listed is None:
        listed = bool(before)
    if listed and not before and len(others) + of_other_keys >= MOST_ENDPOINTS:
        key = key_of_user(endpoint.user_id)
        whose = "You" if key is None else f"The API keys of project {key.project_id} together"
        raise ConflictError(
            f"{whose} have {MOST_ENDPOINTS} webhook endpoints, which is the limit: delete some."
        )
    subscription = endpoint.subscription
    if before:
        subscription = before[0].with_fields_of(subscription)
    webhooks = (*others, subscription) if listed else others
    tx.set(ACCOUNTS, endpoint.user_id, account.model_copy(update={"webhooks": webhooks}))
