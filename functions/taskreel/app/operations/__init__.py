"""Bulk operations: one action on every job that a filter means."""
