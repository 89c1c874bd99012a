# What all scripts of eng share; sourced, not run.
#
# They print one line a step with the seconds since their start. Work is done in a folder of its own under the cache and
# comes into being by a rename, so that an interrupted run leaves nothing that a later one could take for whole.

set -euo pipefail
export LC_ALL=C

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${SANDLABX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sandlabx}
# Where the tool that builds container images keeps what lives no longer than the machine is up.
container_runs=/run/sandlabx-buildah-$(sha256sum <<< "$cache" | cut -c1-12)
me=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
me=${me#"$repo/"}
began=$EPOCHREALTIME
stage='start'
log=

elapsed() { local now=$EPOCHREALTIME; printf '%d.%d' $(((${now/[.,]/} - ${began/[.,]/}) / 1000000)) $(((${now/[.,]/} - ${began/[.,]/}) / 100000 % 10)); }
step() { stage=$1; printf '[%6ss] %s: %s\n' "$(elapsed)" "$me" "$1" >&2; }
die() { printf '%s failed at "%s": %s\n' "$me" "$stage" "$1" >&2; [[ -z $log ]] || printf 'log: %s\n' "$log" >&2; exit 1; }

set -E
trap 'code=$?; [[ $BASH_SUBSHELL -gt 0 ]] || die "$BASH_COMMAND (line $LINENO of $(basename "${BASH_SOURCE[0]}")) ended with $code"' ERR

# run <command…>: its output goes to the log; when it fails, the log's end is shown.
run() {
  local code=0
  printf '+ %s\n' "$*" >> "$log"
  "$@" >> "$log" 2>&1 < /dev/null || code=$?
  ((code == 0)) && return
  printf -- '--- last lines of %s\n' "$log" >&2
  tail -n 15 "$log" >&2
  die "$1 ended with $code"
}

# scratch <name>: a work folder that goes away with the script, and a log beside it that stays.
scratch() {
  mkdir -p "$cache/tmp" "$cache/logs"
  log=$cache/logs/$1.log
  : > "$log"
  work=$(mktemp -d "$cache/tmp/$1.XXXXXX")
  chmod 755 "$work"   # mmdebstrap's apt drops its rights and must still get in
  trap 'rm -rf --one-file-system "$work"' EXIT
  trap 'exit 130' INT TERM HUP
}

# one_at_a_time <name>: a second run of the same thing waits for the first, and then finds its result.
one_at_a_time() {
  mkdir -p "$cache/locks"
  exec 9> "$cache/locks/$1"
  flock -n 9 || { step "waiting for another run that makes $1"; flock 9; }
}

# apt_get <argument…>: its output goes to the log. It waits for dpkg's lock itself; while another program has those of its lists or
# its cache (this machine's daily update, a script of ours beside this one) it is asked again, for five minutes.
apt_get() {
  local code from until=$((SECONDS + 300))
  while :; do
    code=0 from=$(stat -c %s "$log")
    printf '+ apt-get %s\n' "$*" >> "$log"
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >> "$log" 2>&1 < /dev/null || code=$?
    ((code)) && ((SECONDS < until)) && tail -c +$((from + 1)) "$log" | grep 'Could not get lock' > /dev/null || return $code
    sleep 2
  done
}

# need <command|file>:<package>…: installs the Debian packages of what isn't there.
need() {
  local pair missing=()
  for pair in "$@"; do
    if [[ $pair == /* ]]; then [[ -e ${pair%%:*} ]]; else PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" > /dev/null; fi || missing+=("${pair#*:}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get > /dev/null || die "not installed, and no apt-get to install it: ${missing[*]}"
  ((EUID == 0)) || die "not installed; as root: apt-get install --no-install-recommends ${missing[*]}"
  step "installing ${missing[*]}"
  apt_get install -y --no-install-recommends "${missing[@]}" && return
  # The package lists were old or missing.
  apt_get update && apt_get install -y --no-install-recommends "${missing[@]}" || { tail -n 15 "$log" >&2; die "apt-get could not install ${missing[*]}"; }
}

# digest <path…>: one hash over names, modes and contents of files and folders, independent of where the checkout is. What
# only explains (*.md) does not count.
digest() {
  local files=("$@" -type f ! -name '*.md')
  (cd "$repo" && find "${files[@]}" -printf '%p %m\n' | sort && find "${files[@]}" -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

# prune <pattern> <number>: keeps the newest of the files that match, and what is named like them.
prune() {
  local file
  # shellcheck disable=SC2086
  ls -t $1 | tail -n +$(($2 + 1)) | while read -r file; do rm -f "$file" "$file.sha256"; done
}

suite=bookworm

indexed_sources() {
  apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>> "$log" |
    awk -v suite=$suite '$1 == "Debian" && $3 == "main" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security") { print "deb", $4, $2, $3 }' > "$sources" || true
}

# Images are made of Debian $suite, from where this machine gets its own packages when that is Debian $suite (a mirror, a
# proxy), else from Debian's own servers. Sets: sources, a file for mmdebstrap; apt_options, what it is to tell apt.
debian_sources() {
  sources=$work/sources.list
  apt_options=()
  if command -v apt-get > /dev/null; then
    indexed_sources
    # A machine that never asked its mirror does not know what it has there.
    if [[ ! -s $sources ]] && ((EUID == 0)) && apt_get update; then indexed_sources; fi
    # How to get there: proxies, and what a machine with an odd clock or a frozen mirror has set.
    mapfile -t apt_options < <(apt-config dump | grep -E '^Acquire::((https?::|)(Proxy|Verify|CaInfo)|Check-Valid-Until|Check-Date|Retries)[^ ]* "[^"]+";$' | sed 's/^/--aptopt=/')
  fi
  grep -q " $suite main" "$sources" 2> /dev/null || printf 'deb http://deb.debian.org/debian%s\n' " $suite main" " $suite-updates main" "-security $suite-security main" > "$sources"
}

# debian <mmdebstrap options…> <target>: a tree or archive of Debian packages. What this machine's way to Debian was does
# not stay in it.
debian() {
  local target=${*: -1}
  debian_sources
  run mmdebstrap "${apt_options[@]}" --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1"/etc/apt/sources.list.d/0000*; if [ -d "$1/etc/apt" ]; then printf "deb http://deb.debian.org/debian%s main\n" " '$suite'" " '$suite'-updates" "-security '$suite'-security" > "$1/etc/apt/sources.list"; fi' \
    "${@:1:$#-1}" $suite "$target" "$sources"
}
