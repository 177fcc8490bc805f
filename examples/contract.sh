#!/bin/sh
# Sends a contract, waits for the signed proof that it was read, and keeps the
# evidence in FILE.zip.
#
#   contract.sh FILE MAILBOX
#
# The time counts from the deposit. After a reboot run it again: it is the same
# message, and it goes on waiting. Exit code: 0 read, 1 refused or too late.
set -eu

LIMIT=${LIMIT:-48h}     # in which it has to be read
LOOK=${LOOK:-10m}       # how long to wait at a time

file=${1:?usage: contract.sh FILE MAILBOX}
to=${2:?usage: contract.sh FILE MAILBOX}
key="contract for $to $(sha256sum < "$file")"
id=$(smr-send --once "$key" -s "Contract $(basename "$file")" --receipt read -a "$file" "$to" < /dev/null)

while :; do
    code=0
    smr-receipt --wait "$LOOK" "$id" || code=$?
    case $code in
        0) break ;;
        1) ;;
        75) sleep 60 ;; # smrd is away
        *) exit "$code" ;;
    esac
    state=$(smr-receipt --status "$id" | cut -f3) || continue
    if [ "$state" = refused ] || smr-ls -q sent --before "$LIMIT" "$id"; then
        echo "contract.sh: $file, message $id: $state by $to, and no proof of reading" >&2
        exit 1
    fi
done
[ -e "$file.zip" ] || smr-receipt --export "$file.zip" "$id"
