"""Records of jobs: their history, dead letters, and statistics."""
