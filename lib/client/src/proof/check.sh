#!/bin/sh
# Checks the warrants in this folder with openssl 3 and nothing else: each says
# that smrd, whose keys are in "identity", gave reply N to request N at a time.
# What the replies say, and what they contradict, is for README.txt and eyes.
# The format: smr-session(7), WARRANT.
set -eu
cd "$(dirname "$0")"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

# be BYTES NUMBER: the number, big-endian
be() {
    left=$1
    while [ "$left" -gt 0 ]; do
        left=$((left - 1))
        printf "\\$(printf %03o $((($2 >> (8 * left)) & 255)))"
    done
}
# part SKIP COUNT: so many bytes of the warrant
part() { dd if="$w" bs=1 skip="$1" count="$2" 2>/dev/null; }
# hash LABEL HEAD BODY: the hash of a message
hash() {
    { printf '%s\0\001' "$1"; be 4 $(wc -c < "$2"); cat "$2"
      printf '\002'; cat "$3"; be 8 $(wc -c < "$3"); } | openssl dgst -sha256 -binary
}

echo "identity SHA256:$(openssl dgst -sha256 -binary identity | openssl base64 -A | tr -d =)"
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'
  sed -n 's/^warrant //p' identity | openssl base64 -d -A; } > "$t/key"
good=yes
for w in *-warrant; do
    n=${w%-warrant}
    { printf '%64s' ''; printf 'smr warrant 1\0'
      be 4 32; part 0 32; be 4 8; part 32 8; be 4 32; part 40 32
      be 4 32; part 72 32; be 4 8; part 104 8; } > "$t/signed"
    part 112 64 > "$t/signature"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$t/key" -rawin \
        -in "$t/signed" -sigfile "$t/signature" > "$t/said" 2>&1 || {
        echo "$n: NOT GOOD: the signature is not this identity's"; good=no; continue; }
    time=$(part 104 8 | od -An -tx1 | tr -d ' \n')
    verdict="signed at $((0x$time))"
    for what in request reply; do
        [ "$what" = request ] && at=40 || at=72
        [ -f "$n-$what-body" ] && body=$n-$what-body || body=/dev/null
        if [ -f "$n-$what-body.left-out" ]; then
            verdict="$verdict, $what not checked: $(cat "$n-$what-body.left-out")"
        elif part $at 32 > "$t/told"; hash "smr $what 1" "$n-$what" "$body" | cmp -s - "$t/told"; then
            verdict="$verdict, $what good"
        else
            verdict="$verdict, $what NOT GOOD"; good=no
        fi
    done
    echo "$n: $verdict"
done
[ "$good" = yes ]
