# Sent once, whatever happens; and what waits in the outbox.

with alice bob carol
as alice
$ echo dump | smr-send --once 'dump 2026-01-31' -s dump bob
[ID1]
$ echo dump | smr-send --once 'dump 2026-01-31' -s dump bob
[ID1]
$ smr-ls sent -1
[ID1]

# nothing is known here any more: smrd's copy tells
$ rm -r $SMR_HOME/state/postmarks $SMR_HOME/state/known/journal; echo dump | smr-send --once 'dump 2026-01-31' -s dump bob
[ID1]
$ smr-ls sent -1; ls $SMR_HOME/state/postmarks/[ID1]
[ID1]
alice
bob

# another key is another message, and one key is for one message
$ echo dump | smr-send --once 'dump 2026-02-01' -s dump bob
[ID2]
$ echo dump | smr-send --once 'dump 2026-01-31' -s dump -c carol bob
! smr-send: error: message "[ID1]" was sent before, to other mailboxes such as "carol"
! smr-send: hint: --once with another KEY, for another message
[77]
$ echo dump | smr-send --once 'dump 2026-01-31' carol
! smr-send: error: message "[ID1]" was sent before, to other mailboxes such as "bob"
! ...
[77]

# smrd is away: 75, or the outbox
smrd stop
$ echo later | smr-send --once later -s later bob
! smr-send: error: cannot reach smrd at [..]
! smr-send: hint: is smrd running, and the address right?
[75]
$ echo later | smr-send --queue --once later -s later -a $PKI/pin bob
[ID3]
! smr-send: cannot reach smrd at [..]; message "[ID3]" waits in the outbox until the next login or smr-send --flush
$ echo later | smr-send --queue --once later -s later bob
[ID3]
! smr-send: cannot reach smrd [..]
$ echo more | smr-send -q --queue --json -s more carol | jq -c .type
"queued"
$ ls $SMR_HOME/state/outbox/alice@repo.example/*.age | wc -l; grep -c later $SMR_HOME/state/outbox/*/[ID3].age; head -c 21 $SMR_HOME/state/outbox/*/[ID3].age
2
0
age-encryption.org/v1
$ smr-send --flush 2>&1 | grep -c 'cannot reach smrd'
2

smrd start
$ smr-send --flush [ID3]
[ID3]
$ smr-send --flush [ID3]
! smr-send: error: no message "[ID3]" waits in the outbox
! smr-send: hint: smr-ls sent
[66]
$ echo later | smr-send --once later -s later bob
[ID3]
$ smr-login
! smr-login: message "[ID4]" has left the outbox
$ smr-ls sent -1; smr-send --flush
[ID1]
[ID2]
[ID3]
[ID4]

as bob
$ smr-recv --mbox -n 3 | grep -a ^Subject
Subject: dump
Subject: dump
Subject: later
$ smr-recv -O 2 [ID3]
1234

as carol
$ smr-recv -O 1 [ID4]
more
$ smr-receipt [ID4]

as alice
$ smr-receipt --wait 60s [ID4]

# a file in the outbox whose answer was lost leaves no second message
$ smr-send --once x --queue bob < /dev/null
[ID5]

smrd stop
$ rm -r $SMR_HOME/state/postmarks $SMR_HOME/state/known/journal; smr-send -q --once x --queue bob < /dev/null
[ID5]

smrd start
$ smr-send --flush; smr-ls sent -1 | grep -c [ID5]; smr-send --flush
[ID5]
1

# one of another account, or altered, stays
$ echo junk > $SMR_HOME/state/outbox/alice@repo.example/ffffffffffffffffffffffffffffffff.age; smr-send --flush
! smr-send: error: message "ffffffffffffffffffffffffffffffff" in the outbox: the sealed file is damaged
! ...
[65]
