#!/usr/bin/env bash
# Tries the chart's alerts and its dashboard, without a cluster: promtool checks the rules, plays the series of the files
# here and looks what fires, and asks every query of the dashboard.
#
# metrics.json are the metrics that the operator serves. Labels and values everywhere here are held against the source; the
# names of the metrics are held against a running operator by tests/promises/chart.rs.
set -euo pipefail
cd "$(dirname "$0")"

promtool=$(../tools/build.sh promtool | tail -n 1)
files=../../charts/pact-operator/files
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() { # run COMMAND...: silent unless it fails
  if ! "$@" >"$work/said" 2>&1; then
    cat "$work/said" >&2
    echo "alerts: failed: ${*/#$promtool/promtool}" >&2
    exit 1
  fi
}

run "$promtool" check rules --lint=all --lint-fatal "$files/rules.yaml"
# An alert without words, or one that no test names, is not finished.
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
