#!/bin/sh
# Applies the patches that a colleague has sent to the working tree here.
#
#   apply-patch.sh COLLEAGUE
#
# Takes attachments *.patch, and the text of mails by git send-email. What does
# not apply changes nothing and stays unread. Exit code: 0, or 1 where one was
# left.
set -eu

colleague=${1:?usage: apply-patch.sh COLLEAGUE}
patch=$(mktemp)
trap 'rm -f "$patch"' EXIT
left=0
for id in $(smr-ls -1 -u --from "$colleague"); do
    # Nothing is written unless it verified, and is by whom smr-ls has named.
    smr-recv --peek -O '*.patch' "$id" > "$patch" 2> /dev/null ||
        smr-recv --peek -O 1 "$id" > "$patch"
    if git apply --index "$patch"; then
        smr-recv "$id" > /dev/null # read
    else
        echo "apply-patch.sh: message $id does not apply" >&2
        left=1
    fi
done
exit "$left"
