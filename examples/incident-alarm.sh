#!/bin/sh
# Sends an incident notice, and raises the alarm where somebody has not read it
# in time, or it could not be sent at all.
#
#   incident-alarm.sh SUBJECT MAILBOX... < notice
#
# Exit code: 0 read by all, else 1, after the alarm.
set -u

LIMIT=${LIMIT:-15m}
ALARM=${ALARM:-logger -t incident -p user.crit --}  # gets one more word: why

subject=${1:?usage: incident-alarm.sh SUBJECT MAILBOX... < notice}
shift
alarm() {
    $ALARM "$subject: $1"
    exit 1
}

id=$(smr-send -s "$subject" --receipt read "$@") || alarm "the notice could not be sent"
smr-receipt --wait "$LIMIT" "$id" && exit 0
# The good receipts count, not what the repository says.
missing=$(smr-receipt --status "$id" | awk -F'\t' '$3 != "read" || $6 != "good" { printf " %s", $2 }')
alarm "message $id was not read by${missing:- all}"
