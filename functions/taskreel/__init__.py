"""Taskreel: a serverless backend for AI media generation."""
