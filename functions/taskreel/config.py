"""Settings: read once from the environment and validated; other modules get their values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from taskreel.domain.validation_messages import describe_errors
from taskreel.domain.value import Value, validation_error
from taskreel.google_settings import derive_settings, describe_missing

#: A port may be any: `:*`. Compiled where a setting is checked by it, which few have: cold start.
_ORIGIN = r"https?://[\w.-]+(:(\d{1,5}|\*))?|https?://\[[0-9a-f:]+\](:(\d{1,5}|\*))?"
_METRICS_KEY = r"[!-~]{16,256}"
#: RFC 7518, 3.2: a key for HS256 is at least as long as the hash.
_HS256_BYTES = 32
#: In the text of a key pair's key, in PEM, of SSH or as a JWK.
_KEY_MARKS = ("-----BEGIN ", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-", '"kty"')


class ConfigurationError(Exception):
    """A setting is missing or wrong; the message names the variable."""


class Settings(Value):
    """Each field is the environment variable of the same name in capitals."""

    model_config = ConfigDict(alias_generator=None)

    #: A Google URL (firestore:, cloudtasks:, gs:) may end with `?emulator=ADDRESS`; the first two
    #: also with `?endpoint=HOST`, to use instead of the service's own host.
    #: The project and location of the adapters whose URLs are not given (google_settings.py).
    google_cloud_project: str | None = None
    google_cloud_location: str | None = None
    #: The service's name, as Cloud Run sets it; absent on any other machine.
    k_service: str | None = None
    store_url: str = "sqlite:///.taskreel/store.db"
    #: `embedded:///QUEUES.yaml`: queues in this process, with the settings of the file; the path is
    #: relative, and absolute after four slashes. `?unthrottled` ignores their rates.
    tasks_url: str = "embedded:///infra/queues.yaml"
    blobs_url: str = "file:///.taskreel/files"
    #: As Google's own clients read it; `?emulator=` in STORE_URL comes first.
    firestore_emulator_host: str | None = None
    api_base_url: str = "http://127.0.0.1:8080"
    #: The URL at which Cloud Tasks calls the task processor.
    processor_url: str = "http://127.0.0.1:8080"
    #: The URL of another task processor, for tasks of job types that work on media files; absent:
    #: PROCESSOR_URL takes them all. Only Cloud Tasks uses it.
    media_processor_url: str | None = None
    #: Two keys, separated by a comma, while they are being rotated; tasks carry the first.
    internal_api_key: SecretStr = SecretStr("")
    #: Tasks of Cloud Tasks carry a signature of their body in place of the key, which viewers
    #: of the project could read. Processors of releases before it take the key alone.
    sign_tasks: bool = False
    #: Signs links to files and event-stream tokens; like INTERNAL_API_KEY it may hold two keys.
    #: Absent: INTERNAL_API_KEY signs them, and anyone who can read a task can forge them.
    link_key: SecretStr | None = None
    jwt_secret: SecretStr | None = None
    jwt_public_key: str | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway_seconds: int = Field(default=30, ge=0, le=600)
    #: The dashboard's public client at JWT_ISSUER, for its sign-in page (OpenID Connect,
    #: authorization code with PKCE); absent: the dashboard asks for a token. The token is the ID
    #: token where JWT_AUDIENCE is this client, else the access token.
    sign_in_client_id: str | None = None
    #: The scopes that it asks for; some issuers have one for an audience (`api://taskreel/jobs`).
    sign_in_scopes: str = Field(default="openid", pattern=r"^(.* )?openid( .*)?$")
    #: Reads `/metrics`, and nothing else, as `Authorization: Bearer KEY`: for a Prometheus server.
    #: Absent: an admin's token alone reads them.
    metrics_key: SecretStr | None = None
    #: The origins whose pages may call the API, separated by commas: `https://app.example.com`,
    #: `http://localhost:*` for any port, or `*`. Absent: no page of another origin.
    cors_origins: str = ""
    #: The user of socket.io connections without a token. The dev stack has one, so that the
    #: documented client works as it is; a deployment has none, and refuses them.
    live_guest_user: str | None = None
    #: The path of the read-only MCP server for assistants, such as `/mcp`; absent: there is none.
    mcp_path: str | None = Field(default=None, pattern=r"^(/[a-z0-9-]+)+$")
    #: Signs the embedded files' URLs.
    files_secret: SecretStr = SecretStr("")
    #: The account whose OIDC token Cloud Tasks sends with each task.
    invoker_service_account: str | None = None
    #: The issuer of that token and its key set. The processor takes a token that they verify in
    #: place of the internal key; behind Cloud Run's own check it arrives without its signature.
    oidc_issuer: str = "https://accounts.google.com"
    oidc_keys_url: str = "https://www.googleapis.com/oauth2/v3/certs"
    #: Encrypts prompts, payloads and results in the store (encryption_setting.py): `file:PATH`,
    #: `key:BASE64` or `gcp-kms://projects/…/cryptoKeys/KEY`; behind a comma, keys that decrypt.
    #: Absent: nothing is encrypted by this system.
    encryption_key: SecretStr | None = None
    #: A service account's key that signs Cloud Storage URLs; not needed on Cloud Run.
    signing_key_file: Path | None = None
    initial_credits: int = Field(default=0, ge=0)
    #: The path of a file like infra/limits.yaml, or its content as JSON; absent: no limits.
    limits: str | None = None
    #: Providers of this process beside Taskreel's own: `module:ATTRIBUTE`, InProcessProviders.
    #: The dev stack's studio is one; a deployment has none.
    extra_providers: str | None = None
    #: The imitation that serves jobs whose provider has no key here; absent: such jobs are refused.
    stand_in_provider: str | None = None
    #: The root of an OTLP/HTTP receiver, such as http://localhost:4318; without it no span is
    #: recorded, and OpenTelemetry's SDK not imported.
    otel_exporter_otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://\S+$")
    #: The name of this process there; on Cloud Run that of the service.
    otel_service_name: str | None = None
    lease_seconds: float = Field(default=30, ge=1)
    heartbeat_seconds: float = Field(default=5, ge=0.1)
    rescue_after_seconds: float = Field(default=120, ge=1)
    signed_url_seconds: int = Field(default=3600, ge=60, le=604_800)
    #: Days that an ended job is stored, with its files. In the cloud the bucket removes the files:
    #: scripts/deploy takes the number of its rule, in infra/bucket.lifecycle.json.
    retention_days: int = Field(default=90, ge=1, le=3650)
    #: Job types whose jobs are stored for fewer days, with their files: `image-generation:30,…`.
    #: Steps of pipelines are stored as long as all.
    type_retention_days: str = ""
    #: The parts of the index by which the sweep finds jobs: Firestore takes about 500 writes a
    #: second in each. Raise it at any time. Lowered, what has a higher number is not found.
    wake_shards: int = Field(default=8, ge=8, le=30)
    scratch_dir: Path = Path("/tmp/taskreel")  # noqa: S108 - Cloud Run's only writable place
    #: Room for the files of running jobs in this instance; a job waits for it. On Cloud Run it is
    #: memory, beside the server's and WORKER_PROCESSES × WORKER_MEMORY_MB.
    scratch_mb: int = Field(default=1024, ge=1)
    #: Limits on the files that one job starts from (see domain/input_limits.py).
    max_job_input_files: int = Field(default=200, ge=1)
    max_input_file_mb: int = Field(default=200, ge=1)
    max_job_input_mb: int = Field(default=500, ge=1)
    max_job_input_megapixels: int = Field(default=2000, ge=1)
    max_job_input_seconds: float = Field(default=21_600, ge=1)
    worker_processes: int | None = Field(default=None, ge=1, le=64)
    worker_memory_mb: int = Field(default=1024, ge=64)
    log_level: str = "INFO"
    #: `json` for Cloud Logging, `text` for people.
    log_format: str = "json"
    provider_keys: dict[str, SecretStr] = Field(default_factory=dict)
    #: Separated by commas: providers whose keys are set only where their jobs run; this service
    #: accepts jobs for them.
    configured_providers: str = ""
    #: JSON `{provider: URL}`: base URLs that replace the providers' own.
    provider_base_urls: dict[str, str] = Field(default_factory=dict)
    #: JSON `{provider: secret}`: the providers that may call `/api/webhooks/{provider}`. For bfl,
    #: choose any secret.
    webhook_secrets: dict[str, SecretStr] = Field(default_factory=dict)
    #: Gets alerts for operators, in the form of Slack's incoming webhooks (infra/guides/alerts.md).
    #: Who has it can write to the channel, so it is a secret. Absent: alerts are listed alone.
    alert_webhook_url: SecretStr | None = None
    #: JSON `{field: number}`: fields of AlertThresholds that differ from its own.
    alert_thresholds: dict[str, Any] = Field(default_factory=dict)
    #: Origins that may get client webhooks although they are private or without TLS, separated by
    #: commas: `http://localhost:3000`. For a machine of one's own; a deployment has none.
    webhook_private_origins: str = ""
    #: Use Google through Vertex AI, as the service's own account, instead of GOOGLE_API_KEY.
    google_vertex_project: str | None = None
    google_vertex_location: str = "us-central1"

    @field_validator("provider_base_urls", "webhook_secrets", "alert_thresholds", mode="before")
    @classmethod
    def _parse_json(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("internal_api_key", "link_key")
    @classmethod
    def _check_key_length(cls, value: SecretStr | None) -> SecretStr | None:
        keys = [] if value is None else value.get_secret_value().split(",")
        if any(len(key.strip()) < 16 for key in keys):
            raise ValueError(
                "each key must have at least 16 characters; `openssl rand -hex 32` generates one"
            )
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        secret = "" if value is None else value.get_secret_value()
        if value is not None and len(secret.encode()) < _HS256_BYTES:
            raise ValueError(
                f"must have at least {_HS256_BYTES} bytes; `openssl rand -hex 32` generates one"
            )
        # Whoever knows the public key could sign as anybody.
        if any(mark in secret for mark in _KEY_MARKS):
            raise ValueError("is a key pair's, not a secret: set a public key as JWT_PUBLIC_KEY")
        return value

    @field_validator("metrics_key")
    @classmethod
    def _check_metrics_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(_METRICS_KEY, value.get_secret_value()):
            raise ValueError(
                "must have 16 to 256 visible ASCII characters; `openssl rand -hex 32` generates one"
            )
        return value

    @field_validator("webhook_private_origins")
    @classmethod
    def _check_private_origins(cls, value: str) -> str:
        for origin in _split_list(value):
            if not re.fullmatch(_ORIGIN, origin) or origin.endswith("*"):
                raise ValueError(
                    f"{origin!r} is no origin: give a scheme, a host and a port, such as "
                    "http://localhost:3000"
                )
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        for origin in _split_list(value):
            if origin != "*" and not re.fullmatch(_ORIGIN, origin):
                raise ValueError(
                    f"{origin!r} is no origin. An origin is a scheme and a host without a path, "
                    "such as https://app.example.com, http://localhost:* for any port, or *"
                )
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        found = []
        if self.jwt_public_key is not None and self.jwt_audience is None:
            message = (
                "must be set beside JWT_PUBLIC_KEY: without it a token that its issuer made for "
                "another service is accepted here"
            )
            found.append((("jwt_audience",), message))
        if self.sign_in_client_id is not None and not _has_origin(self.jwt_issuer or ""):
            message = (
                "needs JWT_ISSUER, the URL of the issuer whose sign-in page the dashboard opens"
            )
            found.append((("sign_in_client_id",), message))
        address = self.alert_webhook_url
        if address is not None and not self._may_get_alerts(address.get_secret_value()):
            # The address is a secret, and no part of the message.
            message = (
                "must be a complete https:// URL, such as Slack shows for an incoming webhook; one "
                "on a network of your own also needs its origin in WEBHOOK_PRIVATE_ORIGINS"
            )
            found.append((("alert_webhook_url",), message))
        if self.lease_seconds <= self.heartbeat_seconds:
            message = (
                "must be greater than HEARTBEAT_SECONDS, after which a run renews its lease; "
                "else runs lose their jobs while they work"
            )
            found.append((("lease_seconds",), message))
        if found:
            raise validation_error("Settings", found)
        return self

    @property
    def project(self) -> str | None:
        """The Google Cloud project, given or in the URL of the store."""
        parts = urlsplit(self.store_url)
        return self.google_cloud_project or (parts.netloc if parts.scheme == "firestore" else None)

    @property
    def has_own_queues(self) -> bool:
        """True where the queues are in this process, and not a service."""
        return urlsplit(self.tasks_url).scheme == "embedded"

    @property
    def console_project(self) -> str | None:
        """The project whose Cloud Console shows this service; None where it is not deployed."""
        return self.project if self.k_service else None

    @property
    def internal_keys(self) -> list[str]:
        """The processor's keys; tasks carry the first. Raises ConfigurationError without any."""
        if not self.internal_api_key.get_secret_value():
            raise ConfigurationError(
                "INTERNAL_API_KEY is not set. The task processor needs it to authenticate tasks; "
                "`openssl rand -hex 32` generates one."
            )
        return [key.strip() for key in self.internal_api_key.get_secret_value().split(",")]

    @property
    def processor_urls(self) -> list[str]:
        """The roots of the task processors, which are the audiences of tasks' OIDC tokens."""
        given = (self.processor_url, self.media_processor_url)
        return [url.rstrip("/") for url in given if url]

    @property
    def link_keys(self) -> list[str]:
        """The keys of file links and stream tokens; the first signs.

        The internal keys never verify beside a LINK_KEY: tasks carry them.
        """
        if self.link_key is None:
            return self.internal_keys
        return [key.strip() for key in self.link_key.get_secret_value().split(",")]

    @property
    def allowed_origins(self) -> list[str]:
        """The origins of CORS_ORIGINS."""
        return _split_list(self.cors_origins)

    @property
    def private_webhook_origins(self) -> list[str]:
        """The origins of WEBHOOK_PRIVATE_ORIGINS."""
        return _split_list(self.webhook_private_origins)

    def _may_get_alerts(self, url: str) -> bool:
        """True for an address that messages may go to, as far as it can be known without DNS."""
        parts = urlsplit(url)
        # The sender refuses a user and a password, too.
        is_complete = _has_origin(url) and url.isprintable() and " " not in url
        is_complete = is_complete and "@" not in parts.netloc
        origin = f"{parts.scheme}://{parts.netloc}"
        return is_complete and (parts.scheme == "https" or origin in self.private_webhook_origins)

    @classmethod
    def check_start(cls, environ: Mapping[str, str], key_names: Mapping[str, str]) -> None:
        """Raise ConfigurationError for what is missing or wrong, all of it in one line."""
        given = {
            name: environ[name.upper()] for name in cls.model_fields if environ.get(name.upper())
        }
        missing = describe_missing(derive_settings(given))
        if missing:
            raise ConfigurationError("; ".join(missing))
        cls.from_environment(environ, key_names)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], key_names: Mapping[str, str]) -> Self:
        """The settings in `environ`.

        Args:
            environ: The environment.
            key_names: For each provider, the variable with its key.

        Raises:
            ConfigurationError: A variable is missing or invalid.
        """
        given = {
            name: environ[name.upper()] for name in cls.model_fields if environ.get(name.upper())
        }
        keys = {
            provider: environ[name] for provider, name in key_names.items() if environ.get(name)
        }
        try:
            return cls.model_validate({**derive_settings(given), "provider_keys": keys})
        except ValidationError as error:
            found = describe_errors(error.errors(include_input=False), cls)
            lines = [f"{str(at[0]).upper()}: {message}" for at, message in found if at]
            raise ConfigurationError("; ".join(lines) or str(error)) from None


def _has_origin(url: str) -> bool:
    parts = urlsplit(url)
    return re.fullmatch(_ORIGIN, f"{parts.scheme}://{parts.netloc}") is not None


def _split_list(text: str) -> list[str]:
    """The parts of a text between commas, without spaces; empty parts are left out."""
    return [part.strip() for part in text.split(",") if part.strip()]
