#!/usr/bin/env bash
# verify.sh STOCK WEB true|false: publishes at the broker that version STOCK of stock keeps, or breaks, the pact that version
# WEB of web has published. Normally the provider's build publishes that result, with Pact's verifier.
#
# PACT_BROKER_BASE_URL, PACT_BROKER_USERNAME and PACT_BROKER_PASSWORD: as for the pact command line.
set -euo pipefail
[ $# = 3 ] || { sed -n 2,5p "$0" >&2; exit 2; }

ask() { curl -fsS -u "$PACT_BROKER_USERNAME:$PACT_BROKER_PASSWORD" "$@"; }
pact=$(ask "$PACT_BROKER_BASE_URL/pacts/provider/stock/consumer/web/version/$2")
link=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["_links"]["pb:publish-verification-results"]["href"])' <<<"$pact")
ask -o /dev/null -H 'Content-Type: application/json' "$link" \
  -d "{\"success\": $3, \"providerApplicationVersion\": \"$1\"}"
echo "stock $1 with the pact of web $2: success $3"
