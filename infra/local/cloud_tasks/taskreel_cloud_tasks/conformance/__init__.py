"""Google's documented and recorded behaviour as probes of any emulator, over gRPC alone.

`python -m taskreel_cloud_tasks.conformance` starts this emulator and prints a table in Markdown;
with an address (`… 127.0.0.1:8123`) it probes whatever listens there. The other columns are what
their own documents say of the newest release, or what was measured of an older one; neither was run
against these probes, and `unknown` is what was not checked.

Sources: doc is Google's documentation or the docstrings of its client 2.26, recorded is what
aertje's golden files recorded from the real service in 2026, user is a report of a user.
"""
