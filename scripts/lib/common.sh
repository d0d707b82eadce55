# shellcheck shell=bash
# Shared by the cloud scripts: options, error messages, and `ensure`, which makes one part of the cloud
# match infra/. A script sources this file, parses its options with `common_option`, then calls
# `prepare_run`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${TASKREEL_PYTHON:-$root/.venv/bin/python}

project=${GOOGLE_CLOUD_PROJECT:-}
location=${GOOGLE_CLOUD_LOCATION:-europe-central2}
number=
# apply: change the cloud · dry: print the changes · check: report differences (doctor)
mode=apply
changes=0
problems=0
plan_flags=()

say() { printf '%s\n' "$*"; }
warn() { printf 'note: %s\n' "$*" >&2; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The comment at the head of the script is its help.
usage() {
  awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
  cat <<'TEXT'

Options of every cloud script:
  --project ID     the Google Cloud project   (else $GOOGLE_CLOUD_PROJECT)
  --location NAME  the region                 (else $GOOGLE_CLOUD_LOCATION, else europe-central2)
  --dry-run        read, and print exactly what would change; write nothing
  --help           this text
TEXT
}

# Parses one common option; `consumed` is the number of its words.
# shellcheck disable=SC2034  # the caller shifts by it
common_option() {
  case $1 in
    --project | --location)
      [[ -n ${2:-} ]] || die "$1 needs a value"
      if [[ $1 == --project ]]; then project=$2; else location=$2; fi
      consumed=2
      ;;
    --project=*) project=${1#*=} consumed=1 ;;
    --location=*) location=${1#*=} consumed=1 ;;
    --dry-run)
      mode=dry
      consumed=1
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) die "unknown option $1; see $(basename "$0") --help" ;;
  esac
}

# Checks the requirements of every script, and creates a temporary folder that is removed at the end.
prepare_run() {
  command -v gcloud >/dev/null || die "gcloud is not installed; see https://cloud.google.com/sdk/docs/install"
  [[ -x $python ]] || "$root/scripts/bootstrap"
  [[ -n $project ]] || die "no project: give --project ID or set GOOGLE_CLOUD_PROJECT"
  umask 077
  cd "$root" || exit
  # A copy of standard output, for messages while the output of a command goes to a file.
  exec 5>&1
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # Without this, gcloud would ask questions; the scripts' own options answer them.
  export CLOUDSDK_CORE_PROJECT=$project CLOUDSDK_CORE_DISABLE_PROMPTS=1
}

# The default URLs of the services contain the project's number.
read_project_number() {
  read_state gcloud projects describe "$project" --format=json >"$scratch/project"
  number=$("$python" -c 'import json, sys; print((json.load(sys.stdin) or {}).get("projectNumber", ""))' <"$scratch/project")
  [[ -n $number ]] || die "there is no project $project, or your account may not read it; check --project, or: gcloud auth login"
}

# Settings that are not in the environment are taken from the deployment, else from the defaults.
load_deployed_settings() {
  local name value
  # If the API is off, nothing is deployed.
  if [[ $mode == apply ]]; then local mode=dry; fi
  if read_state gcloud run services list --region="$location" --format=json >"$scratch/services"; then
    plan list-settings <"$scratch/services" >"$scratch/deployed"
    while IFS='=' read -r name value; do
      if [[ -z ${!name:-} ]]; then export "$name=$value"; fi
    done <"$scratch/deployed"
  fi
  export BUCKET=${BUCKET:-$project-taskreel} DATABASE=${DATABASE:-taskreel}
}

print_summary() {
  case $mode in
    dry) if ((changes)); then say "Would make $changes changes. Nothing was written."; else say "Nothing to change."; fi ;;
    apply) if ((changes)); then say "Made $changes changes."; else say "Nothing to change."; fi ;;
  esac
}

# functions/ too: the planner reads the table of providers.
plan() { PYTHONPATH=$root/scripts/lib:$root/functions "$python" -m plan "$@" --project "$project" --location "$location" --number "$number" ${plan_flags[@]+"${plan_flags[@]}"}; }

# ensure PART [NAME] -- COMMAND…: read the state with COMMAND, plan PART, do its steps.
ensure() {
  local part=$1 name=
  shift
  if [[ $1 != -- ]]; then
    name=$1
    shift
  fi
  shift
  if ! read_state "$@" >"$scratch/found"; then
    say null >"$scratch/found"
    return 0
  fi
  apply_plan "$part" "$name" <"$scratch/found"
}

