#!/usr/bin/env bash
# load-kind.sh NAME:TAG FOLDER ENTRYPOINT...: a folder becomes an image in the kind cluster of run.sh.
set -euo pipefail
image=$1 folder=$2
shift 2
entrypoint=$(printf '"%s",' "$@")
printf 'FROM scratch\nCOPY . /\nUSER 65532\nENTRYPOINT [%s]\n' "${entrypoint%,}" | docker build --quiet -t "$image" -f - "$folder"
kind load docker-image --name pact-operator-e2e "$image"
