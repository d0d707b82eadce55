"""The API that a command calls: a stack on this machine, or a profile of `taskreel login`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskreel_local.cli.exit_codes import UnreachableError
from taskreel_local.cli.profiles import Profile, load_profiles, read_token

if TYPE_CHECKING:
    from taskreel_local.stack.data_folder import DataFolder

DEFAULT_DATA = Path(".taskreel")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTarget:
    """An API and the caller's token."""

    url: str
    token: str = field(repr=False)
    #: The stack or the profile, for people.
    name: str
    #: The data folder, if it is a stack on this machine.
    data: Path | None = None

    @property
    def advice(self) -> str:
        """The next step when it does not respond."""
        if self.data is not None:
            return f"Start it: scripts/dev --data {self.data}"
        return "Check the URL (taskreel profiles) and your network."

    def dashboard_url(self, path: str = "") -> str:
        """The address of a page of the dashboard."""
        return f"{self.url}/dashboard{path}"


def find_target(data: Path | None, profile: str | None, user: str | None) -> ApiTarget:
    """The API that the options, the environment, the current profile or the folder name.

    Without options these are asked in this order: TASKREEL_URL and TASKREEL_TOKEN, the profile of
    the last `taskreel login`, the stack that was started in this folder.
    """
    if data is not None:
        return _find_local(data, user)
    if profile is not None:
        return target_of_profile(profile, load_profiles().find(profile), user)
    url, token = os.environ.get("TASKREEL_URL"), os.environ.get("TASKREEL_TOKEN")
    if url and token:
        _refuse_user(user)
        if not url.startswith(("http://", "https://")):
            raise click.UsageError(f"TASKREEL_URL is {url!r}; it must begin with https://")
        return ApiTarget(url=url.rstrip("/"), token=token, name="the API of TASKREEL_URL")
    if url or token:
        missing = "TASKREEL_TOKEN" if url else "TASKREEL_URL"
        raise click.UsageError(f"{missing} is not set: set both of TASKREEL_URL and TASKREEL_TOKEN")
    profiles = load_profiles()
    if profiles.current is not None:
        return target_of_profile(profiles.current, profiles.find(profiles.current), user)
    return _find_local(DEFAULT_DATA, user)


def find_data_folder(data: Path | None) -> Path:
    """The data folder that is named, or the current profile's, or the one in this folder."""
    if data is not None:
        return data
    named = find_current_profile()
    return Path(named[1].data) if named is not None and named[1].data else DEFAULT_DATA


def find_current_profile() -> tuple[str, Profile] | None:
    """The profile of the environment or of the last `taskreel login`, with its name."""
    profiles = load_profiles()
    name = os.environ.get("TASKREEL_PROFILE") or profiles.current
    return None if name is None else (name, profiles.find(name))


def check_stack_has_run(data: Path) -> None:
    """Raise UnreachableError for a folder without a stack: a secret made there opens nothing."""
    from taskreel_local.stack.data_folder import DataFolder

    _read_url(DataFolder(data), data)


def find_store_url(folder: DataFolder) -> str:
    """The URL of a folder's SQLite store. Raises ClickException if there is none."""
    if not folder.store_file.exists():
        raise click.ClickException(f"There is no store in {folder.root}. Use --data DIR.")
    return f"sqlite:///{folder.store_file}"


def target_of_profile(name: str, profile: Profile, user: str | None) -> ApiTarget:
    """The API of a profile."""
    if profile.data is not None:
        return _find_local(Path(profile.data), user)
    _refuse_user(user)
    token = read_token(profile)
    return ApiTarget(url=profile.url or "", token=token, name=f"the profile {name}")


def _refuse_user(user: str | None) -> None:
    if user is not None:
        raise click.UsageError(
            "--user is for a stack on this machine: elsewhere your token says who you are"
        )


def _find_local(data: Path, user: str | None) -> ApiTarget:
    """The stack on a data folder, as its admin, or as the given user without that role."""
    from taskreel_local.stack.data_folder import DataFolder
    from taskreel_local.stack.dev_tokens import DEV_USER, make_token

    folder = DataFolder(data)
    url = _read_url(folder, data)
    role = "admin" if user is None else None
    token = make_token(folder, user=user or DEV_USER, tier="enterprise", role=role)
    return ApiTarget(url=url, token=token, name=f"the stack on {data}", data=data)


def _read_url(folder: DataFolder, data: Path) -> str:
    """The URL of the stack that runs, or has run, on the folder. Raises UnreachableError."""
    url = folder.read_url()
    if url is None:
        raise UnreachableError(
            f"No stack has run on {data}. Start one: scripts/dev --data {data}\n"
            "Or use a deployment: taskreel login NAME --url URL"
        )
    return url
