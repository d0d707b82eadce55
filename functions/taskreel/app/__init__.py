"""The use cases, in rooms that import downwards only: pyproject.toml has their order."""
