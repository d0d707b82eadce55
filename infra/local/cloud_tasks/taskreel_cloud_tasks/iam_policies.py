"""IAM policies of queues: stored and returned, never enforced."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from taskreel_cloud_tasks.api_errors import ApiError, Code
from taskreel_cloud_tasks.method_messages import (
    GetIamPolicyRequest,
    Policy,
    SetIamPolicyRequest,
    TestIamPermissionsRequest,
    TestIamPermissionsResponse,
)


class QueuePolicies:
    """Policies by queue name."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}

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
        self._policies[request.resource] = _with_etag(policy)
        return self._policies[request.resource]

    def test_permissions(self, request: TestIamPermissionsRequest) -> TestIamPermissionsResponse:
        """Return all permissions of the request."""
        return TestIamPermissionsResponse(permissions=request.permissions)

    def forget_policy(self, resource: str) -> None:
        """Remove the policy of a deleted queue."""
        self._policies.pop(resource, None)

    def forget_all(self) -> None:
        """Remove all policies."""
        self._policies.clear()


def _with_etag(policy: Policy) -> Policy:
    etag = hashlib.sha256(repr((policy.version, policy.bindings)).encode()).digest()[:8]
    return replace(policy, etag=etag)
