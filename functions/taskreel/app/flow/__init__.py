"""Flow control: which job may run now, and which waits for room."""
