#!/bin/sh
# One letter and its receipt between two people who are logged in.
#
#   examples/two-users.sh ALICE_HOME BOB_HOME
#
# The two are SMR_HOME folders, as `scripts/demo --keep` leaves them.
set -eu

alice=${1:?usage: two-users.sh ALICE_HOME BOB_HOME}
bob=${2:?usage: two-users.sh ALICE_HOME BOB_HOME}

id=$(echo 'Meet me at noon.' | SMR_HOME=$alice smr-send -s Noon --receipt read bob)
SMR_HOME=$bob smr-recv "$id"
SMR_HOME=$bob smr-receipt "$id"
SMR_HOME=$alice smr-receipt --wait 10s "$id"
SMR_HOME=$alice smr-receipt --status "$id"
