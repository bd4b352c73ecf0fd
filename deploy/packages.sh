# packages.sh - sourced: installs the Debian packages that are missing, and only those.

# missing PACKAGE...: the names of those that are not installed.
missing() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

# need PACKAGE...: returns 1 with a line that says what to do when they cannot be installed here.
need() {
    local wanted
    mapfile -t wanted < <(missing "$@")
    [ ${#wanted[@]} -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
        if ! sudo -n true 2>/dev/null; then
            echo "Missing packages, and no right to install them. As root: apt-get install ${wanted[*]}" >&2
            return 1
        fi
    fi
    echo "Installing ${wanted[*]}"
    "${as_root[@]}" apt-get update -qq || return 1
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${wanted[@]}" >/dev/null
}

build_packages=(cmake gcc libc6-dev make liburing-dev libjemalloc-dev liblmdb-dev libxxhash-dev libjansson-dev
    libwslay-dev libargon2-dev libcurl4-openssl-dev libmicrohttpd-dev dpkg-dev) # the last one for deploy/wolfssl
