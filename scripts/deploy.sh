#!/usr/bin/env bash
# Deploys what `make build` made, to the Cloudflare account wrangler is logged in to:
#   1. the D1 databases, made if absent       2. their migrations, before the code that needs them
#   3. ADMIN_TOKEN, made at the first deploy  4. the Worker, with its KV namespace (wrangler makes it at the first deploy)
# Doing it again changes nothing that is there already. DRY_RUN=1 shows what would be uploaded and talks to nobody.
# For machines: CLOUDFLARE_API_TOKEN (and CLOUDFLARE_ACCOUNT_ID) to log in, ADMIN_TOKEN to choose the token; nothing is asked.
set -euo pipefail
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"

if [ -n "${DRY_RUN:-}" ] && [ "${DRY_RUN:-}" != 0 ]; then
  CLOUDFLARE_CF_FETCH_ENABLED=false CI=1 wrangler deploy --dry-run --outdir .dev/deploy
  say "deploy: dry run; .dev/deploy has what would be uploaded"
  exit 0
fi

# CI=1: wrangler answers its own questions with the safe default instead of waiting for us.
quiet_wrangler() { CI=1 wrangler "$@" </dev/null; }

if [ -z "${CLOUDFLARE_API_TOKEN:-}" ] && ! quiet_wrangler whoami --json >/dev/null 2>&1; then
  die "not logged in to Cloudflare. Run: npx wrangler login    (or set CLOUDFLARE_API_TOKEN), then make deploy again"
fi

# Binding and name of each D1 database in wrangler.toml: DB, and LEDGER_DB_0, … if there are any.
bound="$(awk -F'"' '/^\[/ { binding = "" } /^binding *=/ { binding = $2 } /^database_name *=/ { print binding, $2 }' wrangler.toml)"
databases="$(quiet_wrangler d1 list --json)" || { printf '%s\n' "$databases" >&2; die "wrangler could not list the databases"; }
has_database='JSON.parse(require("node:fs").readFileSync(0, "utf8")).some((d) => d.name === process.argv[1]) || process.exit(1)'
while read -r binding name; do
  say "deploy: D1 database $name ($binding) and its migrations"
  if ! node -e "$has_database" "$name" <<<"$databases"; then quiet_wrangler d1 create "$name" --update-config=false; fi
  quiet_wrangler d1 migrations apply "$binding" --remote
done <<<"$bound"

# A token is made only when the Worker has none: making another would lock out whoever has the first.
secrets_file=""
generated=""
token="${ADMIN_TOKEN:-}"
if [ -z "$token" ]; then
  if listed="$(quiet_wrangler secret list --format json 2>&1)"; then
    case "$listed" in *'"ADMIN_TOKEN"'*) token=kept ;; esac
  else
    case "$listed" in
      # The Worker does not exist yet, so neither does its secret.
      *"not found"* | *"does not exist"* | *10007*) ;;
      *) printf '%s\n' "$listed" >&2; die "wrangler could not list the Worker's secrets" ;;
    esac
  fi
  if [ -z "$token" ]; then
    if [ -t 0 ]; then
      read -r -s -p "ADMIN_TOKEN for /admin/v1 (Enter: make one): " token
      echo
    fi
    if [ -z "$token" ]; then
      token="$(node -e 'process.stdout.write(require("node:crypto").randomBytes(32).toString("base64url"))')"
      generated="$token"
    fi
  fi
fi
if [ "$token" != kept ]; then
  secrets_file="$(umask 077 && mktemp "${TMPDIR:-/tmp}/edgehold-secrets.XXXXXX")"
  # If a later step fails the Worker may have the token all the same, so it must not be lost.
  trap 'rm -f "$secrets_file"; if [ -n "$generated" ]; then say "The admin token made for this deploy: $generated" >&2; fi' EXIT
  # Through the environment: an argument would show in the list of processes.
  TOKEN="$token" node -e 'process.stdout.write(JSON.stringify({ ADMIN_TOKEN: process.env.TOKEN }))' >"$secrets_file"
fi

say "deploy: the Worker"
mkdir -p .dev
quiet_wrangler deploy ${secrets_file:+--secrets-file "$secrets_file"} | tee .dev/deploy.log
# The first workers.dev or custom domain wrangler names.
url="$(grep -oE 'https://[A-Za-z0-9.-]+\.workers\.dev' .dev/deploy.log | head -1)" || url="https://<your worker>"

say ""
say "Deployed. Next:"
if [ -n "$generated" ]; then
  say "  1. Keep this admin token; it is shown only now:"
  say "       export ADMIN_TOKEN=$generated"
  generated=""
else
  say "  1. Have your admin token at hand:  export ADMIN_TOKEN=…"
fi
say "  2. Give it a provider's key:       npx wrangler secret put OPENAI_API_KEY"
say "  3. Send it your configuration:     curl -X PUT $url/admin/v1/config -H \"authorization: Bearer \$ADMIN_TOKEN\" --data-binary @config.yaml"
say "  4. Issue a key per customer, and point the SDK of your choice at $url/v1 (see README.md)."
