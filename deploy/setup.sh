#!/bin/sh
# Makes what this repository needs from the machine: a few distribution packages and the virtual environment .venv.
# Run again it changes nothing and takes no time. Says exactly what is missing where it may not install.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
packages=""
command -v "$python" >/dev/null 2>&1 || packages="$packages python3"
"$python" -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
command -v etcd >/dev/null 2>&1 || packages="$packages etcd-server"

if [ -n "$packages" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "missing packages:$packages; install them with: sudo apt-get install$packages" >&2
        exit 1
    fi
    echo "installing$packages"
    # The packaged daemons must not start: a policy for the time of the installation only.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    apt-get update -q >/dev/null
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >/dev/null
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed, $("$python" --version) is here; name another one: PYTHON=python3.12 make ..." >&2
    exit 1
}

stamp=.venv/installed-$(cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
if [ ! -e "$stamp" ]; then
    echo "installing Cascade and its locked dependencies into .venv"
    "$python" -m venv .venv
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
    rm -f .venv/installed-*
    : >"$stamp"
fi
