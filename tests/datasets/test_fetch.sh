#!/bin/sh
# datasets/fetch.sh against a server on loopback: right files, wrong ones, none, no server.
# The files are made up, and a copy of the script gets their sums in place of MNIST's; with
# COTAN_TEST_MNIST (a folder with the four .gz files) the script itself fetches the real ones.
set -u

script=${1:-$(dirname "$0")/../../datasets/fetch.sh}
names='train-images-idx3-ubyte train-labels-idx1-ubyte
t10k-images-idx3-ubyte t10k-labels-idx1-ubyte'
work=$(mktemp -d) || exit 1
server=
stop_server() {
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
    server=
}
trap 'stop_server; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
failures=0

# check WHAT COMMAND...: the command must succeed.
check() {
    what=$1
    shift
    if "$@"; then echo "ok   $what"; else
        echo "FAIL $what"
        sed 's/^/     | /' "$work/log"
        failures=$((failures + 1))
    fi
}
not() { ! "$@"; }
said() { grep -qF -- "$1" "$work/log"; }
# As many files in the cache as $1, and no temporary ones.
holds() {
    [ "$(find "$work/cache" -type f 2>/dev/null | wc -l)" -eq "$1" ] &&
        [ -z "$(find "$work/cache" -name '.fetch*' 2>/dev/null)" ]
}
same() { for n in $names; do cmp -s "$1/$n" "$cache/$n" || return 1; done; }
sum_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# run SCRIPT URLS: into the cache folder, which is emptied before.
run() {
    COTAN_MNIST_URL=$2 XDG_CACHE_HOME=$work/cache sh "$1" >"$work/log" 2>&1
}
fresh() { rm -rf "$work/cache"; }
cache=$work/cache/cotan/mnist

mkdir "$work/plain" "$work/web" "$work/web/good" "$work/web/wrong" "$work/web/short" \
    "$work/web/long" "$work/web/huge" "$work/web/text"
cp "$script" "$work/fetch.sh"
for n in $names; do
    head -c 3000 /dev/urandom | od -An -tx1 >"$work/plain/$n"
    gzip -c "$work/plain/$n" >"$work/web/good/$n.gz"
    sed -i "s/^$n .*/$n $(wc -c <"$work/plain/$n") $(sum_of "$work/plain/$n")/" "$work/fetch.sh"
done
last=t10k-labels-idx1-ubyte
for folder in wrong short long huge text; do cp "$work/web/good/"* "$work/web/$folder"; done
sed 's/0/1/' "$work/plain/$last" >"$work/other"
gzip -c "$work/other" >"$work/web/wrong/$last.gz"
head -c 2000 "$work/web/good/$last.gz" >"$work/web/short/$last.gz"
{ cat "$work/plain/$last"; head -c 50000000 /dev/zero; } | gzip -c >"$work/web/long/$last.gz"
head -c 13000000 /dev/zero >"$work/web/huge/$last.gz"
echo '<html>not found</html>' >"$work/web/text/$last.gz"

python3 -u -m http.server --bind 127.0.0.1 --directory "$work/web" 0 >"$work/server" 2>&1 &
server=$!
until port=$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$work/server" | head -n 1) && [ -n "$port" ]; do
    kill -0 "$server" 2>/dev/null || { echo "FAIL the server does not start"; exit 1; }
    sleep 0.1
done
url=http://127.0.0.1:$port

check 'right files: status' run "$work/fetch.sh" "$url/good"
check 'right files: all there, nothing else' holds 4
check 'right files: the bytes' same "$work/plain"
echo damaged >"$cache/$last"
check 'a damaged file in the cache: status' run "$work/fetch.sh" "$url/good"
check 'a damaged file in the cache is replaced' same "$work/plain"

fresh
check 'wrong checksum: status' not run "$work/fetch.sh" "$url/wrong"
check 'wrong checksum: names the sum that came' said "$(sum_of "$work/other")"
check 'wrong checksum: names the sum expected' said "expected $(sum_of "$work/plain/$last")"
check 'wrong checksum: nothing of it left' holds 3
check 'wrong checksum: what was right stays' [ -f "$cache/train-images-idx3-ubyte" ]

fresh
check 'cut off: status' not run "$work/fetch.sh" "$url/short"
check 'cut off: says the sizes' said "bytes, expected $(wc -c <"$work/plain/$last")"
check 'cut off: nothing of it left' holds 3
fresh
check 'unpacks to too much: status' not run "$work/fetch.sh" "$url/long"
check 'unpacks to too much: says so' said 'unpacks to more than the expected'
check 'unpacks to too much: nothing of it left' holds 3
fresh
check 'too large a download: status' not run "$work/fetch.sh" "$url/huge"
check 'too large a download: nothing of it left' holds 3
fresh
check 'no gzip: status' not run "$work/fetch.sh" "$url/text"
check 'no gzip: says the sizes' said 'unpacks to 0 bytes'
fresh
check 'not on the server: status' not run "$work/fetch.sh" "$url/nowhere"
check 'not on the server: nothing left' holds 0
check 'second mirror: status' run "$work/fetch.sh" "$url/wrong $url/good"
check 'second mirror: the bytes' same "$work/plain"
fresh
check 'file URL: refused' not run "$work/fetch.sh" "file://$work/web/good"
check 'file URL: nothing left' holds 0

if [ -n "${COTAN_TEST_MNIST:-}" ]; then
    fresh
    ln -s "$(cd "$COTAN_TEST_MNIST" && pwd)" "$work/web/mnist"
    check 'MNIST: status' run "$script" "$url/mnist"
    check 'MNIST: four files' holds 4
    check 'MNIST: its labels' [ "$(cksum <"$cache/$last" | cut -d ' ' -f 2)" = 10008 ]
fi

fresh
check 'right files again: status' run "$work/fetch.sh" "$url/good"
stop_server
check 'no server, all in the cache: status' run "$work/fetch.sh" "$url/good"
fresh
check 'no server: status' not run "$work/fetch.sh" "$url/good"
check 'no server: says so' said "$url/good/train-images-idx3-ubyte.gz: download failed"
check 'no server: nothing left' holds 0

[ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
echo 'all passed'
