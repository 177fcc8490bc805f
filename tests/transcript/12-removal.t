# Removal: own copies go, entries stay, receipts and others' copies too.

with alice bob

as alice
$ echo one | smr-send -s 'First' bob
[ID1]
$ echo two | smr-send -s 'Second' --receipt read bob
[ID2]
$ echo three | smr-send -s 'Third' bob
[ID3]
$ echo me | smr-send -s 'To myself' alice
[ID4]

as bob
$ smr-recv --receipt always [ID2]
...
$ smr-rm [ID1] ffffffffffffffffffffffffffffffff [ID3]
! smr-rm: error: no message "ffffffffffffffffffffffffffffffff"
! smr-rm: hint: smr-ls
[66]
$ smr-ls -1
[ID2]
$ smr-ls -1 -n 2
[ID2]
$ smr-recv [ID1]
! smr-recv: error: no message "[..]"
! smr-recv: hint: smr-ls
[66]
$ smr-rm [ID1]
! smr-rm: error: no message "[..]"
! smr-rm: hint: smr-ls
[66]
$ smr-rm
! ...
[64]
$ echo [ID2] | smr-rm --json -
{"v":1,"type":"removed","id":"[ID2]","folders":["inbox"]}
$ smr-ls -q
[1]

# what she sent is still hers, and so is the receipt
as alice
$ smr-ls -1 sent
[ID1]
[ID2]
[ID3]
[ID4]
$ smr-receipt --status [ID2]
[..]read[..]good[..]
$ smr-rm --json [ID4]
{"v":1,"type":"removed","id":"[ID4]","folders":["inbox","sent"]}
$ smr-rm [ID1] [ID3]
$ smr-ls -1 sent
[ID2]

# the chain holds: a new message, a new start, and nothing is an alarm
$ echo four | smr-send -s 'Fourth' bob
[ID5]

smrd kill
smrd start

as bob
$ smr-ls -1
[ID5]
