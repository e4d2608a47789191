# shellcheck shell=bash
# Sourced by packaging/quickstart and tests/run: installs what is missing, and says what it installs.

# need_rust: fails with the remedy when cargo is missing.
need_rust() {
    if ! command -v cargo >/dev/null 2>&1 && [ -f "${HOME:-/root}/.cargo/env" ]; then
        # shellcheck disable=SC1091
        . "${HOME:-/root}/.cargo/env"
    fi
    if ! command -v cargo >/dev/null 2>&1; then
        echo "Rust is missing: install it from https://rustup.rs (rust-toolchain.toml names the version), then run this again" >&2
        exit 3
    fi
}

# have COMMAND|python:MODULE: whether it is there. Servers live in /usr/sbin, which not everybody has in the path.
have() {
    case "$1" in
        python:*) /usr/bin/python3 -c "import ${1#python:}" >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
    esac
}

# need_packages COMMAND:PACKAGE...: installs with apt each package whose command (or python:MODULE) is missing. Servers among them are
# installed, but neither started nor enabled: the tests run their own copies on loopback ports.
need_packages() {
    local pair missing=() sudo=() policy=/usr/sbin/policy-rc.d
    for pair in "$@"; do
        have "${pair%:*}" || missing+=("${pair##*:}")
    done
    [ "${#missing[@]}" -eq 0 ] && return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing: ${missing[*]}; this is not a Debian machine, install them with its own package manager and run this again" >&2
        exit 3
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || {
            echo "missing: ${missing[*]}; run as root: apt-get install ${missing[*]}" >&2
            exit 3
        }
        sudo=(sudo)
    fi
    echo "installing with apt: ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    if [ -e "$policy" ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" install -m 755 /dev/stdin "$policy"
    fi
    local failed=0
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || failed=$?
    [ -z "$policy" ] || "${sudo[@]}" rm -f "$policy"
    [ "$failed" -eq 0 ] || return "$failed"
    if command -v systemctl >/dev/null 2>&1; then
        for pair in nginx caddy nsd unbound dovecot tinyproxy prometheus-blackbox-exporter; do
            case " ${missing[*]} " in
                *" $pair"*) "${sudo[@]}" systemctl disable --quiet "$pair" >/dev/null 2>&1 || true ;;
            esac
        done
    fi
}
