#!/usr/bin/env bash
# Run a command as on a machine that has just been made:
#
#   tests/bare.sh .venv/bin/python -m pytest tests
#
# In namespaces of its own: no fonts, browsers or TeX, none of the user's caches and settings, an empty home that cannot
# be written, no network but the loopback, 64 MiB of shared memory, locale C, the time zone farthest east, no
# environment variables but EX2_* and those set below, and of the system's programs only those named here.
#
# EX2_BARE_HIDE=PATH hides one file or folder more: how a check is shown to fail.
set -euo pipefail

# What EX2, its tests and its Makefile may call. README.md ("What it takes from a machine") says what each is for.
PROGRAMS="sh bash env make touch mkdir rm chmod dirname id awk timeout mktemp git dpkg-deb tar gzip mount umount"

BROWSERS="chromium chromium-browser google-chrome google-chrome-stable chrome firefox"
FOLDERS="/usr/share/fonts /usr/local/share/fonts /etc/fonts /usr/share/texmf /usr/share/texlive /usr/share/texmf-dist
  $HOME/.cache $HOME/.config $HOME/.local/share $HOME/.fonts $HOME/.texlive $HOME/texmf $HOME/.matplotlib"

if [ "${1:-}" != --inside ]; then
  here=$(mktemp -d "${TMPDIR:-/tmp}/ex2-bare.XXXXXX")
  trap 'rmdir "$here"' EXIT
  user=()
  [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
  unshare "${user[@]}" --mount --net --ipc --propagation private -- "$0" --inside "$here" "$@"
  exit
fi
here=$2
shift 2

mount -t tmpfs -o size=1m tmpfs "$here"
mkdir "$here/bin" "$here/home" "$here/none"
: > "$here/nothing"
for program in $PROGRAMS; do
  found=$(command -v "$program") && ln -s "$found" "$here/bin/$program"
done
for browser in $BROWSERS; do
  for path in $(type -ap "$browser" || true); do
    mount --bind "$here/nothing" "$(readlink -f "$path")"
  done
done
for hidden in $FOLDERS ${EX2_BARE_HIDE:-}; do
  if [ -d "$hidden" ]; then
    mount --bind "$here/none" "$hidden"
    mount -o remount,bind,ro "$hidden"
  elif [ -e "$hidden" ]; then
    mount --bind "$here/nothing" "$hidden"
  fi
done
mount --bind "$here/home" "$here/home"
mount -o remount,bind,ro "$here/home"
mount -t tmpfs -o size=64m tmpfs /dev/shm

# the loopback, which a new network has switched off: SIOCSIFFLAGS, IFF_UP and IFF_RUNNING
python3 - <<'PYTHON'
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
    fcntl.ioctl(plug, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))
PYTHON

settings=()
while IFS= read -r name; do
  settings+=("$name=${!name}")
done < <(compgen -e EX2_ || true)
exec env -i "${settings[@]}" PATH="$here/bin" HOME="$here/home" LC_ALL=C TZ=Pacific/Kiritimati "$@"
