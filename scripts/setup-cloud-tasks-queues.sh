#!/usr/bin/env bash
# Create and update the Cloud Tasks queues as infra/queues.yaml declares them.
#
#   scripts/setup-cloud-tasks-queues.sh --project my-project [--dry-run]
#
# Creates missing queues and updates different ones, printing each changed setting. A queue that is not
# in the file is reported and not changed: the name of a deleted queue cannot be used again for days.
# Safe to run again; then it prints "Nothing to change."
#
#   --resume         also resume queues that are paused (scripts/destroy pauses them)
#   --adopt          take over queues of these names that carry no mark of Taskreel
#   --delete-retired delete the queues of earlier releases (image-generation-high, …), which get no new
#                    tasks and drain; tasks still on them are enqueued again by the sweep
set -euo pipefail
# shellcheck source=lib/common.sh
source "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/parts.sh
source "$(dirname "$0")/lib/parts.sh"

while (($#)); do
  case $1 in
    --resume | --adopt | --delete-retired) plan_flags+=("$1") && shift ;;
    *) common_option "$@" && shift "$consumed" ;;
  esac
done
prepare_run
ensure_queues
print_summary