# apply_plan PART NAME <FOUND: the plan is a shell script that calls do_step once for each step.
apply_plan() {
  local part=$1 name=$2 before=$changes problems_before=$problems
  plan "$part" ${name:+"$name"} >"$scratch/plan" || die "cannot plan $part"
  # shellcheck source=/dev/null  # written by lib/plan, every word quoted
  source "$scratch/plan"
  if [[ $mode == check ]] && ((changes == before && problems == problems_before)); then
    say "ok      $part${name:+ $name}"
  fi
}

# do_step KIND WHY WORDS…: run, print or report one step (lib/plan/step.py has the kinds).
do_step() {
  local kind=$1 why=$2
  shift 2
  case $kind in
    warn)
      if [[ $mode == check ]]; then report_problem "$why"; else warn "$why"; fi
      return
      ;;
    fail)
      if [[ $mode == check ]]; then report_problem "$why"; else die "$why"; fi
      return
      ;;
  esac
  changes=$((changes + 1))
  case $mode in
    check)
      say "DIFFERS $why"
      return
      ;;
    dry)
      say "would $why"
      say "  $(format_step "$kind" "$@")"
      return
      ;;
  esac
  say "$why"
  case $kind in
    run) run_quietly "$@" </dev/null ;;
    show) "$@" </dev/null || die "the command failed, see its output above. Fix the cause and run this script again" ;;
    secret)
      print_secret_value "$1" >"$scratch/value"
      run_quietly "${@:2}" <"$scratch/value"
      rm -f "$scratch/value"
      ;;
    header)
      printf '%s:\n  X-Internal-Api-Key: "%s"\n' "$1" "$(print_schedule_key)" >"$scratch/flags"
      run_quietly "${@:2}" "--flags-file=$scratch/flags" </dev/null
      rm -f "$scratch/flags"
      ;;
  esac
}

# print_schedule_key: the value of X-Internal-Api-Key of the sweep's schedule, for KEY_IN_USE.
print_schedule_key() {
  PYTHONPATH=$root/scripts/lib:$root/functions "$python" -c 'import os
from plan.resource_steps import build_schedule_key
print(build_schedule_key(os.environ["KEY_IN_USE"]), end="")'
}

# change_by WHY FUNCTION ARGUMENT API METHOD VERB: a step that a function does, as for call_google.
change_by() {
  changes=$((changes + 1))
  case $mode in
    check) say "DIFFERS $1" ;;
    dry) say "would $1" ;;
    apply)
      say "$1"
      call_google "${@:2}"
      ;;
  esac
}

report_problem() {
  problems=$((problems + 1))
  say "PROBLEM $*" >&5
}

# The command of a step as a reader could run it, without its secret.
format_step() {
  local kind=$1 first
  shift
  case $kind in
    secret)
      first=$1
      shift
      quote_words "$@"
      if [[ -n ${!first:-} ]]; then printf ' # the value of $%s' "$first"; else printf ' # 32 random bytes'; fi
      ;;
    header)
      first=$1
      shift
      quote_words "$@" "$first=X-Internal-Api-Key=HIDDEN"
      ;;
    *) quote_words "$@" ;;
  esac
}

# The words quoted for a shell, only where necessary.
quote_words() {
  local word line=
  for word in "$@"; do
    if [[ ! $word =~ ^[A-Za-z0-9_=:/.,@%+-]+$ ]]; then word="'${word//\'/\'\\\'\'}'"; fi
    line+="$word "
  done
  printf '%s' "${line% }"
}

print_secret_value() {
  if [[ -n ${!1:-} ]]; then printf '%s' "${!1}"; else "$python" -c 'import secrets; print(secrets.token_urlsafe(32), end="")'; fi
}

# The internal key in use: the newest version of the secret, empty if there is none. Of a list, the first is sent.
read_internal_key() {
  gcloud secrets versions access latest --secret=taskreel-internal-api-key 2>/dev/null || true
}

# An API that was enabled a moment ago refuses calls for a minute or two.
is_disabled() { grep -qE 'SERVICE_DISABLED|it is disabled|not enabled on project' "$1"; }

# wait_for_api ERRORS: after a pause, true if the refusal is that of an API that this run has enabled; for
# at most five minutes in all.
waits=0
wait_for_api() {
  if [[ ${enabled_apis:-no} == no ]] || ! is_disabled "$1" || ((waits == 30)); then
    return 1
  fi
  if ((waits == 0)); then
    warn "Google is still enabling the APIs: waiting for them, for at most five minutes"
  fi
  waits=$((waits + 1))
  sleep "${TASKREEL_API_SECONDS:-10}"
}

