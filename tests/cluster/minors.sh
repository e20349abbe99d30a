#!/usr/bin/env bash
# Runs tests of the chart against the API servers of other minors of Kubernetes.
#
#   tests/cluster/minors.sh [--emulated] TESTS [MINOR…]      TESTS: a part of their names; MINOR: v1.33, default: all
#
# The API server of a minor is built from kubernetes/MINOR/go.mod beside this file; the minor of go.mod beside this file is
# the one that all tests run with. All else (etcd, the controller manager, the scheduler) is of that minor always.
#
# --emulated builds nothing: the usual API server is started so that it behaves as an earlier minor, up to three back. It
# serves that minor's APIs and takes no CEL that came later. What is not the same: whatever else its code does differently.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

emulated=
if [ "${1:-}" = --emulated ]; then emulated=yes; shift; fi
[ $# -ge 1 ] || { echo "usage: tests/cluster/minors.sh [--emulated] TESTS [MINOR…]" >&2; exit 1; }
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

# emulate MINOR: a folder whose kube-apiserver is the usual one that behaves as MINOR. It says so of itself, so that
# build.sh has the controller manager and the scheduler behave likewise. Written whole or not at all.
emulate() {
  local folder=$usual_tools/emulated/$1 new
  mkdir -p "$folder"
  ln -sf "$usual_tools/etcd" "$folder/etcd"
  new=$(mktemp "$folder/.new.XXXXXX")
  cat >"$new" <<END
#!/bin/sh
if [ "\$1" = --version ]; then echo 'Kubernetes $1.0, emulated by $usual'; exit; fi
exec '$usual_tools/kube-apiserver' --emulated-version=${1#v} --min-compatibility-version=${1#v} "\$@"
END
  chmod 755 "$new"
  mv "$new" "$folder/kube-apiserver"
  printf '%s\n' "$folder"
}

for minor in "$@"; do
  if [ "$minor" = "$usual" ]; then
    assets=$usual_tools
  elif [ -n "$emulated" ]; then
    assets=$(emulate "$minor")
  else
    assets=$(dirname "$(tests/tools/build.sh "tests/cluster/kubernetes/$minor")")
  fi
  echo "$("$assets/kube-apiserver" --version): the API server of the next tests, '$tests'"
  started=$SECONDS
  KUBEBUILDER_ASSETS=$assets run "$tests" --test-threads=2 || { echo "failed with the API server of $minor" >&2; exit 1; }
  echo "passed with the API server of $minor${emulated:+ (emulated)} in $((SECONDS - started)) s"
done
