"""Projects: members with roles, and the spend of their jobs."""
