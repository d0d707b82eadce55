"""The profiles of `taskreel login`: which API, and with which token.

They are one file that its owner alone can read. No command prints a token.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An API and its token: a stored one, one that a command prints, or a local stack's."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    #: A command that prints a fresh token, for issuers whose tokens are short-lived.
    token_command: str | None = None
    #: The data folder of a stack on this machine: its URL and its secret are in it.
    data: str | None = None

    @property
    def where(self) -> str:
        """The API, for people."""
        return self.url or f"the stack on {self.data}"


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles, and the one that is used unless a command names another."""

    current: str | None = None
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def with_profile(self, name: str, profile: Profile) -> Profiles:
        """These and the profile, which is the current one then."""
        return Profiles(name, {**self.by_name, name: profile})

    def without(self, name: str) -> Profiles:
        """These without one."""
        others = {one: profile for one, profile in self.by_name.items() if one != name}
        return Profiles(None if self.current == name else self.current, others)

    def find(self, name: str) -> Profile:
        """The profile with this name. Raises UsageError."""
        if name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise click.UsageError(
                f"There is no profile {name} (there are: {known}). "
                f"Make it: taskreel login {name} --url URL"
            )
        return self.by_name[name]

    def using(self, name: str) -> Profiles:
        """These with another current one. Raises UsageError."""
        self.find(name)
        return replace(self, current=name)


def profiles_file() -> Path:
    """The file of the profiles, where the system's conventions have it."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "taskreel" / "profiles.json"


def load_profiles() -> Profiles:
    """Read the profiles. Raises ClickException for a damaged file."""
    path = profiles_file()
    try:
        stored = json.loads(path.read_text("utf-8"))
        found = {name: Profile(**fields) for name, fields in stored["profiles"].items()}
        return Profiles(stored.get("current"), found)
    except FileNotFoundError:
        return Profiles()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise click.ClickException(
            f"{path} is damaged. Remove it, and run taskreel login again."
        ) from None


def store_profiles(profiles: Profiles) -> None:
    """Write the profiles: the file is complete or not there, and readable by its owner alone."""
    path = profiles_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content: dict[str, Any] = {
        "current": profiles.current,
        "profiles": {
            name: {key: value for key, value in asdict(one).items() if value is not None}
            for name, one in profiles.by_name.items()
        },
    }
    # A temporary file has the mode 0600.
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix="profiles-", delete=False, encoding="utf-8"
    ) as file:
        json.dump(content, file, indent=2)
    Path(file.name).replace(path)


def read_token(profile: Profile) -> str:
    """The profile's token. Raises ClickException if its command gives none."""
    if profile.token_command is None:
        return profile.token or ""
    command = shlex.split(profile.token_command)
    try:
        # The command is the user's own.
        printed = subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise click.ClickException(
            f"The profile's token command failed: {profile.token_command} ({error})"
        ) from None
    token = printed.stdout.strip()
    if not token:
        raise click.ClickException(
            f"The profile's token command printed nothing: {profile.token_command}"
        )
    return token
