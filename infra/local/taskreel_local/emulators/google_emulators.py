"""Google's Firestore emulator and the local Cloud Storage, started on free ports and always stopped."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from taskreel_local.emulators.storage import StorageServer, throwaway_key

_START_SECONDS = 30.0
#: A quarter of the machine's memory by default, for an emulator that does not need it; and a start twice as fast.
_JAVA_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.language=en")
_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"


class EmulatorMissingError(Exception):
    """What must be installed is not; the message says how."""


@contextmanager
def firestore_emulator(port: int | None = None) -> Iterator[str]:
    """Google's Firestore emulator for the time of the block: its `host:port`. What it holds is gone at the end.

    Java is started directly: killing the SDK's own launchers leaves it running.
    """
    address = f"127.0.0.1:{port or free_port()}"
    host, _, number = address.partition(":")
    command = [
        _java(),
        *_JAVA_FLAGS,
        "-cp",
        str(_firestore_jar()),
        "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    ]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "start", f"--host={host}", f"--port={number}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(f"http://{address}/", process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A running local Cloud Storage, and the key whose signatures it accepts: made for this run, never stored."""

    url: str
    server: StorageServer
    signing_key: dict[str, Any]


@contextmanager
def storage_emulator(
    buckets: Sequence[str] = (),
    *,
    folder: Path | None = None,
    port: int | None = None,
    key: tuple[dict[str, Any], bytes] | None = None,
) -> Iterator[LocalStorage]:
    """The local Cloud Storage on a thread of this process, for the time of the block; `key` as by throwaway_key."""
    signing_key, public_key = key or throwaway_key()
    storage = StorageServer(buckets=buckets, folder=folder, public_key=public_key)
    chosen = port or free_port()
    config = uvicorn.Config(
        storage.app(), host="127.0.0.1", port=chosen, log_level="warning", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="local-cloud-storage")
    thread.start()
    try:
        url = f"http://127.0.0.1:{chosen}"
        _wait_until_it_answers(url, None)
        yield LocalStorage(url, storage, signing_key)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise EmulatorMissingError(
            "The Firestore emulator needs Java 11 or newer: `apt-get install default-jre-headless`."
        )
    return java


@functools.cache
def _firestore_jar() -> Path:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise EmulatorMissingError(
            "The Firestore emulator is part of the Google Cloud SDK: https://cloud.google.com/sdk/docs/install"
        )
    command = [gcloud, "info", "--format=value(installation.sdk_root)"]
    root = subprocess.run(  # noqa: S603 - our own command
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()
    jar = Path(root) / _JAR
    if not jar.is_file():
        raise EmulatorMissingError(
            "The Firestore emulator is not installed: `gcloud components install cloud-firestore-emulator`,"
            " or `apt-get install google-cloud-cli-firestore-emulator`."
        )
    return jar


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes] | None) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process is not None and process.poll() is not None:
            raise RuntimeError(
                f"the emulator ended with code {process.returncode} instead of answering at {url}"
            )
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own http URL
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise TimeoutError(f"nothing answered at {url} for {_START_SECONDS:g} s")
