#!/usr/bin/env bash
# Tries the chart's alerts and its dashboard, without a cluster: promtool checks the rules, replays the series of the
# files here, compares the alerts that fire, and runs every query of the dashboard.
#
# metrics.json has the metrics that the operator serves. labels.py compares all labels and values here with the source;
# tests/promises/chart.rs compares the names of the metrics with a running operator.
set -euo pipefail
cd "$(dirname "$0")"

promtool=$(../tools/build.sh promtool | tail -n 1)
files=../../charts/pact-operator/files
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() { # run COMMAND...: silent unless it fails
  if ! "$@" >"$work/output" 2>&1; then
    cat "$work/output" >&2
    echo "alerts: failed: ${*/#$promtool/promtool}" >&2
    exit 1
  fi
}

run "$promtool" check rules --lint=all --lint-fatal "$files/rules.yaml"
# Each alert needs a severity, a summary, a description and a test.
for alert in $(awk '$1 == "-" && $2 == "alert:" { print $3 }' "$files/rules.yaml"); do
  grep -q "alertname=\"$alert\"" ./*.yaml || { echo "alerts: no test of $alert" >&2; exit 1; }
  block=$(awk -v alert="$alert" '$2 == "alert:" { on = $3 == alert } on' "$files/rules.yaml")
  for word in 'severity: \(critical\|warning\)' summary: description:; do
    grep -q "$word" <<<"$block" || { echo "alerts: $alert has no $word" >&2; exit 1; }
  done
done
run python3 labels.py "$files/rules.yaml" "$files/dashboard.json" metrics.json ./*.yaml
run "$promtool" test rules ./*.yaml
python3 dashboard.py "$files/dashboard.json" metrics.json >"$work/dashboard.yaml"
run "$promtool" test rules "$work/dashboard.yaml"
echo "alerts: $(grep -c 'alert:' "$files/rules.yaml") alerts and the dashboard are right"
