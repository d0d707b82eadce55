"""IAM policies of queues: kept and returned, never enforced; everyone may do everything here."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from taskreel_local.emulators.cloudtasks.api_errors import ApiError, Code
from taskreel_local.emulators.cloudtasks.method_messages import (
    GetIamPolicyRequest,
    Policy,
    SetIamPolicyRequest,
    TestIamPermissionsRequest,
    TestIamPermissionsResponse,
)


class QueuePolicies:
    """By queue name."""

    def __init__(self) -> None:
        self._kept: dict[str, Policy] = {}

    def get(self, request: GetIamPolicyRequest) -> Policy:
        """An unset policy has no bindings, and an etag."""
        return self._kept.get(request.resource) or _stamped(Policy())

    def set(self, request: SetIamPolicyRequest) -> Policy:
        """Replaces the policy; an etag that is not the kept one's is a lost race."""
        policy = request.policy or Policy()
        kept = self._kept.get(request.resource) or _stamped(Policy())
        if policy.etag and policy.etag != kept.etag:
            text = "There were concurrent policy changes. "
            raise ApiError(
                Code.ABORTED,
                text + "Please retry the whole read-modify-write with exponential backoff.",
            )
        self._kept[request.resource] = _stamped(policy)
        return self._kept[request.resource]

    def test(self, request: TestIamPermissionsRequest) -> TestIamPermissionsResponse:
        """All that was asked for."""
        return TestIamPermissionsResponse(permissions=request.permissions)

    def forget(self, resource: str) -> None:
        """The queue is gone."""
        self._kept.pop(resource, None)

    def forget_all(self) -> None:
        """All queues are gone."""
        self._kept.clear()


def _stamped(policy: Policy) -> Policy:
    etag = hashlib.sha256(repr((policy.version, policy.bindings)).encode()).digest()[:8]
    return replace(policy, etag=etag)
