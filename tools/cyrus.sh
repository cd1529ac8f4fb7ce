#!/usr/bin/env bash
# Unpack Debian's Cyrus into .cache/cyrus, for tests/interop/test_cyrus.py. Nothing is installed: its packages are at
# odds with those of other POP3 servers. It takes a few seconds and 12 MB, on Debian; no root, but root has the lists of
# packages updated if they are missing or old. The exit status is 3 where Cyrus cannot be had.
set -euo pipefail
checkout=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
folder=$checkout/.cache/cyrus
programs=(cyrus-pop3d cyrus-common sasl2-bin libsasl2-modules libsasl2-modules-db)

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

not_here() { echo "$1" >&2; exit 3; }

command -v apt-get >/dev/null || not_here "this is not Debian"
# shellcheck disable=SC1091 # it is part of every Debian
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
if [[ -e $folder/complete && $(<"$folder/complete") == "$release" ]]; then
  echo "Cyrus is there: $folder"
  exit 0
fi
rm -rf "$folder"
mkdir -p "$folder/packages" "$folder/tree"
cd "$folder/packages"

download() {
  local packages=("${programs[@]}") library
  for library in $(apt-cache depends --important "${programs[@]}" | awk '$1 == "Depends:" && $2 ~ /^lib/ { print $2 }' | sort -u); do
    installed "$library" || packages+=("$library")
  done
  timeout 300 apt-get download -qq "${packages[@]}" </dev/null
}

update() { ((EUID == 0)) && timeout 300 apt-get update -qq </dev/null; }

download || { update && download; } || not_here "the packages of Cyrus cannot be downloaded"
for package in ./*.deb; do
  dpkg-deb -x "$package" "$folder/tree"
done
cd "$folder"
rm -r packages
machine=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=$folder/tree/usr/lib/$machine:$folder/tree/lib/$machine
missing=$(ldd tree/usr/lib/cyrus/bin/{master,pop3d} | awk '/not found/ { print $1 }' | sort -u | tr '\n' ' ')
[[ ! $missing ]] || { echo "Cyrus lacks libraries: $missing" >&2; exit 1; }
echo "$release" >complete
