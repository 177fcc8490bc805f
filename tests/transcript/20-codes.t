# Each exit code of each tool, in a pipe and on a terminal: what stands there.
# The table of tests/README.md says which transcript has which.

with alice bob
twice
as alice
$ printf "colour = 1\n" > bad.toml; openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=Nobody -out cert.pem 2> /dev/null

$ smr-register --server $SERVER --server-key $KEY --bad
! smr-register: error: unexpected argument '--bad' found
! smr-register: hint: to pass '--bad' as a value, use '-- --bad'
! smr-register: hint: smr-register --help
[64]

$ smr-register --server $SERVER --server-key $KEY --token file:cert.pem --no-backup other
! smr-register: error: "cert.pem" has a certificate but not its private key
! smr-register: hint: smr-register --tokens lists what there is
[69]

$ smr-register --server $SERVER --server-key $KEY --token file:missing.pem --no-backup other
! smr-register: error: there is no file "missing.pem"
! smr-register: hint: is the name right, and is it the right account?
[66]

$ smr-register --server $SERVER --server-key $KEY --token pkcs11:token=nobody --no-backup other
! smr-register: error: no token found for "pkcs11:token=nobody"
! smr-register: hint: is the card in the reader? [..]
[69]

$ touch there; smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --backup there other
! smr-register: error: "there" exists already
! smr-register: hint: --backup another FILE
[73]

$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --no-backup bob
! smr-register: error: the name "bob" is taken
! smr-register: hint: choose another name
[77]

$ smr-register --config bad.toml --revoke laptop
! smr-register: error: "bad.toml": unknown key "colour"
! smr-register: hint: is client.toml right?
[78]

$ smr-register --restore bad.toml
! smr-register: error: "bad.toml" is no backup: a line is no age identity
! smr-register: hint: which FILE did --backup write?
[65]

$ smr-login --bad
! smr-login: error: unexpected argument '--bad' found
! smr-login: hint: smr-login --help
[64]

$ smr-login --passphrase-file missing
! smr-login: error: cannot read the passphrase from "missing": No such file or directory (os error 2)
! smr-login: hint: is it there, and yours to read?
[66]

$ smr-login --as nobody
! smr-login: error: no account is registered here
! smr-login: hint: smr-register NAME
[67]

