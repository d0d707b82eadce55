"""The events of a deployment with a project whose own account pays the jobs of its members."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from simulation.life import FreeLife
from simulation.life_state import deadlines, scripts, users
from taskreel.app.caller import Caller
from taskreel.app.credits.grants import GrantOrder
from taskreel.app.jobs.project_account import grant_to_project
from taskreel.app.projects.members import create_project, set_member
from taskreel.domain.ids import project_account_id
from taskreel.domain.project_role import MemberRole

PROJECT = "film"


class ProjectLife(FreeLife):
    """Ada and bob submit jobs of their own, and such as the project pays."""

    happened: ClassVar[Counter[str]] = Counter()
    #: The jobs that the project has paid, over all runs.
    paid_jobs: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        """The project is ada's, bob is an editor, and it has some credits."""
        super().begin()
        services, root = self.world.services, Caller(user_id="root", admin=True)
        made = create_project(services, root, "A film", project_id=PROJECT, owner_id="ada")
        self.world.do(made)
        self.world.do(set_member(services, root, PROJECT, "bob", MemberRole.EDITOR))
        self.grant_to_the_project(12)

    @rule(amount=st.integers(1, 6))
    def grant_to_the_project(self, amount: int) -> None:
        order = GrantOrder(amount=amount, reason=None, granted_by="root")
        self.world.do(grant_to_project(self.world.services, PROJECT, order))

    @rule(user=users, script=scripts, units=st.integers(1, 3), within=deadlines)
    def submit_to_the_project(
        self, user: str, script: list[str], units: int, within: int | None
    ) -> None:
        fields = {"projectId": PROJECT, "deadlineSeconds": within}
        for job in self.send(user, script, fields, units=units):
            assert job.paid_by == project_account_id(PROJECT)
            type(self).paid_jobs += 1
