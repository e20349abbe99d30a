#!/usr/bin/env bash
# Pins the API server of another minor of Kubernetes: writes go.mod and go.sum of the folder beside this file that is
# named by the minor.
#
#   tests/cluster/kubernetes/pin.sh v1.33.13      writes v1.33/
#
# In the go.mod of k8s.io/kubernetes its staging modules point at folders, which exist only in its own repository. They
# are replaced with what was published from these folders: k8s.io/kubernetes v1.33.13 goes with k8s.io/api v0.33.13.
set -euo pipefail

[ $# = 1 ] || { echo "usage: tests/cluster/kubernetes/pin.sh vMAJOR.MINOR.PATCH" >&2; exit 1; }
version=$1
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/${version%.*}
published=v0.${version#v1.}

mkdir -p "$folder"
cd "$folder"
rm -f go.mod go.sum
theirs=$(go mod download -json "k8s.io/kubernetes@$version" | python3 -c 'import json, sys; print(json.load(sys.stdin)["GoMod"])')
{
  printf '// The API server of Kubernetes %s, built by tests/tools/build.sh; written by tests/cluster/kubernetes/pin.sh.\n' "$version"
  printf 'module pact-operator.dev/tests/cluster/kubernetes/%s\n\n' "${version%.*}"
  awk '$1 == "go" { print; exit }' "$theirs"
  printf '\ntool k8s.io/kubernetes/cmd/kube-apiserver\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$version"
  awk '$2 == "=>" && $3 ~ /^\.\/staging\// { print $1 }' "$theirs" | while read -r module; do
    printf '\t%s => %s %s\n' "$module" "$module" "$published"
  done
  printf ')\n'
} >go.mod
go mod tidy
