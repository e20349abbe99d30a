#!/usr/bin/env bash
# Builds one tool that the checks use, from the Go module that pins it, once, into a cache (see tests/once.sh).
#
#   tests/tools/build.sh NAME      prints progress on stderr, and as the last line of stdout the path of the program
#
# NAME is a folder beside this script (or, with a slash in it, the path of another one) whose go.mod names the program
# with a single `tool` directive. A file `tags` beside it holds build tags, which leave out what no check needs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
about=tools
. "$here/../once.sh"

[ $# = 1 ] || die "usage: tests/tools/build.sh NAME"
case $1 in
  */*) module=$1 ;;
  *) module=$here/$1 ;;
esac
[ -f "$module/go.mod" ] && [ -f "$module/go.sum" ] || die "$module has no go.mod and go.sum"

package=$(awk '$1 == "tool" { print $2 }' "$module/go.mod")
[ -n "$package" ] && [ "$(wc -w <<<"$package")" = 1 ] || die "$module/go.mod must have one line: tool PACKAGE"
tool=${package##*/}
tags=
if [ -f "$module/tags" ]; then tags=$(cat "$module/tags"); fi
name=$tool-$({ cat "$module/go.mod" "$module/go.sum"; printf %s "$tags"; } | sha256)
folder=$cache/tools/$name

complete() { [ -x "$folder/$tool" ]; }
answer() { printf '%s\n' "$folder/$tool"; exit 0; }
if complete; then answer; fi

build_aside "$tool" "$folder" "$name"
flags=
kubernetes=$(awk '{ sub(/^require /, "") } $1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2 }' "$module/go.mod")
if [ -n "$kubernetes" ]; then kubernetes_flags "$kubernetes"; fi

say "building $tool${kubernetes:+ $kubernetes} from source, once, into $folder"
still() { say "still building $tool, $((SECONDS - started)) s"; }
beat still
(
  cd "$module"
  CGO_ENABLED=0 go build -buildvcs=false -tags "$tags" -ldflags "-s -w $flags" -o "$building/$tool" "$package"
) >&2 9>&-
appear "$folder"
say "built $tool in $((SECONDS - started)) s"
answer
