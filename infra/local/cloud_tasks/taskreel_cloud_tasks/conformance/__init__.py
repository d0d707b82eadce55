"""Google's documented and recorded behaviour as probes of any emulator, over gRPC alone.

`python -m taskreel_cloud_tasks.conformance` starts this emulator and prints a table in Markdown;
with an address (`… 127.0.0.1:8123`) it probes whatever listens there. The column 2024-12 has the
results of the same probes of aertje's source of that month; the columns after it were not probed:
they are what their own documents say of the newest release, and `unknown` is what was not checked.

Sources: doc is Google's documentation or the docstrings of its client 2.26, recorded is what
aertje's golden files recorded from the real service in 2026, user is a report of a user.
"""
