"""`Store` on Firestore. Importing this loads no Google library: the first call does."""

from taskreel.adapters.gcp.firestore.store import FirestoreStore

__all__ = ["FirestoreStore"]
