# shellcheck shell=bash
# The parts of the cloud in the order of their dependencies: provision creates them, doctor compares
# them. Each line reads the state with gcloud; lib/plan lists what is missing.
# shellcheck disable=SC2154  # the variables are common.sh's

ensure_apis() {
  local before=$changes
  ensure apis -- gcloud services list --enabled --format=json
  # shellcheck disable=SC2034  # common.sh reads it
  if [[ $mode == apply ]] && ((changes > before)); then enabled_apis=yes; fi
}

# ensure_in_locations PART: the queues of each location, that of the deployment first. `plan` reads
# $location, which is another one meanwhile.
ensure_in_locations() {
  local part=$1 each home=$location location=$location
  for each in $(plan list-locations </dev/null); do
    location=$each
    if [[ $each == "$home" ]]; then
      ensure "$part" -- gcloud tasks queues list --location="$each" --format=json
    else
      ensure "$part" "$each" -- gcloud tasks queues list --location="$each" --format=json
    fi
  done
}

ensure_queues() { ensure_in_locations queues; }

# ensure_accounts: service accounts and their roles, except on secrets and services.
ensure_accounts() {
  local account
  ensure accounts -- gcloud iam service-accounts list --format=json
  ensure role -- gcloud iam roles describe taskreelLaneReader --project="$project" --format=json
  ensure project-policy -- gcloud projects get-iam-policy "$project" --format=json
  ensure bucket-policy -- gcloud storage buckets get-iam-policy "gs://$BUCKET" --format=json
  for account in $(plan list-accounts </dev/null); do
    ensure account-policy "$account" -- gcloud iam service-accounts get-iam-policy \
      "$(plan value-email "$account" </dev/null)" --format=json
  done
}

# ensure_encryption: the keys of Cloud KMS that ENCRYPTION_KEY names, if it does.
ensure_encryption() {
  local key
  for key in $(plan list-keys </dev/null); do
    ensure key-ring "$key" -- gcloud kms keyrings describe "${key%/cryptoKeys/*}" --format=json
    ensure encryption-key "$key" -- gcloud kms keys describe "$key" --format=json
    ensure encryption-key-policy "$key" -- gcloud kms keys get-iam-policy "$key" --format=json
  done
}

ensure_bucket() {
  ensure bucket -- gcloud storage buckets describe "gs://$BUCKET" --format=json
}

ensure_firestore() {
  ensure database -- gcloud firestore databases list --format=json
  ensure_owner
  ensure backups -- gcloud firestore backups schedules list --database="$DATABASE" --format=json
  ensure indexes -- gcloud firestore indexes composite list --database="$DATABASE" --format=json
  ensure fields -- gcloud firestore indexes fields list --database="$DATABASE" --format=json
  ensure_rules
}

# The collections of the database, as infra/README.md documents them.
collections=(jobs accounts ledger breakers recurring_jobs queue_controls run_answers job_performance_metrics dead_letters operations uploads webhook_endpoints webhook_deliveries projects job_templates audit erasures alerts data_keys)

load_token() {
  [[ ! -s $scratch/token ]] || return 0
  read_state gcloud auth print-access-token >"$scratch/token" || return 1
  TOKEN=$(<"$scratch/token")
  export TOKEN
}

call_database_owner() {
  PYTHONPATH=$root/scripts/lib "$python" -m plan.database_owner "$1" "$project" "$DATABASE" "${collections[@]}"
}

# read_owner: `owned`, `empty`, or the collections that another application may use.
read_owner() {
  load_token || return 1
  call_google call_database_owner show firestore documents get >"$scratch/owner"
}

# ensure_owner: the marker document. Documents without it are refused, unless they are those of the
# deployment, from before databases were marked, or --adopt is given.
ensure_owner() {
  local found
  read_owner || return 0
  found=$(<"$scratch/owner")
  case $found in
    owned)
      [[ $mode != check ]] || say "ok      owner"
      return
      ;;
    empty) ;;
    *)
      if [[ $DATABASE != "${DEPLOYED_DATABASE:-}" && " ${plan_flags[*]-} " != *" --adopt "* ]]; then
        do_step fail "database $DATABASE has documents in $found and no mark of Taskreel: another application may use them. Use another database, DATABASE=taskreel scripts/provision, or take it over with --adopt"
        return
      fi
      ;;
  esac
  change_by "mark database $DATABASE as Taskreel's" call_database_owner claim firestore documents create
}

# Security rules, through the Firebase Rules API: gcloud has no command for them.
ensure_rules() {
  local answer
  load_token || return 0
  call_google call_rules_api show firebaserules releases get >"$scratch/rules" || return 0
  answer=$(<"$scratch/rules")
  case $answer in
    same) [[ $mode != check ]] || say "ok      rules" ;;
    foreign)
      if [[ ${replace_rules:-no} == no ]]; then
        do_step fail "the security rules in force for database $DATABASE are not Taskreel's, and publishing infra/firestore.rules would replace them for every client. Merge them by hand, use a database of its own (DATABASE=taskreel scripts/provision), or replace them: scripts/provision --replace-rules"
        return 0
      fi
      ;;&
    *)
      change_by "publish infra/firestore.rules (in force now: $answer)" call_rules_api publish firebaserules rulesets create
      ;;
  esac
}

