"""The life of a job: submit, run, finish; cancel, retry and replay; its input and output files."""
