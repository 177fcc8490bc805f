#!/bin/sh
# Shows a note on the desktop for each message, and delivers it into a Maildir.
#
#   desktop-note.sh
#
# Runs until the session ends: start it with the desktop. A message whose note
# cannot be shown stays unread, and comes again a minute later.
set -eu

MAIL=${MAIL:-$HOME/Mail}
PROGRAM=${PROGRAM:-smr}     # the name on the note

[ -n "${SMR_ID-}" ] || exec smr-recv --follow --exec "$0"

message=$(smr-recv --peek --json "$SMR_ID")
from=$(printf '%s\n' "$message" | jq -r '.person + " (class " + .class + ")"')
# Notes know markup: what others write is shown, not obeyed.
subject=$(printf '%s\n' "$message" | jq -r '.subject' | tr -d '[:cntrl:]' |
    sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g')
notify-send --app-name="$PROGRAM" -- "$from" "$subject" || exit 75
exec smr-recv --maildir "$MAIL" "$SMR_ID"
