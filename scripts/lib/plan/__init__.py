"""The plan that makes the cloud match infra/: pure functions from (declared, found) to steps.

The scripts read the cloud with gcloud, pass the result to `python -m plan PART`, and run (or, with
--dry-run, print) the steps. Only `security_rules` calls Google itself.
"""
