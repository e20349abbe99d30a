#!/usr/bin/env bash
# The end-to-end tests: the chart and the image on a cluster that runs containers.
#
#   KUBECONFIG    the cluster, as an administrator. The tests write to it: use a disposable one
#   E2E_LOAD      a command that makes a folder an image there: $E2E_LOAD NAME:TAG FOLDER ENTRYPOINT...
#   E2E_BROKER    an IP address of this machine that pods reach; the stand-in broker listens there
#   E2E_BINARY    the operator; built when it is not given
#   E2E_ROLLOUTS  how many times the webhook is replaced under load (2)
#   E2E_ROTATIONS how many times its certificate authority is (3)
#
# Without KUBECONFIG it makes a kind cluster if kind and docker are available; otherwise it reports that it was skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

cleanup=:
folder=$(mktemp -d)
trap '$cleanup; rm -rf "$folder"' EXIT

if [ -z "${KUBECONFIG:-}" ]; then
  if ! command -v kind >/dev/null || ! docker info >/dev/null 2>&1; then
    echo "end to end: SKIPPED. No cluster that runs containers: KUBECONFIG is not set, and kind with a running docker is not there" >&2
    exit 0
  fi
  export KUBECONFIG=$folder/kubeconfig
  kind create cluster --name pact-operator-e2e --wait 120s
  cleanup="kind delete cluster --name pact-operator-e2e"
  E2E_LOAD=tests/e2e/load-kind.sh
  E2E_BROKER=$(docker network inspect kind -f '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 '\.')
fi
: "${E2E_LOAD:?a command that makes a folder an image in the cluster}" "${E2E_BROKER:?an address that pods reach}"
export E2E_BROKER

if [ -z "${E2E_BINARY:-}" ]; then
  cargo build --locked
  E2E_BINARY=${CARGO_TARGET_DIR:-target}/debug/pact-operator
fi
image/rootfs.sh "$E2E_BINARY" "$folder/operator"
image/starts.sh "$folder/operator"
# What teams deploy, as far as the tests care: it runs until it is stopped.
image/rootfs.sh "$(command -v sleep)" "$folder/workload"

# A shell that can kill one of the operator's processes.
image/rootfs.sh "$(readlink -f "$(command -v sh)")" "$folder/shell"

export E2E_SHELL=pact-operator.test/shell:e2e
export E2E_IMAGE=pact-operator.test/pact-operator:e2e E2E_WORKLOAD=pact-operator.test/workload
IMAGE_USER=65532 $E2E_LOAD "$E2E_IMAGE" "$folder/operator" /usr/local/bin/pact-operator
for version in 1.0.0 2.0.0; do
  IMAGE_USER=65532 $E2E_LOAD "$E2E_WORKLOAD:$version" "$folder/workload" /usr/local/bin/sleep 100000
done
IMAGE_USER=0 $E2E_LOAD "$E2E_SHELL" "$folder/shell" "/usr/local/bin/$(basename "$(readlink -f "$(command -v sh)")")"
cargo test --locked --test e2e -- --nocapture
