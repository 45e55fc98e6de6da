#!/bin/sh
# Makes the virtual environment and installs the project into it, in the versions of requirements.lock.
# Usage: setup.sh VENV.  PYTHON names another interpreter than python3.
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "citynerve needs Python 3.11 or newer; $python is $("$python" --version). Set PYTHON to another one." >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian ships venv apart from Python itself.
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    echo "Installing python3-venv ..."
    as_root apt-get install -y -q python3-venv || {
        echo "Python's venv module is missing: install the package python3-venv." >&2
        exit 1
    }
}

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing citynerve and what it needs into $venv (a minute or two the first time) ..."
"$venv/bin/pip" install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
