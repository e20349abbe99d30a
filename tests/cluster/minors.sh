#!/usr/bin/env bash
# Runs tests of the chart against the API servers of other minors of Kubernetes.
#
#   tests/cluster/minors.sh TESTS [MINOR…]      TESTS: a part of their names; MINOR: v1.33, default: all that are pinned
#
# The API server of a minor is built from kubernetes/MINOR/go.mod beside this file; the minor of go.mod beside this file is
# the one that all tests run with. All else (etcd, the controller manager, the scheduler) is of that minor always.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -ge 1 ] || { echo "usage: tests/cluster/minors.sh TESTS [MINOR…]" >&2; exit 1; }
tests=$1
shift
usual=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { sub(/\.[0-9]+$/, "", $2); print $2 }' tests/cluster/go.mod)
if [ $# = 0 ]; then
  minors=$(
    printf '%s\n' "$usual" tests/cluster/kubernetes/*/ | awk -F / '{ print $NF == "" ? $(NF - 1) : $NF }' | sort -t . -k 2n
  )
  # shellcheck disable=SC2086
  set -- $minors
fi

unset KUBEBUILDER_ASSETS
usual_tools=$(tests/cluster/build.sh)
run() { ${CARGO:-cargo} test --locked --test promises -- "$@"; }
# A name that no test has would pass everywhere.
run --list "$tests" | grep ': test$' >/dev/null || { echo "no test's name has '$tests' in it" >&2; exit 1; }

for minor in "$@"; do
  if [ "$minor" = "$usual" ]; then
    assets=$usual_tools
  else
    assets=$(dirname "$(tests/tools/build.sh "tests/cluster/kubernetes/$minor")")
  fi
  echo "$("$assets/kube-apiserver" --version): the API server of the next tests, '$tests'"
  started=$SECONDS
  KUBEBUILDER_ASSETS=$assets run "$tests" --test-threads=2 || { echo "failed with the API server of $minor" >&2; exit 1; }
  echo "passed with the API server of $minor in $((SECONDS - started)) s"
done
