#!/usr/bin/env bash
# A Debian unstable tree inside this checkout: Pythons and mail programs that are newer than the system's.
# It takes root, on Debian, and some two minutes and 500 MB once.
#
#   tools/unstable.sh make             make the tree, unless there is a whole one
#   tools/unstable.sh run COMMAND...   run a command in the tree, in the checkout, for two hours at most
#
# A command has mounts and processes of its own (namespaces): when it ends, or this script does, the kernel undoes all
# mounts and ends what is still running. Nothing in the tree is started by itself. `rm -r .cache/unstable` removes it.
set -euo pipefail

packages=(
  python3.14 python3.14-venv python3.15 python3.15-venv
  libpython3.14-testsuite libpython3.15-testsuite # Python's own tests of poplib are for ours, too
  dovecot-pop3d mpop fetchmail mutt neomutt fail2ban curl openssl apache2-utils
  ca-certificates
)
checkout=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
tree=$checkout/.cache/unstable
packages_file=$tree/packages # written last: who finds his packages there finds a whole tree

isolated() {  # FUNCTION ARGUMENT...: call a function of this script in namespaces of its own
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
    env --default-signal=HUP,INT,QUIT,TERM bash "${BASH_SOURCE[0]}" isolated "$@"
}

mirror() {  # where this machine takes Debian from
  # shellcheck disable=SC1091 # it is part of every Debian
  apt-get indextargets --no-release-info --format "\$(RELEASE) \$(REPO_URI)" |
    awk -v release="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == release && !found { print $2; found = 1 }'
}

make_tree() {
  exec 9>"$tree.lock"
  flock 9
  if [[ -e $packages_file && $(<"$packages_file") == "${packages[*]}" ]]; then
    echo "the tree is there: $tree"
    return 0
  fi
  local from proxy
  from=$(mirror)
  [[ $from ]] || { echo "no mirror of Debian is configured" >&2; return 1; }
  proxy=$(apt-config shell http_proxy Acquire::http::Proxy)
  eval "${proxy:+export $proxy}"
  rm -rf --one-file-system "$tree"
  echo "making $tree"
  timeout --kill-after=10 1800 debootstrap --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" \
    unstable "$tree" "$from" </dev/null >"$tree.log" 2>&1 || { tail -n 5 "$tree.log" >&2; return 1; }
  rm -rf "$tree"/var/cache/apt/archives/*.deb
  echo "${packages[*]}" >"$packages_file"
}

copy_settings() {  # names, certificates and the settings of pip: installing works in the tree as it does outside
  local path
  exec 9>"$tree.lock"
  flock 9 # another command may be in the tree: what it reads is not replaced unless it has changed
  for path in /etc/hosts /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt \
    /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.pip"; do
    if [[ ! -L $tree$path ]] && diff -rq "$path" "$tree$path" &>/dev/null; then continue; fi
    rm -rf "${tree:?}$path"
    if [[ -e $path ]]; then
      mkdir -p "$tree$(dirname "$path")"
      cp --recursive --dereference "$path" "$tree$path"
    fi
  done
  exec 9>&-
}

run_in_tree() {
  copy_settings
  mkdir -p "$tree$checkout"
  mount --bind "$checkout" "$tree$checkout"
  mount --rbind /dev "$tree/dev"
  mount -t proc proc "$tree/proc"
  timeout --foreground --kill-after=10 7200 chroot "$tree" \
    env --chdir="$checkout" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

case ${1-} in
  make)
    ((EUID == 0)) || { echo "only root can make a tree" >&2; exit 1; }
    mkdir -p "$(dirname "$tree")"
    isolated make_tree
    ;;
  run)
    [[ -e $packages_file ]] || { echo "there is no tree: $0 make" >&2; exit 1; }
    isolated run_in_tree "${@:2}"
    ;;
  isolated) "${@:2}" ;;
  *)
    sed -n '2,/^set/s/^# \?//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
