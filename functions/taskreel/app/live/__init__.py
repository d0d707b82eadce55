"""Live updates: the changes of jobs, to any number of readers, with a place to go on from."""
