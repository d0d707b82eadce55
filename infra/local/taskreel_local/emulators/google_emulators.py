"""Google's Firestore emulator and the Cloud Storage emulator, on free ports, always stopped."""

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

from taskreel_local.emulators.storage import StorageServer, generate_signing_key

#: Java takes a second or two, and much longer beside other work.
_START_SECONDS = 90.0
#: Less memory than the default (a quarter of the machine's), and a start twice as fast.
_JAVA_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.language=en")
_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"


class EmulatorMissingError(Exception):
    """A required program is not installed; the message says how to install it."""


@contextmanager
def firestore_emulator(port: int | None = None, *, seed: Path | None = None) -> Iterator[str]:
    """Run Google's Firestore emulator during the block; yield its `host:port`. In memory only.

    `seed` is the `overall_export_metadata` file of an export, whose documents it starts with.
    """
    with run_firestore(port, seed=seed) as (address, _):
        yield address


@contextmanager
def run_firestore(
    port: int | None = None, *, seed: Path | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the emulator during the block; yield its `host:port` and its process.

    Java is started directly: killing the SDK's own launchers leaves it running.
    """
    address = f"127.0.0.1:{port or free_port()}"
    host, _, number = address.partition(":")
    command = [
        _find_java(),
        *_JAVA_FLAGS,
        "-cp",
        str(_firestore_jar()),
        "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    ]
    seeds = [f"--seed_from_export={seed}"] if seed else []
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "start", f"--host={host}", f"--port={number}", *seeds],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(f"http://{address}/", process)
        yield address, process
    finally:
        process.terminate()
        process.wait(timeout=10)


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A running Cloud Storage emulator, and a key made for this run whose signatures it accepts."""

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
    """Run the Cloud Storage emulator on a thread of this process during the block.

    `key` is a pair as from `generate_signing_key`.
    """
    signing_key, public_key = key or generate_signing_key()
    storage = StorageServer(buckets=buckets, folder=folder, public_key=public_key)
    chosen = port or free_port()
    config = uvicorn.Config(
        storage.create_app(),
        host="127.0.0.1",
        port=chosen,
        log_level="warning",
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="local-cloud-storage")
    thread.start()
    try:
        url = f"http://127.0.0.1:{chosen}"
        _wait_until_ready(url, None)
        yield LocalStorage(url, storage, signing_key)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def free_port() -> int:
    """Return a port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_firestore_emulator() -> None:
    """Raise EmulatorMissingError where the Firestore emulator or its Java is not installed."""
    _find_java()
    _firestore_jar()


def _find_java() -> str:
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
            "The Firestore emulator is part of the Google Cloud SDK: "
            "https://cloud.google.com/sdk/docs/install"
        )
    # In the folder of its program as a rule; a packager's own launcher must be asked, for a second.
    jar = Path(gcloud).resolve().parents[1] / _JAR
    if jar.is_file():
        return jar
    command = [gcloud, "info", "--format=value(installation.sdk_root)"]
    root = subprocess.run(  # noqa: S603 - our own command
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()
    jar = Path(root) / _JAR
    if not jar.is_file():
        raise EmulatorMissingError(
            "The Firestore emulator is not installed: "
            "`gcloud components install cloud-firestore-emulator`, "
            "or `apt-get install google-cloud-cli-firestore-emulator`."
        )
    return jar


def _wait_until_ready(url: str, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(
                f"the emulator at {url} ended with code {process.returncode} before it was ready"
            )
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own http URL
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise TimeoutError(f"no response from {url} within {_START_SECONDS:g} s")
