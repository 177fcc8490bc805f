#!/bin/sh
# Sorts what has come, without a daemon: for cron, every few minutes.
#
#   filter.sh
#
# smr-recv runs this script again for each unread message, once it has verified:
# the message on standard input, SMR_ID, SMR_FROM and SMR_CLASS in the
# environment. Exit code 0 marks it read; 75, and any failure, keeps it unread.
set -eu

MAIL=${MAIL:-$HOME/Mail}            # Maildirs are made below
INVOICES=${INVOICES:-$HOME/invoices}
RUNNER=${RUNNER:-run-job}           # reads a job on standard input

[ -n "${SMR_ID-}" ] || exec smr-recv --all --exec "$0"

case $SMR_FROM in
    accounts@*) smr-recv -x "$INVOICES" "$SMR_ID" > /dev/null ;;
    # A job is taken from a card only.
    robot@*) [ "$SMR_CLASS" = Q ] || exit 75; smr-recv --peek -O 1 "$SMR_ID" | "$RUNNER" ;;
    *) smr-recv --maildir "$MAIL/$SMR_FROM" "$SMR_ID" ;;
esac
