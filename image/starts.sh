#!/usr/bin/env bash
# starts.sh FOLDER: proves that the operator starts with FOLDER as its root file system and nothing else, read-only, as a
# user that is not root. A library that is not in the image is found out here and not in a cluster.
set -euo pipefail
[ $# = 1 ] || { sed -n 2,3p "$0" >&2; exit 2; }
folder=$(cd "$1" && pwd)

# A mount namespace of its own, so that the read-only mount goes with it; rights to make one as a user, if need be.
inside() {
  local how=(unshare --mount)
  [ "$(id -u)" = 0 ] || how=(unshare --user --map-root-user --mount)
  # shellcheck disable=SC2016 # expanded by the inner shell
  "${how[@]}" sh -ec '
    mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"
    user=65532; [ -z "$AS_ROOT" ] || user=0
    exec chroot --userspec="$user:$user" "$0" /usr/local/bin/pact-operator "$@"' "$folder" "$@"
}
AS_ROOT=
# In a user namespace there is only the one user that was mapped.
[ "$(id -u)" = 0 ] || AS_ROOT=yes
export AS_ROOT

said=$(inside --version)
[[ $said == pact-operator\ * ]] || { echo "the image's --version says: $said" >&2; exit 1; }
kinds=$(inside crds | grep -c '^kind: CustomResourceDefinition')
[ "$kinds" = 3 ] || { echo "the image prints $kinds kinds, not 3" >&2; exit 1; }
echo "starts from the image's root file system: $said"
