"""Alerts for operators: their conditions, checked by the sweep, and their messages."""