# read_state COMMAND…: its output, or `null` when what it asks for does not exist (yet).
read_state() {
  local errors=$scratch/errors
  # Printed only after success: a failing listing has already printed its opening bracket.
  until "$@" >"$scratch/read" 2>"$errors" </dev/null; do
    if wait_for_api "$errors"; then
      continue
    elif grep -qE 'NOT_FOUND|not found|does not exist|HTTPError 404' "$errors"; then
      say null
    elif [[ $mode == dry ]] && is_disabled "$errors"; then
      warn "the API behind '$2 $3' is off yet; treated as empty"
      say null
    else
      explain_failure "$errors" "$@" || return
    fi
    return 0
  done
  cat "$scratch/read"
}

# call_google FUNCTION ARGUMENT API METHOD VERB: the output of a function for what gcloud has no command
# for. API, METHOD and VERB describe the call in an error message.
call_google() {
  until "$1" "$2" 2>"$scratch/errors"; do
    wait_for_api "$scratch/errors" || { explain_failure "$scratch/errors" "${@:3}" "$2" || return; }
  done
}

# run_quietly COMMAND…: prints nothing unless it fails. Retries, because a new service account is not
# known everywhere at once.
run_quietly() {
  local tries=0
  until "$@" >"$scratch/output" 2>"$scratch/errors"; do
    if wait_for_api "$scratch/errors"; then continue; fi
    tries=$((tries + 1))
    if ((tries == 5)) || ! grep -qE 'Service account .* does not exist|concurrent policy changes' "$scratch/errors"; then
      explain_failure "$scratch/errors" "$@"
    fi
    sleep "${TASKREEL_RETRY_SECONDS:-3}"
  done
}

# explain_failure ERRORS COMMAND…: prints what failed and the command that fixes it. Ends the script,
# except in the doctor.
explain_failure() {
  local errors=$1 text fix=
  shift
  text=$(grep -v '^$' "$errors" | head -n 6)
  case $text in
    *'active account'* | *Reauthentication* | *invalid_grant* | *'refreshing your current auth tokens'* | *UNAUTHENTICATED* | *'invalid authentication credentials'*)
      fix='gcloud auth login' ;;
    *SERVICE_DISABLED* | *'it is disabled'* | *'not enabled on project'*)
      fix="scripts/provision --project $project --location $location   # enables the APIs; a new one takes a minute" ;;
    *[Bb]illing*)
      fix="gcloud billing projects link $project --billing-account=ACCOUNT_ID" ;;
    *'not a valid location'* | *'ocation'*'is not found'* | *'nvalid location'* | *'ocation'*'not supported'*)
      fix='gcloud tasks locations list   # then give one of them as --location' ;;
    *PERMISSION_DENIED* | *'does not have permission'* | *'403'*)
      fix="gcloud projects add-iam-policy-binding $project --member=user:YOU --role=$(role_for "$@")   # by an owner of the project" ;;
    *RESOURCE_EXHAUSTED* | *uota*)
      fix='wait a minute and run this script again; limits are raised at https://console.cloud.google.com/iam-admin/quotas' ;;
    *'onnection refused'* | *'Unable to find the server'* | *'resolve'*)
      fix='check the network, and that no CLOUDSDK_API_ENDPOINT_OVERRIDES_… points at a server that is down' ;;
    *) fix="scripts/doctor --project $project --location $location" ;;
  esac
  if [[ $mode == check ]]; then
    report_problem "$(quote_words "${@:1:4}"): $(head -n 1 <<<"$text")"
    say "        to fix: $fix" >&5
    return 1
  fi
  printf '%s: this command failed: %s\n%s\n  to fix: %s\n' "$(basename "$0")" "$(quote_words "${@:1:4}") …" "$text" "$fix" >&2
  exit 1
}

# The role that lets a person do what a gcloud command does.
role_for() {
  case "$2 $3" in
    tasks*) say roles/cloudtasks.admin ;;
    firestore*) say roles/datastore.owner ;;
    storage*) say roles/storage.admin ;;
    secrets*) say roles/secretmanager.admin ;;
    scheduler*) say roles/cloudscheduler.admin ;;
    run*) say roles/run.admin ;;
    'beta quotas') say roles/cloudquotas.viewer ;;
    releases* | rulesets*) say roles/firebaserules.admin ;;
    documents*) say roles/datastore.user ;;
    policies*) say 'roles/monitoring.editor   # and roles/logging.configWriter' ;;
    budgets*) say 'roles/billing.costsManager   # on the billing account' ;;
    services*) say roles/serviceusage.serviceUsageAdmin ;;
    'iam roles') say roles/iam.roleAdmin ;;
    iam*) say roles/iam.serviceAccountAdmin ;;
    *) say roles/resourcemanager.projectIamAdmin ;;
  esac
}
