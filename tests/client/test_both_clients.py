"""The blocking and the asynchronous client are one, and their models are the server's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import BaseModel

from taskreel.client import job_models
from taskreel.client.api_calls import read_call
from taskreel.domain import job_status
from taskreel.domain.credits import Account
from taskreel.web.history import FailedAttemptView, JobHistoryView, StatusChangeView
from taskreel.web.http import RecordView
from taskreel.web.job_submission import QuoteView
from taskreel.web.live.event_stream import JobEvent, JobEvents
from taskreel.web.queue_views import QueueView
from taskreel.web.responses import (
    ArtifactView,
    JobErrorView,
    JobsPage,
    JobView,
    RetryView,
    StepView,
)
from taskreel.web.uploads import UploadView

FOLDER = Path(job_models.__file__).parent
NAMES = {
    "AsyncTaskreel": "Taskreel",
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "asyncio": "time",
}


class MakeBlocking(ast.NodeTransformer):
    """The asynchronous client's tree as the blocking one's."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        fields = {**dict(ast.iter_fields(node)), "name": NAMES.get(node.name, node.name)}
        return self.generic_visit(ast.FunctionDef(**fields))

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.generic_visit(ast.For(**dict(ast.iter_fields(node))))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        return self.generic_visit(ast.With(**dict(ast.iter_fields(node))))

    def visit_Await(self, node: ast.Await) -> ast.AST:
        visited: ast.AST = self.visit(node.value)
        return visited

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = NAMES.get(node.name, node.name)
        node.body = node.body[1:]  # its docstring
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = NAMES.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = NAMES.get(node.attr, node.attr)
        return self.generic_visit(node)


def read_class(file: str) -> str:
    tree = ast.parse((FOLDER / file).read_text())
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return ast.dump(MakeBlocking().visit(found), indent=1)


def test_the_asynchronous_client_is_the_blocking_one_with_await() -> None:
    assert read_class("asynchronous.py").splitlines() == read_class("blocking.py").splitlines()


@pytest.mark.parametrize(
    ("model", "view"),
    [
        (job_models.Job, JobView),
        (job_models.File, ArtifactView),
        (job_models.JobError, JobErrorView),
        (job_models.Retry, RetryView),
        (job_models.Step, StepView),
        (job_models.JobsPage, JobsPage),
        (job_models.JobEvent, JobEvent),
        (job_models.JobEvents, JobEvents),
        (job_models.QueuePosition, QueueView),
        (job_models.Quote, QuoteView),
        (job_models.History, JobHistoryView),
        (job_models.StatusChange, StatusChangeView),
        (job_models.FailedAttempt, FailedAttemptView),
        (job_models.Upload, UploadView),
        (job_models.Account, Account),
    ],
)
def test_a_model_has_no_field_that_the_server_does_not_send(
    model: type[BaseModel], view: type[BaseModel | RecordView]
) -> None:
    """A new field of the server is read without one here, in `model_extra`."""
    sent = view.model() if issubclass(view, RecordView) else view
    assert set(model.model_fields) <= set(sent.model_fields)


def test_the_statuses_are_the_servers() -> None:
    assert {str(one) for one in job_models.Status} == {str(one) for one in job_status.Status}
    final = {str(one) for one in job_status.Status if one.final}
    assert {str(one) for one in job_models.FINAL_STATUSES} == final


def test_an_id_stays_one_part_of_its_path() -> None:
    """`taskreel show ../credits` read the balance, and said that no API was there."""
    assert read_call("../credits").path == "/api/jobs/..%2Fcredits"
