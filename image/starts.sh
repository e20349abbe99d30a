#!/usr/bin/env bash
# starts.sh FOLDER: proves that the operator starts with FOLDER as its root file system and nothing else, read-only, as
# user 65532. A library that is not in the image is found out here and not in a cluster. Needs no rights of its own where
# user namespaces are allowed.
set -euo pipefail
[ $# = 1 ] || { sed -n 2,4p "$0" >&2; exit 2; }
folder=$(cd "$1" && pwd)

fail() { echo "the image does not start: $*" >&2; exit 1; }
[ -x "$folder/usr/local/bin/pact-operator" ] || fail "no /usr/local/bin/pact-operator in it"

# A mount namespace of its own, so that the read-only mount goes with it.
new=(unshare --mount) root=(chroot --userspec=65532:65532)
if [ "$(id -u)" != 0 ]; then
  # The first user namespace may mount, and holds one user; the second calls that user 65532.
  new=(unshare --user --map-root-user --mount) root=(unshare --user --map-user=65532 --map-group=65532 --root)
fi
"${new[@]}" true || fail "no mount namespace to be had: be root, or allow user namespaces"
inside() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  "${new[@]}" sh -ec '
    folder=$1; shift
    mount --bind "$folder" "$folder"
    mount -o remount,bind,ro "$folder"
    exec "$@"' sh "$folder" "${root[@]}" "$folder" /usr/local/bin/pact-operator "$@"
}

said=$(inside --version) || fail "--version exits with $? (its libraries and its loader have to be in the image)"
[[ $said == pact-operator\ * ]] || fail "--version says: $said"
printed=$(inside crds) || fail "crds exits with $?"
kinds=$(grep -c '^kind: CustomResourceDefinition' <<<"$printed") || true
[ "$kinds" = 4 ] || fail "crds prints $kinds kinds, not 4"
echo "starts from the image's root file system: $said"
