#!/usr/bin/env bash
# krew.sh TAG FOLDER: the krew manifest of release TAG, from .krew.yaml and the archives in FOLDER. krew-release-bot
# can do that, too, but only from archives that are published already.
set -euo pipefail
[ $# = 2 ] || { sed -n 2,3p "$0" >&2; exit 2; }
tag=$1 folder=$2
archive='addURIAndSha "([^"]*)"'

while IFS= read -r line; do
  # The comments are about the template.
  [[ $line == '#'* ]] && continue
  if [[ $line =~ $archive ]]; then
    url=${BASH_REMATCH[1]//'{{ .TagName }}'/"$tag"}
    sum=$(sha256sum "$folder/${url##*/}")
    printf '    uri: %s\n    sha256: %s\n' "$url" "${sum%% *}"
  else
    printf '%s\n' "${line//'{{ .TagName }}'/"$tag"}"
  fi
done <"$(dirname "$0")/../.krew.yaml"