call_rules_api() {
  PYTHONPATH=$root/scripts/lib "$python" -m plan.security_rules "$1" "$project" "$DATABASE" "${TASKREEL_INFRA:-infra}/firestore.rules"
}

# ensure_monitoring [SHOW APPLY]: log-based metrics, alert policies, the uptime check and the dashboard.
ensure_monitoring() {
  local show=${1:-show} apply=${2:-apply} line
  load_token || return 0
  call_google call_monitoring "$show" policies list get >"$scratch/monitoring" || return 0
  if [[ ! -s $scratch/monitoring ]]; then
    [[ $mode != check ]] || say "ok      monitoring"
    return 0
  fi
  while read -r line; do
    changes=$((changes + 1))
    case $mode in
      check) say "DIFFERS $line" ;;
      dry) say "would $line" ;;
      apply) say "$line" ;;
    esac
  done <"$scratch/monitoring"
  [[ $mode != apply ]] || call_google call_monitoring "$apply" policies create post
}

call_monitoring() {
  local url=${API_BASE_URL:-$(plan value-url jobs-api </dev/null)} host
  host=${url#*://}
  PYTHONPATH=$root/scripts/lib "$python" -m plan.monitoring "$1" "$project" "${host%%/*}" "${TASKREEL_INFRA:-infra}/monitoring"
}

# ensure_budget [SHOW APPLY]: the project's budget in its billing account, which not every operator may read.
ensure_budget() {
  local show=${1:-show} apply=${2:-apply} answer
  load_token || return 0
  if [[ $mode == dry ]] && ! call_budget "$show" >/dev/null 2>"$scratch/errors" && is_disabled "$scratch/errors"; then
    warn "the API of budgets is off yet; treated as empty"
    [[ $show != show ]] || change_by "create the budget of infra/monitoring/budget.yaml" true
    return 0
  fi
  call_google call_budget "$show" budgets list get >"$scratch/budget" || return 0
  answer=$(<"$scratch/budget")
  case $answer in
    '') [[ $mode != check ]] || say "ok      budget" ;;
    'hint '*) if [[ $mode == check ]]; then say "hint    ${answer#hint }"; else warn "${answer#hint }"; fi ;;
    *) change_by "$answer" call_budget "$apply" budgets create post ;;
  esac
}

call_budget() {
  PYTHONPATH=$root/scripts/lib "$python" -m plan.budget "$1" "$project" "${TASKREEL_INFRA:-infra}/monitoring/budget.yaml"
}

ensure_secrets() {
  local secret
  ensure secrets -- gcloud secrets list --format=json
  plan list-secrets <"$scratch/found" >"$scratch/secrets"
  for secret in $(<"$scratch/secrets"); do
    ensure secret-policy "$secret" -- gcloud secrets get-iam-policy "$secret" --format=json
  done
}

ensure_scheduler() {
  KEY_IN_USE=$(read_internal_key)
  export KEY_IN_USE
  ensure scheduler -- gcloud scheduler jobs list --location="$location" --format=json
}

# choose_public_flag: public services are made public by a binding of allUsers where this gcloud has no
# --no-invoker-iam-check, or where PUBLIC_ACCESS=allUsers asks for it.
choose_public_flag() {
  if [[ ${PUBLIC_ACCESS:-} == allUsers ]]; then
    plan_flags+=(--all-users)
  elif ! gcloud run deploy --help 2>/dev/null | grep -c invoker-iam-check >/dev/null; then
    warn "this gcloud does not know --no-invoker-iam-check, so the API is opened by a binding of allUsers, which the policies of new organisations forbid: gcloud components update"
    plan_flags+=(--all-users)
  fi
}

# check_public: asks the public services for a job without a token, as a client would.
check_public() {
  local url answer
  for url in $(plan list-public <"$scratch/services"); do
    answer=$(PYTHONPATH=$root/scripts/lib "$python" -m plan.ask_api "$url")
    case $answer in
      '') say "ok      $url answers" ;;
      *) report_problem "$url $answer" ;;
    esac
  done
}

# ensure_services: the functions, with the secrets that exist.
ensure_services() {
  choose_public_flag
  # load_deployed_settings has read them, and nothing has changed them since; null means that the API is off.
  if [[ ! -s $scratch/services || $(<"$scratch/services") == null ]]; then
    read_state gcloud run services list --region="$location" --format=json >"$scratch/services" || return 0
  fi
  read_state gcloud secrets list --format=json >"$scratch/secrets" || return 0
  printf '{"services": %s, "secrets": %s}' "$(<"$scratch/services")" "$(<"$scratch/secrets")" >"$scratch/found"
  apply_plan services "" <"$scratch/found"
}

ensure_callers() {
  local service
  for service in $(plan list-called </dev/null); do
    ensure service-policy "$service" -- gcloud run services get-iam-policy "$service" --region="$location" --format=json
  done
}

# ensure_quotas: the queues' limits and the project's Cloud Run quotas in the region, against
# infra/services.yaml.
ensure_quotas() {
  local quota
  apply_plan capacity "" </dev/null
  for quota in CpuAllocPerProjectRegion MemAllocPerProjectRegion; do
    ensure quota "$quota" -- gcloud beta quotas info describe "$quota" --service=run.googleapis.com \
      --project="$project" --format=json
  done
}
