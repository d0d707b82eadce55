"""Credit accounts: balances, grants and spend caps.

A job's hold is a part of its submission, `jobs/submit.py`; its settlement of its end,
`jobs/finish_job.py`.
"""
