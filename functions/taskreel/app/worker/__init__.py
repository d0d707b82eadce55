"""The processing of tasks, and the sweep that makes up for what was lost."""
