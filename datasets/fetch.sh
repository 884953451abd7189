#!/bin/sh
# Downloads MNIST into the user's cache folder, where ct_dataset_open looks for it.
# Mirrors pack the same files differently, so the content is what counts: each file is unpacked,
# never beyond its known size, and gets its name only when size and SHA-256 are right. What stays
# in the cache are the unpacked files.
#
#   COTAN_MNIST_URL  folders on servers, separated by spaces, instead of the mirrors below;
#                    https only, unless the URL itself says http
#   XDG_CACHE_HOME   the cache folder instead of ~/.cache
set -fu

mirrors='https://ossci-datasets.s3.amazonaws.com/mnist
https://storage.googleapis.com/cvdf-datasets/mnist'

# More than any packed file needs; in blocks of 512 bytes, as ulimit counts.
download_limit=24576

say() { printf 'fetch: %s\n' "$1" >&2; }

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi |
        cut -d ' ' -f 1
}

size_of() { wc -c <"$1" | tr -d ' '; }

# is_right FILE SIZE SUM
is_right() { [ -f "$1" ] && [ "$(size_of "$1")" = "$2" ] && [ "$(sha256 "$1")" = "$3" ]; }

download() {
    case $1 in
    http://*) protocols='=http,https' ;;
    *) protocols='=https' ;;
    esac
    (
        ulimit -f "$download_limit" # for servers that do not say how much they send
        exec curl --proto "$protocols" --proto-redir "$protocols" --fail --silent --show-error \
            --location --max-redirs 5 --connect-timeout 20 --speed-limit 1000 --speed-time 30 \
            --max-time 1800 --max-filesize $((download_limit * 512)) --output "$2" -- "$1"
    )
}

# fetch_from URL NAME SIZE SUM: says what is wrong and returns 1.
fetch_from() {
    url=$1/$2.gz
    if ! download "$url" "$work/packed"; then
        say "$url: download failed"
        return 1
    fi
    gzip -dc <"$work/packed" 2>/dev/null | head -c $(($3 + 1)) >"$work/$2"
    got=$(size_of "$work/$2")
    if [ "$got" -gt "$3" ]; then
        say "$url: unpacks to more than the expected $3 bytes"
        return 1
    fi
    if [ "$got" != "$3" ]; then
        say "$url: unpacks to $got bytes, expected $3"
        return 1
    fi
    sum=$(sha256 "$work/$2")
    if [ "$sum" != "$4" ]; then
        say "$url: the unpacked file has SHA-256 $sum, expected $4"
        return 1
    fi
}

# fetch NAME SIZE SUM
fetch() {
    if is_right "$target/$1" "$2" "$3"; then
        say "$1 is there already"
        return 0
    fi
    for mirror in ${COTAN_MNIST_URL:-$mirrors}; do
        say "$mirror/$1.gz"
        if fetch_from "$mirror" "$1" "$2" "$3"; then
            chmod 644 "$work/$1" && mv -f "$work/$1" "$target/$1" && return 0
            say "$target/$1 cannot be written"
            return 1
        fi
        rm -f "$work/packed" "$work/$1"
    done
    say "$1 could not be fetched; nothing was kept of it"
    return 1
}

for tool in curl gzip head; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        say "'$tool' not found in PATH; install it"
        exit 1
    fi
done

cache=${XDG_CACHE_HOME:-}
case $cache in
/*) ;;
*) cache=${HOME:?}/.cache ;;
esac
target=$cache/cotan/mnist
mkdir -p "$target" || exit 1
# In the same folder, so that a rename puts a file in place in one step.
work=$(mktemp -d "$target/.fetch.XXXXXX") || exit 1
trap 'rm -rf "$work"; rmdir "$target" "$cache/cotan" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Name, bytes and SHA-256, unpacked.
while read -r name size sum; do
    fetch "$name" "$size" "$sum" </dev/null || exit 1
done <<'LIST'
train-images-idx3-ubyte 47040016 ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
train-labels-idx1-ubyte 60008 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
t10k-images-idx3-ubyte 7840016 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
t10k-labels-idx1-ubyte 10008 ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
LIST
say "MNIST is in $target"
