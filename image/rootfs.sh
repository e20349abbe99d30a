#!/usr/bin/env bash
# rootfs.sh BINARY FOLDER: lays out in FOLDER what an image of BINARY holds, where there is no image builder: the binary in
# /usr/local/bin, the libraries that it is linked with, and what the base image of the Containerfile has besides (a user
# that is not root, certificate authorities, /tmp). No shell.
set -euo pipefail
[ $# = 2 ] || { sed -n 2,4p "$0" >&2; exit 2; }
binary=$1 folder=$2

mkdir -p "$folder"/{etc/ssl/certs,tmp,usr/local/bin}
chmod 1777 "$folder/tmp"
install -m 755 "$binary" "$folder/usr/local/bin/"
# Symbols would be most of the image.
if command -v strip >/dev/null; then strip "$folder/usr/local/bin/$(basename "$binary")"; fi
linked=$(ldd "$binary")
if grep 'not found' <<<"$linked" >&2; then echo "$binary does not start on this machine either" >&2; exit 1; fi
grep -o '/[^ ]*' <<<"$linked" | sort -u | while read -r library; do
  mkdir -p "$folder$(dirname "$library")"
  cp -L "$library" "$folder$library"
done
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$folder/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$folder/etc/group"
for authorities in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  if [ -s "$authorities" ]; then
    cp -L "$authorities" "$folder/etc/ssl/certs/ca-certificates.crt"
    exit
  fi
done
# Without them it would start, and trust no broker.
echo "no certificate authorities on this machine: install ca-certificates" >&2
exit 1
