#!/usr/bin/env bash
# Builds the tools of the test control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl,
# helm, kwok) from the Go modules pinned in go.mod beside this file, once, into a cache (see tests/once.sh).
#
#   tests/cluster/build.sh        prints progress on stderr, and as the last line of stdout the folder with the tools
#
# KUBEBUILDER_ASSETS     a folder whose etcd, kubectl and kube-* are used instead of building them, as many as it has;
#                        what was built without it is linked, not built again
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
about="control plane"
. "$here/../once.sh"
assets=${KUBEBUILDER_ASSETS:-}

borrowed() { # is this tool taken from KUBEBUILDER_ASSETS?
  case $1 in etcd | kubectl | kube-*) [ -n "$assets" ] && [ -x "$assets/$1" ] ;; *) false ;; esac
}

key=$(cat "$here/go.mod" "$here/go.sum" | sha256)
whole=$cache/control-plane/$key
served= # what the borrowed API server says of itself: Kubernetes v1.33.1
if borrowed kube-apiserver; then served=$("$assets/kube-apiserver" --version); fi
tools=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl helm kwok)
lent=
for tool in "${tools[@]}"; do
  if borrowed "$tool"; then lent="$lent $tool"; fi
done
if [ -n "$lent" ]; then key=$key-$(printf %s "$assets$lent" "$served" | sha256); fi
folder=$cache/control-plane/$key

complete() {
  local tool
  for tool in "${tools[@]}"; do [ -x "$folder/$tool" ] || return 1; done
  [ -s "$folder/stages.yaml" ]
}
answer() { printf '%s\n' "$folder"; exit 0; }
if complete; then answer; fi

# One lock for all: what is built with KUBEBUILDER_ASSETS links what is built without.
build_aside "Kubernetes' own tools for the tests" "$folder" all

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
kubernetes_flags "$kubernetes"

cd "$here"
if [ ${#wanted[@]} -gt 0 ]; then
  say "building ${#wanted[@]} tools of Kubernetes $kubernetes from source into $folder"
  say "first time only: about 9 minutes of 2 idle cores when all seven are built, 4 GB of Go caches, 0.5 GB of tools"
  still() {
    local ready
    ready=$(find "$building" -mindepth 1 -maxdepth 1 | wc -l)
    say "still building, $((SECONDS - started)) s, $((ready)) of ${#tools[@]} tools done"
  }
  beat still
  CGO_ENABLED=0 go build -buildvcs=false -ldflags "-s -w $flags" -o "$building/" "${wanted[@]}" >&2 9>&-
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

appear "$folder"
complete || die "the build ended but $folder lacks one of: ${tools[*]}"
say "built in $((SECONDS - started)) s"
answer
