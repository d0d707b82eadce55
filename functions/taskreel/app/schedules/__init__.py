"""Jobs at times: recurring jobs and their runs, and the times of scheduled jobs."""
