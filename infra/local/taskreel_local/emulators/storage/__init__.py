"""A local Cloud Storage: what the real client library and `gcloud storage` need, with preconditions that hold."""

from taskreel_local.emulators.storage.storage_server import StorageServer, throwaway_key

__all__ = ["StorageServer", "throwaway_key"]
