#!/bin/sh
# A copy of a store while its smrd serves; what was acknowledged before it began
# is in it. Why that holds: smr-operations(7), BACK UP AND RESTORE.
#
#   backup.sh /var/lib/smrd DESTINATION
#
# DESTINATION is what rsync takes: a folder, or HOST:FOLDER. A copy that is there
# is brought up to date. The keys are in it, unless they are a credential; what
# may be deleted, cache/, is not. Links to the files are gathered in STORE.backup
# first, on the same file system, and copied from there.
set -eu
[ $# = 2 ] || { echo "usage: backup.sh STORE DESTINATION" >&2; exit 64; }
store=$(realpath "$1")
to=${2%/}
[ -e "$store/format" ] || { echo "backup.sh: error: \"$store\" is no store" >&2; exit 66; }
work=$(mktemp -d)
links=$store.backup
mkdir -m 700 "$links"
trap 'rm -rf "$work" "$links"' EXIT

# gather WHAT...: files that are gone when they are reached (24) were renamed, or
# had all their names before.
gather() {
    code=0
    rsync -a "$@" --link-dest="$store/" "$store/" "$links/" || code=$?
    [ "$code" = 0 ] || [ "$code" = 24 ] || exit "$code"
}

# What tells one use of a file of the journal from the next: hash and pass of its
# first record.
uses() { for file in 0 1; do head -c 40 "$store/journal/$file" | od -An -tx1; done; }
larges() { find "$store/journal" -name 'large.*' | sort; }

for try in 1 2 3 4 5 6 7 8 9 10 over; do
    [ "$try" != over ] || {
        echo "backup.sh: error: deposits outrun the copy" >&2
        echo "backup.sh: hint: run it again at a quieter hour" >&2
        exit 75
    }
    uses > "$work/uses"
    larges > "$work/larges"
    # A message changes its name three times at most, and each change can hide it
    # from one pass.
    for _ in 1 2 3 4; do gather --include='/accounts/***' --exclude='*'; done
    # What got its names meanwhile is in the journal, which was not begun anew.
    rm -rf "$links/journal"
    LC_ALL=C cp -a "$store/journal" "$links/" 2> "$work/said" || ! grep -v 'No such file' "$work/said" >&2
    uses > "$work/uses.now"
    larges > "$work/larges.now"
    if cmp -s "$work/uses" "$work/uses.now" &&
        [ -z "$(comm -23 "$work/larges" "$work/larges.now")" ]; then
        break
    fi
done
gather --exclude='/accounts/*' --exclude='/journal/*' --exclude='/tmp/*' --exclude=/lock \
    --exclude=/cache --exclude=/server.key.new

# Nothing moves any more. Not a store before all is there; nanoseconds, for
# records change within a second.
rsync -aH --modify-window=-1 --delete --delete-excluded --exclude=/format "$links/" "$to/"
rsync -a "$links/format" "$to/"
