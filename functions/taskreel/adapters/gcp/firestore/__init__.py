"""`Store` on Firestore. Importing this loads neither gRPC nor a Google library: the first use does."""

from taskreel.adapters.gcp.firestore.store import FirestoreStore

__all__ = ["FirestoreStore"]
