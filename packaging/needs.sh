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

# need_packages COMMAND:PACKAGE...: installs with apt each package whose command is missing.
need_packages() {
    local pair missing=() sudo=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
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
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
