# smrd stops and starts, even without a word, and everything is there.

with alice bob
as alice
$ echo one | smr-send -s First bob
[ID1]

smrd stop
$ echo two | smr-send -s Second bob
! smr-send: error: [..]
! ...
[75]

smrd start
$ echo two | smr-send -s Second bob
[ID2]

smrd kill
smrd start
as bob
$ smr-ls -1
[ID1]
[ID2]

$ smr-recv -O 1
one

$ smr-recv -O 1
two

as alice
$ smr-ls sent -1
[ID1]
[ID2]
