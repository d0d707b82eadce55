"""What must be done so that the cloud is as infra/ declares: pure functions from (declared, found) to steps.

The scripts read the cloud with gcloud, hand what they found to `python -m plan PART`, and carry out
(or, with --dry-run, print) the steps that come back. Nothing in this package talks to Google but `rules`.
"""
