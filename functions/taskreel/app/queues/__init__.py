"""Queue management: an administrator pauses, resumes and clears the queue of a job type."""
