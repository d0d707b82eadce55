"""Templates of jobs: saved by users, shared by administrators."""
