#!/bin/sh
# Gives receipts by the card, for all that was read and asks for one: one PIN
# for the batch.
#
#   receipts.sh [SINCE]
#
# SINCE is as in smr-ls(1): yesterday, 7d, 2026-01-31. For each day once: a
# message that has a receipt already gets a second one, which does no harm.
set -eu

since=${1:-today}

ids=$(smr-ls --json --since "$since" | jq -r 'select(.state == "read") | .id' |
    smr-recv --peek --json - | jq -r 'select(.receipt_wanted) | .id')
[ -z "$ids" ] || printf '%s\n' "$ids" | smr-receipt --by card -
