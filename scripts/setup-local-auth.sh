#!/usr/bin/env bash
# Let the API on this machine use a Google Cloud project: creates a service account for local development,
# its roles, and a settings file.
#
#   scripts/setup-local-auth.sh --project my-project [--dry-run]
#   scripts/dev --cloud
#
# The API of your working tree then runs here; its jobs go to the project's Firestore, Cloud Tasks and
# bucket, and the deployed task-processor runs them.
#
# By default you impersonate the account, and no key file exists. Safe to run again. It may be the first
# script that a project sees: it creates what the account refers to (APIs, bucket, service accounts, the
# internal key), exactly as scripts/provision does, which makes the rest.
#
#   --key            create a key file instead (0600, next to the settings), if you cannot impersonate
#   --env-file FILE  settings file (else .taskreel/cloud.env), mode 0600; use it by scripts/dev --cloud FILE
#   --member NAME    who may impersonate, e.g. group:devs@example.com (else your own account)
#
# INTERNAL_API_KEY is read from Secret Manager unless it is set. INITIAL_CREDITS (else 100) is the balance
# of a new user of your API.
set -euo pipefail
# shellcheck source=lib/common.sh
source "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/parts.sh
source "$(dirname "$0")/lib/parts.sh"

env_file=$root/.taskreel/cloud.env way=impersonate member=
while (($#)); do
  case $1 in
    --key) way=key && shift ;;
    --env-file) env_file=$(realpath -m "${2:?--env-file needs a path}") && shift 2 ;;
    --member) member=${2:?--member needs a value} && shift 2 ;;
    *) common_option "$@" && shift "$consumed" ;;
  esac
done
prepare_run
read_project_number
load_deployed_settings
account=$(plan value-email taskreel-dev </dev/null)
key_file=$(dirname "$env_file")/taskreel-dev-key.json

# The member who may impersonate: --member, else the active account.
choose_member() {
  [[ -z $member ]] || return 0
  local me
  me=$(gcloud config get-value account 2>/dev/null || true)
  if [[ $mode == dry && (-z $me || $me == '(unset)') ]]; then me=YOU; fi
  [[ -n $me && $me != '(unset)' ]] || die "no account to impersonate $account: log in with gcloud auth login, or give --member user:YOU"
  if [[ $me == *.gserviceaccount.com ]]; then member=serviceAccount:$me; else member=user:$me; fi
}

ensure_impersonation() {
  choose_member
  ensure impersonation "$member" -- gcloud iam service-accounts get-iam-policy "$account" --format=json
}

# Creates a new key if Google no longer has the one in the file.
ensure_key() {
  local id
  if [[ -f $key_file ]]; then
    id=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["private_key_id"])' <"$key_file")
    read_state gcloud iam service-accounts keys list --iam-account="$account" --managed-by=user --format=json >"$scratch/keys"
    if grep -q "/keys/$id\"" "$scratch/keys"; then return; fi
  fi
  do_step run "make a key of taskreel-dev in $key_file" gcloud iam service-accounts keys create "$scratch/key.json" \
    --iam-account="$account" --project="$project"
  if [[ $mode == apply ]]; then
    mkdir -p "$(dirname "$key_file")"
    mv "$scratch/key.json" "$key_file"
  fi
}

# What the account of local development refers to. Only what is missing in an empty project is made: in
# one that scripts/provision has made, a developer needs no right to make it.
ensure_foundation() {
  ensure_apis
  read_state gcloud iam service-accounts list --format=json >"$scratch/accounts"
  if ! grep -qF "\"$(plan value-email taskreel-invoker </dev/null)\"" "$scratch/accounts"; then
    ensure accounts -- gcloud iam service-accounts list --format=json
  fi
  read_state gcloud storage buckets describe "gs://$BUCKET" --format=json >"$scratch/bucket"
  if [[ $(<"$scratch/bucket") == null ]]; then ensure_bucket; fi
  read_state gcloud secrets versions access latest --secret=taskreel-internal-api-key >"$scratch/value"
  if [[ $(<"$scratch/value") == null ]]; then
    ensure secrets -- gcloud secrets list --format=json
  fi
}

# The key of the deployed processor, which refuses any other. A dry run on an empty project has none.
load_internal_key() {
  if [[ -z ${INTERNAL_API_KEY:-} ]]; then
    read_state gcloud secrets versions access latest --secret=taskreel-internal-api-key >"$scratch/value"
    INTERNAL_API_KEY=$(<"$scratch/value")
  fi
}

print_settings() {
  cat <<TEXT
# Written by scripts/setup-local-auth.sh for scripts/dev --cloud; holds secrets.
STORE_URL='firestore://$project/$DATABASE'
TASKS_URL=cloudtasks://$project/$location
BLOBS_URL=gs://$BUCKET
PROCESSOR_URL=${PROCESSOR_URL:-$(plan value-url task-processor </dev/null)}
MEDIA_PROCESSOR_URL=${MEDIA_PROCESSOR_URL:-${PROCESSOR_URL:-$(plan value-url media-processor </dev/null)}}
INVOKER_SERVICE_ACCOUNT=$(plan value-email taskreel-invoker </dev/null)
INTERNAL_API_KEY='$INTERNAL_API_KEY'
INITIAL_CREDITS=${INITIAL_CREDITS:-100}
CONFIGURED_PROVIDERS='${CONFIGURED_PROVIDERS:-}'
TEXT
  if [[ $way == key ]]; then
    say "GOOGLE_APPLICATION_CREDENTIALS='$key_file'"
    say "SIGNING_KEY_FILE='$key_file'"
  fi
}

ensure_settings() {
  print_settings >"$scratch/settings"
  if [[ -f $env_file ]] && cmp -s "$scratch/settings" "$env_file"; then
    chmod 0600 "$env_file"
    return
  fi
  changes=$((changes + 1))
  if [[ $mode == dry ]]; then
    say "would write $env_file (0600): $(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$scratch/settings" | paste -sd' ')"
    return
  fi
  say "write $env_file (0600)"
  mkdir -p "$(dirname "$env_file")"
  cp "$scratch/settings" "$env_file"
  chmod 0600 "$env_file"
}

ensure_foundation
plan_flags+=(--local)
ensure_accounts
if [[ $way == key ]]; then ensure_key; else ensure_impersonation; fi
load_internal_key
ensure_settings
print_summary
if [[ $mode == apply && $way == impersonate ]]; then
  say "Once, so that the client libraries find you:"
  say "  gcloud auth application-default login --impersonate-service-account=$account"
fi
