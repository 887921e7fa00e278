# shellcheck shell=bash
# Sourced by the commands beside it: the project's root, and a .venv in it that holds what a lock names.
#
#   prepare requirements.txt        makes .venv, or brings it up to date; says nothing when it already is
#   debian_packages NAME…           installs Debian packages; starts no service
#   install_missing FUNCTION        the same for those that a function of the caller's prints; is_there helps it find out
#
# Everything said goes to stderr: stdout belongs to the command that is being run.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python

# Of the caller's settings for Python and pip, those count that say where packages come from. The others would have
# them looked for, or put, elsewhere than in .venv, or change what the shop's own Python does.
unset PYTHONHOME PYTHONPATH PYTHONUSERBASE PYTHONPLATLIBDIR PYTHONEXECUTABLE PYTHONSTARTUP PYTHONSAFEPATH PYTHONINSPECT \
  PYTHONOPTIMIZE PYTHONDONTWRITEBYTECODE
for name in "${!PIP_@}"; do
  case ${name#PIP_} in
    INDEX_URL | EXTRA_INDEX_URL | FIND_LINKS | NO_INDEX | TRUSTED_HOST | CERT | CLIENT_CERT | PROXY | CONFIG_FILE) ;;
    CACHE_DIR | NO_CACHE_DIR | TIMEOUT | DEFAULT_TIMEOUT | RETRIES | KEYRING_PROVIDER) ;;
    *) unset "$name" ;;
  esac
done
unset name

prepare() { # prepare LOCK
  if ! is_installed "$1"; then
    local interpreter
    interpreter=$(find_python)
    # One at a time: the lock is on the root folder itself, and goes with the subshell that holds it.
    (install_lock "$interpreter" "$1") 9<"$root"
  fi
}

# Installed is what the stamp says: which interpreter the packages are for, and the lock they came from.
is_installed() { # is_installed LOCK
  [[ -x $python && -f $(stamp "$1") && $(<"$(stamp "$1")") == "$(stamp_text "$1")" ]]
}

stamp() { printf '%s' "$venv/installed-$1"; }
# The first line tells stamps from those that were written before what is installed was looked at.
stamp_text() { echo "seen in .venv" && readlink -f -- "$python" && cat -- "$root/$1"; }

install_lock() { # install_lock INTERPRETER LOCK
  take_turns "$1"
  if is_installed "$2"; then return; fi # another command has just done it
  require_writable "$1"
  trap 'exit 130' INT
  usable_venv || make_venv "$1"
  rm -f -- "$venv"/installed-*
  touch -- "$venv/unfinished"
  say "installing what $2 names (the first time takes a minute or two)"
  local status=0
  "$python" -m pip install -qq --disable-pip-version-check --no-input --no-deps \
    --no-user --target= --require-hashes --requirement "$root/$2" >&2 || status=$?
  # Killed half-way, packages may be half there: then the mark stays, and the next start makes .venv anew.
  ((status > 128)) || rm -f -- "$venv/unfinished"
  ((status == 0)) || fail "could not install what $2 names: pip's reason is above. Run it again to retry"
  check_installed "$2"
  local lock
  for lock in "$2" $(held_by "$2"); do write_stamp "$lock"; done
  say "installed"
}

# Prints the locks of which this one holds everything: what they name is installed with it.
held_by() { # held_by LOCK
  case $1 in
    requirements-dev.txt) echo requirements.txt ;;
    requirements-bench.txt) echo requirements-dev.txt requirements.txt ;;
  esac
}

# What pip's own files of settings had it do otherwise must not count as installed.
check_installed() { # check_installed LOCK
  "$python" -I - "$root/$1" >&2 <<'PYTHON' || fail "not all that $1 names is in .venv: does 'pip config list' say why?"
import re, sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pip._vendor.packaging.requirements import Requirement

def is_there(wanted):
    try:
        return version(wanted.name) in wanted.specifier
    except PackageNotFoundError:
        return False

text = Path(sys.argv[1]).read_text("utf-8").replace("\\\n", " ")
lines = [re.sub(" --hash=.*", "", line) for line in text.splitlines() if re.match(r"\w", line)]
wanted = [requirement for requirement in map(Requirement, lines) if not requirement.marker or requirement.marker.evaluate()]
missing = [str(requirement) for requirement in wanted if not is_there(requirement)]
if missing:
    sys.exit(f"drop-shop: not installed: {', '.join(missing)}")
PYTHON
}

