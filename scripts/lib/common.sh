# shellcheck shell=bash
# What the cloud scripts share: options, clear errors, and `ensure`, which makes one part of the cloud
# as infra/ declares it. A script sources this file, reads its options with `common_option`, then calls
# `begin`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${TASKREEL_PYTHON:-$root/.venv/bin/python}

project=${GOOGLE_CLOUD_PROJECT:-}
location=${GOOGLE_CLOUD_LOCATION:-europe-central2}
number=
# apply: do it · dry: print it · check: only count and report (doctor)
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

# Takes one common option off the front of the arguments; `taken` says how many words it had.
# shellcheck disable=SC2034  # the caller shifts by it
common_option() {
  case $1 in
    --project | --location)
      [[ -n ${2:-} ]] || die "$1 needs a value"
      if [[ $1 == --project ]]; then project=$2; else location=$2; fi
      taken=2
      ;;
    --project=*) project=${1#*=} taken=1 ;;
    --location=*) location=${1#*=} taken=1 ;;
    --dry-run)
      mode=dry
      taken=1
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) die "unknown option $1; see $(basename "$0") --help" ;;
  esac
}

# Checks what every script stands on, and makes a private folder that goes when the script ends.
begin() {
  command -v gcloud >/dev/null || die "gcloud is not installed; see https://cloud.google.com/sdk/docs/install"
  [[ -x $python ]] || "$root/scripts/bootstrap"
  [[ -n $project ]] || die "which project? Give --project ID or set GOOGLE_CLOUD_PROJECT"
  umask 077
  cd "$root"
  # The reader, for what must be said while the output of a reading command is on its way into a file.
  exec 5>&1
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # gcloud would ask questions; a script answers them by its own options.
  export CLOUDSDK_CORE_PROJECT=$project CLOUDSDK_CORE_DISABLE_PROMPTS=1
}

# The default URLs of the services contain the project's number.
find_number() {
  read_state gcloud projects describe "$project" --format=json >"$scratch/project"
  number=$("$python" -c 'import json, sys; print((json.load(sys.stdin) or {}).get("projectNumber", ""))' <"$scratch/project")
  [[ -n $number ]] || die "there is no project $project, or your account may not see it; check --project, or: gcloud auth login"
}

# What the caller's environment does not say is as it is deployed, else the default.
find_settings() {
  local name value
  # An API that is off has nothing deployed.
  if [[ $mode == apply ]]; then local mode=dry; fi
  if read_state gcloud run services list --region="$location" --format=json >"$scratch/services"; then
    plan list-settings <"$scratch/services" >"$scratch/deployed"
    while IFS='=' read -r name value; do
      if [[ -z ${!name:-} ]]; then export "$name=$value"; fi
    done <"$scratch/deployed"
  fi
  export BUCKET=${BUCKET:-$project-taskreel} DATABASE=${DATABASE:-(default)}
}

finish() {
  case $mode in
    dry) if ((changes)); then say "Would make $changes changes. Nothing was written."; else say "Nothing to change."; fi ;;
    apply) if ((changes)); then say "Made $changes changes."; else say "Nothing to change."; fi ;;
  esac
}

# functions/ too: the planner reads the table of providers.
plan() { PYTHONPATH=$root/scripts/lib:$root/functions "$python" -m plan "$@" --project "$project" --location "$location" --number "$number" ${plan_flags[@]+"${plan_flags[@]}"}; }

# ensure PART [NAME] -- COMMAND…: read with COMMAND, plan PART, carry the steps out.
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
  carry_out "$part" "$name" <"$scratch/found"
}

# carry_out PART NAME <FOUND
carry_out() {
  local part=$1 name=$2 before=$changes problems_before=$problems
  local -a step
  plan "$part" ${name:+"$name"} >"$scratch/plan" || die "no plan for $part"
  while IFS=$'\x1f' read -r -d $'\x1e' -a step <&3; do
    take "${step[@]}"
  done 3<"$scratch/plan"
  if [[ $mode == check ]] && ((changes == before && problems == problems_before)); then
    say "ok      $part${name:+ $name}"
  fi
}

# take KIND WHY WORDS…: one step.
take() {
  local kind=$1 why=$2
  shift 2
  case $kind in
    warn)
      if [[ $mode == check ]]; then problem "$why"; else warn "$why"; fi
      return
      ;;
    fail)
      if [[ $mode == check ]]; then problem "$why"; else die "$why"; fi
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
      say "  $(shown "$kind" "$@")"
      return
      ;;
  esac
  say "$why"
  case $kind in
    run) quietly "$@" </dev/null ;;
    show) "$@" </dev/null || die "that failed; the lines above say why. Mend it and run this script again" ;;
    secret)
      secret_value "$1" >"$scratch/value"
      quietly "${@:2}" <"$scratch/value"
      rm -f "$scratch/value"
      ;;
    header)
      printf '%s:\n  X-Internal-Api-Key: "%s"\n' "$1" "${KEY_IN_USE%%,*}" >"$scratch/flags"
      quietly "${@:2}" "--flags-file=$scratch/flags" </dev/null
      rm -f "$scratch/flags"
      ;;
  esac
}

