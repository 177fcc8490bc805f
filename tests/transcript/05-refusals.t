# What is refused, how, and with which exit code.

with alice bob
as alice
$ echo hi | smr-send nobody
! smr-send: error: no such mailbox: nobody
! ...
[67]

$ echo hi | smr-send bob nobody
! smr-send: error: no such mailbox: nobody
! ...
[67]

# nothing was sent to bob either
as bob
$ smr-ls -q
[1]

as alice
$ echo hi | smr-send ../x
! smr-send: error: [..]
! ...
[64]

$ smr-send
! smr-send: error: [..]MAILBOX[..]
! smr-send: hint: smr-send --help
[64]

$ smr-send -a missing.txt bob < /dev/null
! smr-send: error: [..]missing.txt[..]
! ...
[66]

$ smr-recv --no-such-option
! smr-recv: error: unexpected argument '--no-such-option' found
! ...
[64]

$ smr-recv
! smr-recv: error: nothing unread
! smr-recv: hint: smr-ls
[66]

$ echo secret | smr-send -s private bob
[ID]

# carol cannot read bob's mail: for her it does not exist
as carol
$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --no-backup carol
carol@repo.example [FP]
$ smr-login
$ smr-recv [ID]
! smr-recv: error: no message "[ID]"
! ...
[66]
$ smr-receipt [ID]
! smr-receipt: error: no message "[ID]"
! ...
[66]

# the store holds nothing legible
$ grep -rl -e secret -e private $STORE
[1]

# an altered file in the store is refused whole and stays unread
as bob
$ f=$(ls $STORE/accounts/bob/inbox/new/*); chmod u+w "$f"; printf X | dd of="$f" bs=1 seek=5000 conv=notrunc 2>/dev/null
$ smr-recv > out
! smr-recv: error: [..]
! ...
[65]
$ wc -c < out; smr-ls -u -1
0
[ID]

# --raw and -O do not go together
$ smr-recv --raw -O 1 [ID]
! smr-recv: error: [..]cannot be used with[..]
! ...
[64]

$ smr-recv -n 0
! smr-recv: error: invalid value '0' for '-n <N>'[..]
! smr-recv: hint: smr-recv --help
[64]

as alice
$ echo x | smr-send bob
[ID2]

as bob
$ smr-recv --receipt always -O 7 [ID2]
! smr-recv: error: message "[ID2]" has no part "7"
! smr-recv: hint: smr-recv --peek --json [ID2] lists them
[66]

# nor was a receipt given for what was not there
as alice
$ smr-receipt --status [ID2] | cut -f3
fetched

$ smr-register --server nonsense --token "$TOKEN" other
! smr-register: error: cannot reach smrd at "nonsense": [..]
! smr-register: hint: is smrd running there? --server is HOST:PORT
[64]
