"""`python -m taskreel_cloud_tasks`."""

from taskreel_cloud_tasks.command import main

main()
