# One letter to two people, read by both, with receipts that hold.

with alice bob carol
as alice
$ printf 'Dear all,\n\nthe deed is enclosed.\n' > letter; head -c 100000 /dev/urandom > deed.pdf
$ smr-send -s 'The deed' -a deed.pdf -c carol bob < letter
[ID]

$ smr-ls sent | cut -f1,2,4,5,7
[ID]	deposited	alice	bob,carol	The deed

$ smr-receipt --status [ID] | cut -f1,2,3,5,6
[ID]	bob	deposited	-	-
[ID]	carol	deposited	-	-

$ smr-receipt --wait 0s [ID]
[1]

as bob
$ smr-ls | cut -f1,2,4,5,7
[ID]	N?	alice	bob,carol	The deed

$ smr-ls -q -u
$ smr-recv --peek -O 1 [ID]
Dear all,
|
the deed is enclosed.

$ smr-ls -u -1
[ID]

# a receipt needs a message that was read
$ smr-receipt [ID]
! smr-receipt: error: [..]
! smr-receipt: hint: smr-recv [ID]
[77]

$ smr-recv > whole; grep -a -c '^Subject: The deed' whole; grep -a '^Message-ID' whole | tr -d '\r'
1
Message-ID: <[ID]@repo.example>

$ smr-recv
! smr-recv: error: nothing unread
! smr-recv: hint: smr-ls
[66]

$ smr-ls -q -u
[1]

$ smr-recv -O 2 [ID] > deed; smr-recv -O '*.pdf' [ID] | cmp - deed
$ cmp deed ../alice/deed.pdf
$ smr-receipt [ID]
$ smr-ls | cut -f1,2
[ID]	R?

as carol
$ smr-recv [ID] > /dev/null
$ echo [ID] the deed | smr-receipt -

as alice
$ smr-receipt --wait 60s [ID]
$ smr-receipt --status [ID] | cut -f1,2,3,5,6
[ID]	bob	read	D	good
[ID]	carol	read	D	good

$ smr-ls sent | cut -f1,2
[ID]	read

# her own copy opens too
$ smr-recv -O 1 [ID] | cmp - letter

# ids have prefixes; absent and ambiguous ones are told apart
$ smr-recv --peek -O 1 $(echo [ID] | cut -c1-8) | head -1
Dear all,

$ smr-recv ffffffffffffffff
! smr-recv: error: no message "ffffffffffffffff"
! smr-recv: hint: smr-ls
[66]

$ smr-recv abc
! smr-recv: error: "abc": not a message id or prefix, expected 8 to 32 hexadecimal digits
! smr-recv: hint: smr-recv --help
[64]
