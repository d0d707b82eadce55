"""The plan of a submission: its units, their providers, and the price in credits and dollars."""
