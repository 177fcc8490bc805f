# One person, several accounts; secrets from files and descriptors.

with carol
as carol
$ printf 1234 > pin; printf 'another phrase' > phrase; unset CREDENTIALS_DIRECTORY; smr-register --no-input --server $SERVER --server-key $KEY --token file:$PKI/carol.pem --passphrase-file phrase --backup notes.key carol.notes
carol.notes@repo.example [FP]

$ stat -c %a notes.key; grep -c '^AGE-SECRET-KEY-PQ-1' notes.key
600
2

$ unset CREDENTIALS_DIRECTORY; smr-login --no-input --as carol.notes --passphrase-fd 3 3<phrase

$ smr-login --status | cut -d' ' -f1
carol@repo.example
carol.notes@repo.example

$ echo note | smr-send --as carol.notes -s 'To myself' carol
[ID]

$ smr-recv -O 1
note

$ smr-ls --as carol.notes -q
[1]

$ smr-ls users
carol	CAROL SILVA	online
carol.notes	CAROL SILVA	online

# a wrong passphrase opens nothing
$ unset CREDENTIALS_DIRECTORY; smr-login --no-input --as carol.notes --passphrase-file pin
! smr-login: error: [..]passphrase[..]
! ...
[77]

# after many in a row even the right one has to wait, and one is enough then
$ echo 8 > $SMR_HOME/keys/carol.notes@repo.example.tries
$ unset CREDENTIALS_DIRECTORY; smr-login --no-input --as carol.notes --passphrase-file phrase
! smr-login: error: 8 wrong passphrases in a row, the next is looked at in [..] s
! smr-login: hint: try again then
[75]

$ touch -d '2 minutes ago' $SMR_HOME/keys/carol.notes@repo.example.tries
$ unset CREDENTIALS_DIRECTORY; smr-login --no-input --as carol.notes --passphrase-file phrase
$ ls $SMR_HOME/keys | grep -c 'tries$'
0
[1]

# with nobody to ask there is no guessing
$ unset CREDENTIALS_DIRECTORY; smr-login --no-input --as carol.notes
! smr-login: error: [..]
! ...
[77]

# locked: nothing works, nothing is forgotten
$ smr-login --lock --as carol.notes
$ smr-ls --as carol.notes
! smr-ls: error: [..]locked[..]
! smr-ls: hint: smr-login --unlock
[69]

$ unset CREDENTIALS_DIRECTORY; smr-login --no-input --unlock --as carol.notes --passphrase-file phrase
$ smr-ls --as carol.notes sent | cut -f1,2
[ID]	read

# a message to oneself is in both folders
$ echo me | smr-send -s Self carol
[ID2]
$ smr-recv -O 1 [ID2]
me
$ smr-receipt [ID2]
$ smr-receipt --status [ID2] | cut -f2,3,6
carol	read	good

$ smr-login --logout --as carol.notes
$ smr-login --status | cut -d' ' -f1
carol@repo.example

# another suite, by choice; and none that there is not
$ printf '[session]\nsuites = ["aesgcm"]\n' >> $SMR_HOME/client.toml; smr-login && smr-ls -1
[ID]
[ID2]

$ sed 's/aesgcm/rot13/' $SMR_HOME/client.toml > other.toml; smr-ls --config other.toml
! smr-ls: error: "[..]other.toml": wrong value for "session.suites", expected a list of "chachapoly" and "aesgcm", each once
! ...
[78]