problem() {
  problems=$((problems + 1))
  say "PROBLEM $*" >&5
}

# A step as a reader could run it, without its secret.
shown() {
  local kind=$1 first
  shift
  case $kind in
    secret)
      first=$1
      shift
      quoted "$@"
      if [[ -n ${!first:-} ]]; then printf ' # the value of $%s' "$first"; else printf ' # 32 random bytes'; fi
      ;;
    header)
      first=$1
      shift
      quoted "$@" "$first=X-Internal-Api-Key=HIDDEN"
      ;;
    *) quoted "$@" ;;
  esac
}

# The words as a shell would take them back, quoted only where they must be.
quoted() {
  local word line=
  for word in "$@"; do
    if [[ ! $word =~ ^[A-Za-z0-9_=:/.,@%+-]+$ ]]; then word="'${word//\'/\'\\\'\'}'"; fi
    line+="$word "
  done
  printf '%s' "${line% }"
}

secret_value() {
  if [[ -n ${!1:-} ]]; then printf '%s' "${!1}"; else "$python" -c 'import secrets; print(secrets.token_urlsafe(32), end="")'; fi
}

# The internal key in use: the secret's newest version, of which the first is sent. Empty when there is none yet.
internal_key() {
  gcloud secrets versions access latest --secret=taskreel-internal-api-key 2>/dev/null || true
}

# read_state COMMAND…: its output, or `null` when what it asks for does not exist (yet).
read_state() {
  local errors=$scratch/errors
  # Kept back until it has succeeded: a listing that fails has printed its opening bracket.
  if "$@" >"$scratch/read" 2>"$errors" </dev/null; then
    cat "$scratch/read"
    return
  fi
  if grep -qE 'NOT_FOUND|not found|does not exist|HTTPError 404' "$errors"; then
    say null
  elif [[ $mode == dry ]] && grep -qE 'SERVICE_DISABLED|it is disabled|not enabled on project' "$errors"; then
    warn "the API behind '$2 $3' is off yet; taken as empty"
    say null
  else
    explain "$errors" "$@"
  fi
}

# quietly COMMAND…: says nothing unless it fails. A fresh service account is not known everywhere at once.
quietly() {
  local tries=0
  until "$@" >"$scratch/output" 2>"$scratch/errors"; do
    tries=$((tries + 1))
    if ((tries == 5)) || ! grep -qE 'Service account .* does not exist|concurrent policy changes' "$scratch/errors"; then
      explain "$scratch/errors" "$@"
    fi
    sleep "${TASKREEL_RETRY_SECONDS:-3}"
  done
}

# explain ERRORS COMMAND…: what failed, and which command mends it. Ends the script; the doctor goes on.
explain() {
  local errors=$1 text mend=
  shift
  text=$(grep -v '^$' "$errors" | head -n 6)
  case $text in
    *'active account'* | *Reauthentication* | *invalid_grant* | *'refreshing your current auth tokens'* | *UNAUTHENTICATED* | *'invalid authentication credentials'*)
      mend='gcloud auth login' ;;
    *SERVICE_DISABLED* | *'it is disabled'* | *'not enabled on project'*)
      mend="scripts/provision --project $project --location $location   # enables the APIs; a new one takes a minute" ;;
    *[Bb]illing*)
      mend="gcloud billing projects link $project --billing-account=ACCOUNT_ID" ;;
    *'not a valid location'* | *'ocation'*'is not found'* | *'nvalid location'* | *'ocation'*'not supported'*)
      mend='gcloud tasks locations list   # then give one of them as --location' ;;
    *PERMISSION_DENIED* | *'does not have permission'* | *'403'*)
      mend="gcloud projects add-iam-policy-binding $project --member=user:YOU --role=$(role_for "$@")   # by an owner of the project" ;;
    *RESOURCE_EXHAUSTED* | *uota*)
      mend='wait a minute and run this script again; limits are raised at https://console.cloud.google.com/iam-admin/quotas' ;;
    *'onnection refused'* | *'Unable to find the server'* | *'resolve'*)
      mend='check the network, and that no CLOUDSDK_API_ENDPOINT_OVERRIDES_… points at a server that is down' ;;
    *) mend="scripts/doctor --project $project --location $location" ;;
  esac
  if [[ $mode == check ]]; then
    problem "$(quoted "${@:1:4}"): $(head -n 1 <<<"$text")"
    say "        to mend: $mend" >&5
    return 1
  fi
  printf '%s: this failed: %s\n%s\n  to mend: %s\n' "$(basename "$0")" "$(quoted "${@:1:4}") …" "$text" "$mend" >&2
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
    services*) say roles/serviceusage.serviceUsageAdmin ;;
    'iam roles') say roles/iam.roleAdmin ;;
    iam*) say roles/iam.serviceAccountAdmin ;;
    *) say roles/resourcemanager.projectIamAdmin ;;
  esac
}
