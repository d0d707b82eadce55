"""Rules for every test: loopback addresses only, no settings from outside, no deadlines."""

from __future__ import annotations

import gc
import logging
import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from functools import partial

import pytest
import pytest_socket
from hypothesis import settings

from installed_programs import GCLOUD_INSTALL, find_program, skip_or_fail
from secret_watch import SecretWatch, find_own_fields
from shared_by_run import share_in_run
from taskreel.adapters.providers import KEY_VARIABLES, PROVIDERS
from taskreel.config import Settings
from taskreel_local.emulators.google_emulators import (
    EmulatorMissingError,
    LocalStorage,
    firestore_emulator,
    storage_emulator,
)
from traced_processes import stop_tracing_children
from warm_programs import warm_gcloud, warm_python

LOOPBACK = ["127.0.0.1", "::1", "localhost"]

_OTHER_KEYS = [name for entry in PROVIDERS.values() for name in entry.other_key_variables]
for name in [*map(str.upper, Settings.model_fields), *KEY_VARIABLES.values(), *_OTHER_KEYS]:
    os.environ.pop(name, None)
if os.environ.get("PYTEST_XDIST_WORKER"):
    stop_tracing_children()

settings.register_profile("dev", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


#: Files that take minutes. xdist hands out whole files in this order: started last, one of them
#: would keep a single process busy while the other has nothing to do.
LONGEST_FILES = (
    "test_thousand_hours.py",
    "test_simulation.py",
    "test_planted_bugs.py",
    "test_scripts.py",
    "test_dashboard_quality.py",
    "test_survival.py",
    "test_life.py",
    "test_rehearsals.py",
    "test_restore.py",
    "test_other_applications.py",
    "test_commands.py",
    "test_setup_commands.py",
    "test_chaos.py",
    "test_stopping.py",
    "test_local_operations.py",
    "test_every_type.py",
    "test_documents_commands.py",
    "test_operator_story.py",
    "test_fuzzed_stack.py",
    "test_readme.py",
    "test_gcloud_commands.py",
    "test_flow_rehearsal.py",
    "test_operator_commands.py",
    "test_terminal_commands.py",
    "test_demo.py",
    "test_busy_account.py",
    "test_backlog.py",
    "test_openapi_fuzz.py",
    "test_document_3.py",
    "test_document_1.py",
    "test_document_5.py",
    "test_any_prompt.py",
    "test_job_types.py",
    "test_film_types.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and let it pass over what that has made.

    It would look through all modules and tests again and again, in each process of a run: a third
    of a collection's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


class RecentErrors(logging.Handler):
    """The last logged errors with their fields, which pytest's own section leaves out."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: deque[str] = deque(maxlen=20)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {find_own_fields(record)}")


_recent_errors = RecentErrors()
logging.getLogger().addHandler(_recent_errors)
_secret_watch = SecretWatch()
logging.getLogger().addHandler(_secret_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show why a failed test's service answered 503: the cause is in a field of its log line."""
    report = yield
    if report.failed and _recent_errors.lines:
        report.sections.append(("Fields of logged errors", "\n".join(_recent_errors.lines)))
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    _recent_errors.lines.clear()
    if item.get_closest_marker("live") is None:
        pytest_socket.socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Fail the test whose log lines held a secret."""
    found = _secret_watch.take()
    if found:
        pytest.fail("secrets in the log:\n" + "\n".join(found), pytrace=False)


@pytest.fixture(scope="session")
def firestore_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Google's Firestore emulator; without it tests are skipped, or fail in CI.

    All processes of a run share it: each test has a project of its own.
    """
    try:
        with share_in_run(tmp_path_factory, "firestore", firestore_emulator) as address:
            yield address
    except EmulatorMissingError as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def gcloud_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment that gcloud needs; without gcloud tests are skipped, or fail in CI."""
    program = find_program("gcloud", GCLOUD_INSTALL)
    if os.environ.get("NIGHTLY"):
        yield {}
        return
    with (
        share_in_run(tmp_path_factory, "gcloud", partial(warm_gcloud, program)) as variables,
        share_in_run(tmp_path_factory, "planner", warm_python) as python,
    ):
        yield {**variables, "TASKREEL_PYTHON": python}


@pytest.fixture(scope="session")
def local_storage() -> Iterator[LocalStorage]:
    with storage_emulator() as local:
        yield local
