#!/usr/bin/env bash
# Make the Cloud Tasks queues as infra/queues.yaml declares them.
#
#   scripts/setup-cloud-tasks-queues.sh --project my-project [--dry-run]
#
# Creates what is missing and updates what differs, naming each setting that had been changed. A queue
# that is not in the file is reported and left alone: a deleted queue's name cannot be used again for
# days. Safe to run again; then it says that there is nothing to change.
#
#   --resume         also resume queues that are paused (scripts/destroy pauses them)
set -euo pipefail
# shellcheck source=lib/common.sh
source "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/parts.sh
source "$(dirname "$0")/lib/parts.sh"

while (($#)); do
  case $1 in
    --resume) plan_flags+=(--resume) && shift ;;
    *) common_option "$@" && shift "$taken" ;;
  esac
done
begin
ensure_queues
finish
