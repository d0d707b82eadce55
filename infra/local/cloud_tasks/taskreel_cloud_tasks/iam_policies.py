"""IAM policies of queues: stored and returned, never enforced."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.method_messages import (
    GetIamPolicyRequest,
    Policy,
    SetIamPolicyRequest,
    TestIamPermissionsRequest,
    TestIamPermissionsResponse,
)

_DOCUMENT = "iam/"


class QueuePolicies:
    """Policies by queue name, stored in the engine's journal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._policies: dict[str, Policy] = {}

    def load(self) -> None:
        """Take over the policies of the journal."""
        for name, saved in self._engine.documents.items():
            if name.startswith(_DOCUMENT):
                policy = message_codec.from_json(Policy, saved)
                self._policies[name.removeprefix(_DOCUMENT)] = policy

    def get_policy(self, request: GetIamPolicyRequest) -> Policy:
        """Return the policy; an unset one has no bindings, but an etag."""
        return self._policies.get(request.resource) or _with_etag(Policy())

    def set_policy(self, request: SetIamPolicyRequest) -> Policy:
        """Replace the policy. Raises ApiError ABORTED if the etag is not the current one."""
        policy = request.policy or Policy()
        current = self._policies.get(request.resource) or _with_etag(Policy())
        if policy.etag and policy.etag != current.etag:
            text = "There were concurrent policy changes. "
            raise ApiError(
                Code.ABORTED,
                text + "Please retry the whole read-modify-write with exponential backoff.",
            )
        stored = _with_etag(policy)
        self._policies[request.resource] = stored
        self._engine.journal.put_document(
            _DOCUMENT + request.resource, message_codec.to_json(stored)
        )
        return stored

    def test_permissions(self, request: TestIamPermissionsRequest) -> TestIamPermissionsResponse:
        """Return all permissions of the request; none for a queue that does not exist.

        "If the resource does not exist, this will return an empty set of permissions, not a
        NOT_FOUND error" (TestIamPermissions, client 2.26).
        """
        if not self._engine.has_queue(request.resource):
            return TestIamPermissionsResponse()
        return TestIamPermissionsResponse(permissions=request.permissions)

    def forget_policy(self, resource: str) -> None:
        """Remove the policy of a deleted queue."""
        if self._policies.pop(resource, None) is not None:
            self._engine.journal.put_document(_DOCUMENT + resource, None)

    def forget_all(self) -> None:
        """Remove all policies."""
        self._policies.clear()


def _with_etag(policy: Policy) -> Policy:
    etag = hashlib.sha256(repr((policy.version, policy.bindings)).encode()).digest()[:8]
    return replace(policy, etag=etag)
