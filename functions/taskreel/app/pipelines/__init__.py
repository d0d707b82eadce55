"""Pipelines: jobs whose steps are jobs of their own."""
