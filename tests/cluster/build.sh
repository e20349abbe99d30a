#!/usr/bin/env bash
# Builds the tools of the test control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl,
# helm, kwok) from the Go modules pinned in go.mod beside this file, once, into a cache.
#
#   tests/cluster/build.sh        prints progress on stderr, and as the last line of stdout the folder with the tools
#
# PACT_OPERATOR_CACHE    the cache; default: $XDG_CACHE_HOME/pact-operator, else ~/.cache/pact-operator
# KUBEBUILDER_ASSETS     a folder whose etcd and kube-apiserver, or the one that it has, are used instead of building them;
#                        what was built without it is linked, not built again
#
# The folder is named by the hash of go.mod and go.sum: a changed pin builds anew, an unchanged one costs nothing.
# It appears whole or not at all (built aside, then renamed); of two callers at once, the second waits for the first.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PACT_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pact-operator}/control-plane
assets=${KUBEBUILDER_ASSETS:-}

say() { printf '%s\n' "control plane: $*" >&2; }
die() { say "$*"; exit 1; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16; }

borrowed() { # is this tool taken from KUBEBUILDER_ASSETS?
  case $1 in etcd | kube-apiserver) [ -n "$assets" ] && [ -x "$assets/$1" ] ;; *) false ;; esac
}

key=$(cat "$here/go.mod" "$here/go.sum" | sha256)
whole=$cache/$key
served= # what the borrowed API server says of itself: Kubernetes v1.33.1
if borrowed kube-apiserver; then served=$("$assets/kube-apiserver" --version); fi
if borrowed etcd || borrowed kube-apiserver; then key=$key-$(printf %s "$assets" "$served" | sha256); fi
folder=$cache/$key

tools=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl helm kwok)
complete() {
  local tool
  for tool in "${tools[@]}"; do [ -x "$folder/$tool" ] || return 1; done
  [ -s "$folder/stages.yaml" ]
}
answer() { printf '%s\n' "$folder"; exit 0; }
if complete; then answer; fi

command -v go >/dev/null || die "'go' is missing: install Go 1.26 or later (https://go.dev/dl), it builds Kubernetes' own tools for the tests"
mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock"
  if ! flock -n 9; then
    say "another process is building it, waiting"
    flock 9
  fi
  if complete; then answer; fi
  rm -rf "$cache"/.building.* # left by one that was killed: nobody else builds while we hold the lock
fi

building=$(mktemp -d "$cache/.building.XXXXXX")
heartbeat=
cleanup() {
  if [ -n "$heartbeat" ]; then kill "$heartbeat" 2>/dev/null || true; fi
  rm -rf "$building"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The packages are the ones that go.mod names with tool directives.
wanted=()
for package in $(awk '/^tool \(/ { inside = 1; next } /^\)/ { inside = 0 } inside { print $1 }' "$here/go.mod"); do
  tool=${package##*/}
  if [ "$package" = go.etcd.io/etcd/server/v3 ]; then tool=etcd; fi
  if borrowed "$tool"; then
    ln -s "$assets/$tool" "$building/$tool"
  elif [ "$folder" != "$whole" ] && [ -x "$whole/$tool" ]; then
    ln -s "$whole/$tool" "$building/$tool"
  else
    wanted+=("$package")
  fi
done

kubernetes=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2 }' "$here/go.mod")
[ -n "$kubernetes" ] || die "go.mod does not say which k8s.io/kubernetes to build"
IFS=. read -r major minor _ <<<"${kubernetes#v}"
# Without the version a server calls itself v0.0.0-master, and a chart's kubeVersion refuses it.
versions="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=$major"
versions="$versions -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"

cd "$here"
started=$SECONDS
if [ ${#wanted[@]} -gt 0 ]; then
  say "building ${#wanted[@]} tools of Kubernetes $kubernetes from source into $folder"
  say "first time only: about 6 minutes on 2 cores, 4 GB of Go caches, 0.5 GB of tools"
  (
    while sleep 30 2>/dev/null; do
      done_count=$(find "$building" -mindepth 1 -maxdepth 1 | wc -l)
      say "still building, $((SECONDS - started)) s, $((done_count)) of ${#tools[@]} tools done"
    done
  ) 9>&- </dev/null >/dev/null &
  heartbeat=$!

  CGO_ENABLED=0 go build -buildvcs=false -ldflags "-s -w $versions" -o "$building/" "${wanted[@]}" >&2 9>&-
  if [ -e "$building/server" ]; then mv "$building/server" "$building/etcd"; fi
fi

# kwok's own stages: how a fake node and its pods come up and go away.
kwok=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
for stage in node/fast/node-initialize pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
  printf -- '---\n'
  cat "$kwok/$stage.yaml"
done >"$building/stages.yaml"

# A controller manager and a scheduler that are newer than the API server watch what it does not serve; each can behave as
# its three predecessors do. The testbed starts them with what is said here.
IFS=. read -r _ served_minor _ <<<"${served#Kubernetes v}"
if [ -n "$served" ] && [ "$served_minor" -lt "$minor" ] && [ "$served_minor" -ge $((minor - 3)) ]; then
  printf %s "$major.$served_minor" >"$building/emulated-version"
fi

chmod 755 "$building"
rm -rf "$folder" # an earlier one that lost a part
mv "$building" "$folder"
complete || die "the build ended but $folder lacks one of: ${tools[*]}"
say "built in $((SECONDS - started)) s"
answer
