#!/usr/bin/env bash
# Builds one tool that the checks use, from the Go module that pins it, once, into a cache.
#
#   tests/tools/build.sh NAME      prints progress on stderr, and as the last line of stdout the path of the program
#
# NAME is a folder beside this script (or, with a slash in it, the path of another one) whose go.mod names the program
# with a single `tool` directive.
#
# PACT_OPERATOR_CACHE    the cache; default: $XDG_CACHE_HOME/pact-operator, else ~/.cache/pact-operator
#
# The program's folder is named by the hash of go.mod and go.sum: a changed pin builds anew, an unchanged one costs nothing.
# It appears whole or not at all (built aside, then renamed); of two callers at once, the second waits for the first.
set -euo pipefail

say() { printf '%s\n' "tools: $*" >&2; }
die() { say "$*"; exit 1; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16; }

[ $# = 1 ] || die "usage: tests/tools/build.sh NAME"
case $1 in
  */*) module=$1 ;;
  *) module=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$1 ;;
esac
[ -f "$module/go.mod" ] && [ -f "$module/go.sum" ] || die "$module has no go.mod and go.sum"

package=$(awk '$1 == "tool" { print $2 }' "$module/go.mod")
[ -n "$package" ] && [ "$(wc -w <<<"$package")" = 1 ] || die "$module/go.mod must have one line: tool PACKAGE"
tool=${package##*/}
cache=${PACT_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pact-operator}/tools
name=$tool-$(cat "$module/go.mod" "$module/go.sum" | sha256)
program=$cache/$name/$tool

answer() { printf '%s\n' "$program"; exit 0; }
if [ -x "$program" ]; then answer; fi

command -v go >/dev/null || die "'go' is missing: install Go 1.26 or later (https://go.dev/dl), it builds the tools of the checks"
mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock.$name"
  if ! flock -n 9; then
    say "another process is building $tool, waiting"
    flock 9
  fi
  if [ -x "$program" ]; then answer; fi
  rm -rf "$cache/.building.$name".* # left by one that was killed: nobody else builds it while we hold the lock
fi

building=$(mktemp -d "$cache/.building.$name.XXXXXX")
trap 'rm -rf "$building"' EXIT
trap 'exit 130' INT TERM

# A Kubernetes program that is not told its version calls itself v0.0.0-master, and a chart's kubeVersion refuses it.
flags="-s -w"
kubernetes=$(awk '{ sub(/^require /, "") } $1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2 }' "$module/go.mod")
if [ -n "$kubernetes" ]; then
  IFS=. read -r major minor _ <<<"${kubernetes#v}"
  flags="$flags -X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=$major"
  flags="$flags -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"
fi

say "building $tool${kubernetes:+ $kubernetes} from source, once, into $cache/$name"
started=$SECONDS
(cd "$module" && CGO_ENABLED=0 go build -buildvcs=false -ldflags "$flags" -o "$building/$tool" "$package") >&2 9>&-
chmod 755 "$building"
rm -rf "${program%/*}" # an earlier one that lost its program
mv "$building" "${program%/*}"
say "built $tool in $((SECONDS - started)) s"
answer
