#!/bin/sh
# Sends tonight's dump to whoever keeps it, and tries again while the
# repository is away.
#
#   TO=auditor NAME=shop nightly-dump.sh pg_dump shop
#
# For cron or a timer. Run again the same day, after whatever failure, it is
# still one message (--once). Exit code: that of the dump or of smr-send.
set -eu

TO=${TO:-auditor}       # the mailbox
NAME=${NAME:-dump}      # what the dump is called
TRIES=${TRIES:-24}      # how often, where smrd cannot be reached
PAUSE=${PAUSE:-600}     # seconds in between

: "${1:?usage: nightly-dump.sh COMMAND [ARG...]}"
day=$(date +%Y-%m-%d)
umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# Into a file first: half a dump, of a command that failed, is not sent.
"$@" > "$dir/$NAME-$day"

code=75
while [ "$code" = 75 ] && [ "$TRIES" -gt 0 ]; do
    code=0
    smr-send --once "$NAME $day" -s "$NAME $day" -a "$dir/$NAME-$day" "$TO" < /dev/null || code=$?
    TRIES=$((TRIES - 1))
    [ "$code" != 75 ] || [ "$TRIES" = 0 ] || sleep "$PAUSE"
done
exit "$code"
