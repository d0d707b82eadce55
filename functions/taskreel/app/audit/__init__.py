"""The invariants of the store, and the audit that checks and repairs them."""
