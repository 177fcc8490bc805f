#!/bin/sh
# Takes the mail of a court into a Maildir, and tags it in notmuch.
#
#   court-mail.sh [COURT]
#
# Mail of others stays where it is. What was tagged was signed by the court's
# card or device: X-SMR-From is written by smr-recv, after it has verified.
set -eu

COURT=${1:-court}                   # its mailbox
MAIL=${MAIL:-$HOME/Mail}            # notmuch's database.mail_root
REPOSITORY=${REPOSITORY:-repo.example}

code=0
smr-ls -1 -u --from "$COURT" | smr-recv --maildir "$MAIL/court" - || code=$?

# notmuch has to index the field that tells who signed; it is told once.
[ "$(notmuch config get index.header.SmrFrom)" = X-SMR-From ] ||
    notmuch config set index.header.SmrFrom X-SMR-From
notmuch new --quiet
notmuch tag +court -- "SmrFrom:$COURT@$REPOSITORY and not tag:court"
exit "$code"
