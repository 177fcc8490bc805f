# Cards, devices and certificates: what there is, what it is good for, and how
# devices come and go.

as carol
$ smr-register --tokens --token softhsm | cut -f 2,3,5 | grep . | sort
alice	enrol	CN=ALICE MARTINS,SERIALNUMBER=BI11111111,GN=ALICE,SN=MARTINS,O=Playground,C=PT
alice	nothing: an authority's	CN=Playground Cards 1,O=Playground,C=PT
bob	enrol	CN=BOB COSTA,SERIALNUMBER=BI22222222,GN=BOB,SN=COSTA,O=Playground,C=PT
bob	nothing: an authority's	CN=Playground Cards 1,O=Playground,C=PT

$ smr-register --tokens --token softhsm --json | jq -r 'select(.token == "alice") | .pin' | sort -u
good
$ smrd --config $SMRD_CONFIG --check-cert $PKI/ca/alice.pem
good: CN=ALICE MARTINS,SERIALNUMBER=BI11111111,GN=ALICE,SN=MARTINS,O=Playground,C=PT, realm playground
path: CN=ALICE MARTINS,SERIALNUMBER=BI11111111,GN=ALICE,SN=MARTINS,O=Playground,C=PT
path: CN=Playground Cards 1,O=Playground,C=PT
path: CN=Playground Root,O=Playground,C=PT

$ smrd --config $SMRD_CONFIG --check-cert $PKI/mallory.pem
not believed: the certificate of CN=ALICE MARTINS,[..] is signed only by itself
[77]

$ smrd --config $SMRD_CONFIG --check-cert $PKI/ca/alice.pem --at 2020-01-31 --json | jq -r .verdict,.reason
bad
not_yet_valid

$ smrd --config $SMRD_CONFIG --check-cert $PKI/ca/alice.pem --json | jq -r '.path[]' | cut -d , -f 1
CN=ALICE MARTINS
CN=Playground Cards 1
CN=Playground Root

# nobody here names an address of a list
$ smrd --config $SMRD_CONFIG --fetch-revocation

$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --device laptop --backup backup.txt carol
carol@repo.example [FP1]
$ smr-login

as carol+phone
$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --add-device phone carol
! smr-register: warning: this device reads no older mail: smr-register --restore FILE
carol@repo.example [FP2]
$ smr-login
$ smr-register --restore ../carol/backup.txt
carol@repo.example 1 key

$ smr-register --revoke laptop
carol@repo.example [FP1]
$ smr-register --revoke laptop
! smr-register: error: carol@repo.example has no device "laptop"
! smr-register: hint: which of "phone"?
[66]

$ smr-login --check
ok	token	a key file, [..]
ok	account	carol@repo.example
ok	server	repository repo.example at [..]
ok	chain	it ends in [N] days
ok	revocation	the card is not revoked
ok	clock	it agrees with the repository's
ok	agent	it holds carol@repo.example, at [..]
ok	record	record 3 verifies, 1 device

as carol
$ smr-ls
! smr-ls: error: the account has no such device here
! smr-ls: hint: was it removed, or never registered? smr-register --add-device LABEL NAME
[77]
$ smr-login --logout
$ smr-login
! smr-login: error: the account has no such device here
! ...
[77]
