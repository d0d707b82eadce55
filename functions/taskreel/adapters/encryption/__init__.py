"""Encryption of documents' contents at rest; imported only where ENCRYPTION_KEY is set."""
