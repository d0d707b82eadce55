"""Protocols that the use cases call and adapters implement, with the values that cross them.

Store (documents), TaskQueue, Blobs (files in a bucket), Provider and ProviderCatalogue (generation
services), MediaWorkers, ProbeFile, Fetch and WorkDirs (files on this machine), Clock.
Every method has a caller in the product or in queue management, retention or statistics.
"""

from __future__ import annotations

from taskreel.ports.clock import (
    Clock,
    Timer,
)
from taskreel.ports.files import (
    BlobInfo,
    Blobs,
    Fetch,
    FileFacts,
    MediaWorkers,
    ProbeFile,
    WorkDirs,
)
from taskreel.ports.outgoing_messages import (
    QueueStats,
    SendWebhook,
    Task,
    TaskQueue,
    WebhookMessage,
)
from taskreel.ports.providers import (
    Capability,
    Done,
    Generation,
    Input,
    Output,
    Pending,
    Provider,
    ProviderCatalogue,
    VerifyWebhook,
    WorkRequest,
)
from taskreel.ports.store import (
    COMMIT_DELAY,
    MOST_IN,
    Changes,
    Collection,
    Condition,
    Direction,
    Increment,
    Index,
    Operator,
    Query,
    Row,
    Store,
    Transaction,
    select_fields,
    undecoded_collection,
)

__all__ = [
    "COMMIT_DELAY",
    "MOST_IN",
    "BlobInfo",
    "Blobs",
    "Capability",
    "Changes",
    "Clock",
    "Collection",
    "Condition",
    "Direction",
    "Done",
    "Fetch",
    "FileFacts",
    "Generation",
    "Increment",
    "Index",
    "Input",
    "MediaWorkers",
    "Operator",
    "Output",
    "Pending",
    "ProbeFile",
    "Provider",
    "ProviderCatalogue",
    "Query",
    "QueueStats",
    "Row",
    "SendWebhook",
    "Store",
    "Task",
    "TaskQueue",
    "Timer",
    "Transaction",
    "VerifyWebhook",
    "WebhookMessage",
    "WorkDirs",
    "WorkRequest",
    "select_fields",
    "undecoded_collection",
]