write_stamp() { # write_stamp LOCK
  stamp_text "$1" >"$venv/unfinished" && mv -f -- "$venv/unfinished" "$(stamp "$1")"
}

take_turns() { # take_turns INTERPRETER: waits for the lock on descriptor 9
  "$1" - <<'PYTHON'
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("drop-shop: waiting for another command that is installing", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
PYTHON
}

# A release's folder is often another user's than the one who runs the shop.
require_writable() { # require_writable INTERPRETER
  if [[ -w $root && (! -e $venv || -w $venv) ]]; then return; fi
  local owner
  owner=$(ls -ld -- "$root" | awk '{print $3}')
  fail "$venv is not ready for $("$1" --version), and may not be written by $(id -un):" \
    "run $root/bin/flask --version once as $owner. So it is after an upgrade of the system's Python"
}

# An interrupted installation, or a Python that is gone, too old or another one than before, is not usable.
usable_venv() {
  [[ ! -e $venv/unfinished ]] && is_new_enough "$python" && "$python" -m pip --version &>/dev/null
}

make_venv() { # make_venv INTERPRETER
  with_ensurepip "$1"
  say "making .venv with $("$1" --version)"
  rm -rf -- "$venv"
  mkdir -- "$venv"
  touch -- "$venv/unfinished"
  "$1" -m venv -- "$venv" >&2 || fail "could not make $venv: the reason is above"
}

with_ensurepip() { # with_ensurepip INTERPRETER: Debian packs what a venv needs apart from Python itself
  if "$1" -c 'import ensurepip, venv' &>/dev/null; then return; fi
  local package
  package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  can_install || fail "$1 can't make virtual environments: install the package $package, then run this again"
  debian_packages "$package"
}

# Prints the first interpreter that is new enough; PYTHON names one to try before all others.
find_python() {
  local candidate
  while IFS= read -r candidate; do
    # With .venv activated, its own Python comes first: no base to make .venv from.
    if [[ $candidate != "$venv"/* ]] && is_new_enough "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done < <(type -aP ${PYTHON:+"$PYTHON"} python3 python3.{14,13,12,11} python)
  fail "Python 3.11 or newer is needed, and not found: install it, or name it as in PYTHON=/path/to/python3 ${0##*/}"
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' &>/dev/null; }

can_install() { ((EUID == 0)) && command -v apt-get >/dev/null; }

debian_packages() { # debian_packages NAME…
  say "installing Debian packages: $*"
  local log
  log=$(mktemp)
  if ! (forbid_services && apt_install "$@") &>"$log"; then
    cat -- "$log" >&2
    rm -f -- "$log"
    fail "could not install the Debian packages $*: apt's reason is above"
  fi
  rm -f -- "$log"
}

is_there() { # is_there PACKAGE FILES: FILES is a pattern of which one must exist, whoever brought it
  compgen -G "$2" >/dev/null &&
    [[ ! $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) =~ ^(half|unpacked|triggers) ]]
}

install_missing() { (find_and_install "$1") 9<"$root"; }

find_and_install() { # find_and_install FUNCTION
  take_turns "$python"
  local packages
  mapfile -t packages < <("$1")
  if ((${#packages[@]} > 0)); then
    debian_packages "${packages[@]}"
  elif services_forbidden_by_us; then # by a run that was killed
    allow_services
  fi
}

apt_install() { # apt_install NAME…
  local patient=(-qq -o DPkg::Lock::Timeout=300)
  export DEBIAN_FRONTEND=noninteractive
  dpkg --configure -a && # mends an installation that was interrupted
    apt-get "${patient[@]}" update &&
    apt-get "${patient[@]}" install --yes --no-install-recommends "$@" </dev/null
}

# Installing a server package starts the server, unless this file, asked before any start, says no.
# One that was there before stays as it is; ours is known by its text, and goes when the subshell ends.
policy=/usr/sbin/policy-rc.d
policy_text=$'#!/bin/sh\n# Here while the drop shop installs packages for its tests: no service is started.\nexit 101'

forbid_services() {
  if [[ -e $policy ]] && ! services_forbidden_by_us; then return; fi
  trap allow_services EXIT
  trap 'exit 130' INT TERM HUP
  printf '%s\n' "$policy_text" >"$policy" && chmod 755 "$policy"
}

services_forbidden_by_us() { [[ -f $policy && $(<"$policy") == "$policy_text" ]]; }
allow_services() { rm -f -- "$policy"; }

say() { printf 'drop-shop: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}