$ smr-login --passphrase-file bad.toml; code=$?; rm -f $SMR_HOME/keys/*.tries; exit $code
! smr-login: error: the passphrase is wrong
! smr-login: hint: is it this account's? type it again
[77]

$ smr-login --config bad.toml
! smr-login: error: "bad.toml": unknown key "colour"
! smr-login: hint: is client.toml right?
[78]

$ smr-login --lock; smr-login --status
alice@repo.example until [..] via [..]/home/alice/agent.sock (locked)
[1]

$ smr-login --unlock

$ smr-send --bad
! smr-send: error: unexpected argument '--bad' found
! smr-send: hint: to pass '--bad' as a value, use '-- --bad'
! smr-send: hint: smr-send --help
[64]

$ smr-send -a missing bob
! smr-send: error: cannot open "missing": No such file or directory (os error 2)
! smr-send: hint: is the name right, and is it the right account?
[66]

$ smr-send --as nobody bob
! smr-send: error: no account is registered here
! smr-send: hint: smr-register NAME
[67]

$ smr-send nobody
! smr-send: error: no such mailbox: nobody
! smr-send: hint: list the users: smr-ls users
[67]

$ smr-send bob > /dev/full
! smr-send: error: cannot write to the output: No space left on device (os error 28)
[74]

$ smr-send --once key bob > /dev/null; smr-send --once key alice
! smr-send: error: message "[..]" was sent before, to other mailboxes such as "bob"
! smr-send: hint: --once with another KEY, for another message
[77]

$ smr-send --config bad.toml bob
! smr-send: error: "bad.toml": unknown key "colour"
! smr-send: hint: is client.toml right?
[78]

$ smr-sendmail bob

$ smr-sendmail -bs
! smr-sendmail: error: -bs is not understood: a message on standard input is all that is taken
! smr-sendmail: hint: smr-sendmail --help
[64]

$ smr-sendmail nobody
! smr-sendmail: error: no such mailbox: nobody
! smr-sendmail: hint: list the users: smr-ls users
[67]

$ smr-sendmail --config bad.toml bob
! smr-sendmail: error: "bad.toml": unknown key "colour"
! smr-sendmail: hint: is client.toml right?
[78]

$ smr-recv --bad
! smr-recv: error: unexpected argument '--bad' found
! smr-recv: hint: to pass '--bad' as a value, use '-- --bad'
! smr-recv: hint: smr-recv --help
[64]

$ smr-recv ffffffffffff
! smr-recv: error: no message "ffffffffffff"
! smr-recv: hint: smr-ls
[66]

$ smr-recv --as nobody
! smr-recv: error: no account is registered here
! smr-recv: hint: smr-register NAME
[67]

$ mkdir -p folder; smr-recv --all --maildir folder
! smr-recv: error: "folder" is no Maildir, expected folders tmp, new and cur in it
! smr-recv: hint: did you mean another?
[73]

$ smr-send alice > id; smr-recv $(cat id) > /dev/full
! smr-recv: error: cannot write to the output: No space left on device (os error 28)
[74]

$ smr-recv $(cat id) --exec sh -c "exit 75"
! smr-recv: message "[..]" is kept unread: the program wants it later
[75]

$ smr-recv --config bad.toml
! smr-recv: error: "bad.toml": unknown key "colour"
! smr-recv: hint: is client.toml right?
[78]

$ smr-receipt --wait 0s $(cat id)
[1]

$ smr-receipt --bad
! smr-receipt: error: unexpected argument '--bad' found
! smr-receipt: hint: to pass '--bad' as a value, use '-- --bad'
! smr-receipt: hint: smr-receipt --help
[64]

$ smr-receipt --verify bad.toml
! smr-receipt: error: "bad.toml": not a bundle: invalid Zip archive: Could not find EOCD
! smr-receipt: hint: did its author make it so? ask him by another way
[65]

$ smr-receipt --verify missing.zip
! smr-receipt: error: cannot open "missing.zip": No such file or directory (os error 2)
! smr-receipt: hint: is the name right, and is it the right account?
[66]

$ smr-receipt --as nobody --status
! smr-receipt: error: no account is registered here
! smr-receipt: hint: smr-register NAME
[67]

$ smr-receipt --export there $(cat id)
! smr-receipt: error: "there" exists already
! smr-receipt: hint: --export another FILE
[73]

$ smr-receipt --status > /dev/full
! smr-receipt: error: cannot write to the output: No space left on device (os error 28)
[74]

$ smr-send alice > id; smr-receipt $(cat id)
! smr-receipt: error: message "[..]" was not read
! smr-receipt: hint: smr-recv [..]
[77]

$ smr-receipt --config bad.toml --status
! smr-receipt: error: "bad.toml": unknown key "colour"
! smr-receipt: hint: is client.toml right?
[78]

$ smr-ls -q nothing
[1]

$ smr-ls --bad
! smr-ls: error: unexpected argument '--bad' found
! smr-ls: hint: to pass '--bad' as a value, use '-- --bad'
! smr-ls: hint: smr-ls --help
[64]

$ smr-ls --as nobody
! smr-ls: error: no account is registered here
! smr-ls: hint: smr-register NAME
[67]

$ smr-ls sent > /dev/full
! smr-ls: error: cannot write to the output: No space left on device (os error 28)
[74]

$ smr-ls --config bad.toml
! smr-ls: error: "bad.toml": unknown key "colour"
! smr-ls: hint: is client.toml right?
[78]

$ smr-rm $(cat id); smr-send alice > id

$ smr-rm
! smr-rm: error: the following required arguments were not provided: <ID>...
! smr-rm: hint: smr-rm --help
[64]

$ smr-rm ffffffffffff
! smr-rm: error: no message "ffffffffffff"
! smr-rm: hint: smr-ls
[66]

$ smr-rm --as nobody ffffffffffff
! smr-rm: error: no account is registered here
! smr-rm: hint: smr-register NAME
[67]

$ smr-rm --json $(cat id) > /dev/full; code=$?; smr-send alice > id; exit $code
! smr-rm: error: cannot write to the output: No space left on device (os error 28)
[74]

$ smr-rm --config bad.toml ffffffffffff
! smr-rm: error: "bad.toml": unknown key "colour"
! smr-rm: hint: is client.toml right?
[78]

$ smrd --config $SMRD_CONFIG --show-config | head -1
name = "repo.example"

$ smrd --bad
! smrd: error: unexpected argument '--bad' found
! smrd: hint: smrd --help
[64]

$ smrd --config $SMRD_CONFIG --check-cert bad.toml
! smrd: error: "bad.toml": no certificate found, expected PEM or DER
[65]

$ smrd --config $SMRD_CONFIG --check-cert missing.pem
! smrd: error: cannot read "missing.pem": No such file or directory (os error 2)
[66]

$ smrd --config $SMRD_CONFIG --show-config > /dev/full
! smrd: error: cannot write to the output: No space left on device (os error 28)
[74]

$ smrd --config $SMRD_CONFIG
! smrd: error: cannot listen on "[..]": Address already in use (os error 98)
! smrd: hint: does another smrd run? see "listen.address" in smrd.toml
[75]

$ smrd --config bad.toml
! smrd: error: "bad.toml" does not set "name"
! smrd: hint: see smrd.conf(5)
[78]

# a message was altered where it lies
$ [ -e altered ] || { echo x | smr-send alice > altered; for f in $STORE/accounts/alice/inbox/new/*$(cat altered)*; do chmod u+w $f; printf X | dd of=$f bs=1 seek=5000 conv=notrunc 2> /dev/null; done; }

$ smr-recv $(cat altered)
! smr-recv: error: message "[..]": it is not the file that was deposited
! smr-recv: hint: did its author make it so? ask him by another way
[65]

# smrd is away
smrd stop
$ cp -r $STORE $STORE.old

$ smr-register --revoke nosuch
! smr-register: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-register: hint: is smrd running, and the address right?
[75]

$ smr-login
! smr-login: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-login: hint: is smrd running, and the address right?
[75]

$ smr-send bob
! smr-send: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-send: hint: is smrd running, and the address right?
[75]

$ smr-recv
! smr-recv: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-recv: hint: is smrd running, and the address right?
[75]

$ smr-receipt --status
! smr-receipt: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-receipt: hint: is smrd running, and the address right?
[75]

$ smr-ls
! smr-ls: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-ls: hint: is smrd running, and the address right?
[75]

$ smr-rm ffffffffffff
! smr-rm: error: cannot reach smrd at "[..]": Connection refused (os error 111)
! smr-rm: hint: is smrd running, and the address right?
[75]

# smrd has an older store than it has spoken of
smrd start
$ for to in alice bob; do echo x | smr-send $to > id; done; smr-ls -q; smr-ls sent -q

smrd stop
$ [ ! -d $STORE.old ] || { rm -r $STORE && mv $STORE.old $STORE; }

smrd start
$ smr-ls
! smr-ls: error: smrd has altered the inbox: it does not extend what was seen before
! smr-ls: hint: keep your state folder; ask the operator what happened; show the operator the proof in "[..]/home/alice/state/proofs/[..]"
[76]

$ smr-recv
! smr-recv: error: smrd has altered the inbox: it does not extend what was seen before
! smr-recv: hint: keep your state folder; ask the operator what happened; show the operator the proof in "[..]/home/alice/state/proofs/[..]"
[76]

$ smr-receipt --status
! smr-receipt: error: smrd has altered the sent folder: it does not extend what was seen before
! smr-receipt: hint: keep your state folder; ask the operator what happened; show the operator the proof in "[..]/home/alice/state/proofs/[..]"
[76]

# at its address is another smrd
smrd stop
$ [ -d $STORE.true ] || { mv $STORE $STORE.true && smrd --config $SMRD_CONFIG --init > /dev/null; }

smrd start
$ SMR_HOME=$PWD/empty smr-register --server $SERVER --server-key $KEY --anchors $PKI/trust.d --token "$TOKEN" --no-backup other
! smr-register: error: "[..]" has another key: [..], expected [..]
! smr-register: hint: ask its operator for `smrd --fingerprint`
[76]

$ smr-login
! smr-login: error: the server at "[..]" is not the one that was pinned
! smr-login: hint: ask its operator for the output of smrd --fingerprint
[76]

$ smr-send bob < /dev/null
! smr-send: error: the server at "[..]" is not the one that was pinned
! smr-send: hint: ask its operator for the output of smrd --fingerprint
[76]

$ printf 'To: bob\n\nhi\n' | smr-sendmail -t
! smr-sendmail: error: the server at "[..]" is not the one that was pinned
! smr-sendmail: hint: ask its operator for the output of smrd --fingerprint
[76]

$ smr-rm ffffffffffff
! smr-rm: error: the server at "[..]" is not the one that was pinned
! smr-rm: hint: ask its operator for the output of smrd --fingerprint
[76]

smrd stop
$ [ ! -d $STORE.true ] || { rm -r $STORE && mv $STORE.true $STORE; }

smrd start
# nobody is logged in
$ smr-login --logout 2> /dev/null; while smr-login --status > /dev/null 2>&1; [ $? = 1 ]; do sleep 0.1; done

$ smr-login --status
! smr-login: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-login: hint: smr-login
[69]

$ smr-send bob
! smr-send: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-send: hint: smr-login
[69]

$ smr-sendmail bob
! smr-sendmail: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-sendmail: hint: smr-login
[69]

$ smr-recv
! smr-recv: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-recv: hint: smr-login
[69]

$ smr-receipt --status
! smr-receipt: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-receipt: hint: smr-login
[69]

$ smr-ls
! smr-ls: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-ls: hint: smr-login
[69]

$ smr-rm ffffffffffff
! smr-rm: error: no agent at "[..]/home/alice/agent.sock": No such file or directory (os error 2)
! smr-rm: hint: smr-login
[69]
