"""`scripts/load`: a load of users, job types and an arrival process on a stack or a deployment."""
