# Receipts refused, given by policy, and evidence without the content.

with alice bob
as alice
$ echo 'I owe you 5 euros.' | smr-send -s Debt bob
[ID]

# a no is an answer too, for what was read
as bob
$ smr-receipt --refuse [ID]
! smr-receipt: error: message "[ID]" was not read
! ...
[77]
$ smr-recv -O 1 [ID]
I owe you 5 euros.
$ smr-receipt --refuse 'this was not agreed' [ID]

as alice
$ smr-receipt --status [ID] | sed 's/[0-9-]*T[0-9:]*Z/TIME/'
[ID]	bob	refused	TIME	D	good	this was not agreed
$ smr-receipt --status --json [ID] | jq -r '.state, .verdict, .reason'
refused
good
this was not agreed
$ smr-receipt --wait 1h [ID]
[1]
$ smr-receipt --export no.zip [ID]; SMR_HOME=$PWD/nobody smr-receipt --verify no.zip --anchors $PKI/trust.d | grep -c '^refused by bob@repo.example: "this was not agreed": signed by BOB COSTA'
1
$ mkdir no; unzip -q no.zip -d no && cp $PKI/ca/root.pem . && sh no/verify.sh root.pem | grep -e refus -e reason -e all
good      refused by bob@repo.example: class D, [..]
          reason: this was not agreed
all good

# it cannot pass for a receipt
$ openssl cms -verify_receipt no/refusals/bob@repo.example-1.p7s -rctform DER -inform DER -in no/message.p7s -allow_proxy_certs -CAfile root.pem >/dev/null 2>&1
[4]

# nor be put beside another message
$ echo other | smr-send -s Other bob
[ID2]

as bob
$ smr-recv [ID2] > /dev/null; smr-receipt [ID2]

as alice
$ smr-receipt --export other.zip [ID2] && mkdir other && unzip -q other.zip -d other && mkdir other/refusals && cp no/refusals/* other/refusals/ && sh other/verify.sh root.pem | grep NOT
NOT GOOD  refusals/bob@repo.example-1.p7s: not a refusal for this message
NOT ALL GOOD

# a reason is a line; what can name a message is no reason
as bob
$ smr-receipt --refuse "$(printf 'a\tb')" [ID]
! smr-receipt: error: message "[ID]": a reason is one line of at most 200 bytes, without control characters
! ...
[64]
$ smr-receipt --refuse [ID]
$ smr-receipt [ID]

# and who gives a receipt after all has read it
as alice
$ smr-receipt --status [ID] | cut -f3,5,6
read	D	good

# without the content: the reading of a digest
$ smr-receipt --export bare.zip --redact [ID]; unzip -p bare.zip | grep -ac 'I owe you'
0
[1]
$ SMR_HOME=$PWD/nobody smr-receipt --verify bare.zip --anchors $PKI/trust.d | head -1
the digest of message [ID] is good as of [TIME]
$ mkdir bare; unzip -q bare.zip -d bare && sh bare/verify.sh root.pem | tail -1
all good

# as of a fixed time; a receipt without a postmark or a time stamp ends with its signer
$ SMR_HOME=$PWD/nobody smr-receipt --verify bare.zip --anchors $PKI/trust.d --at $(date -u +%Y-%m-%dT%H:%M:%SZ) | head -1
the digest of message [ID] is good as of [TIME3]
$ SMR_HOME=$PWD/nobody smr-receipt --verify bare.zip --anchors $PKI/trust.d --at 2060-01-01
! smr-receipt: error: "bare.zip": the receipt of bob@repo.example: the signing device of bob@repo.example: the device certificate has expired
! ...
[65]
$ echo x | smr-send --receipt none bob
[ID3]
$ smr-receipt --export none.zip --redact [ID3]
! smr-receipt: error: message "[ID3]" asks for no receipt: without its content nothing says whose it is
! smr-receipt: hint: leave --redact out
[64]

# a postmark alone, by who was met, or by a document from elsewhere
$ mark=$(grep -l "^kind message$" bare/postmarks/*); cp $mark mark.txt; smr-receipt --verify mark.txt | head -2
postmark of repo.example is good: message by alice in bob number 1, [TIME2]
message [ID]
$ SMR_HOME=$PWD/nobody smr-receipt --verify mark.txt
! smr-receipt: error: "mark.txt": the key of repository "repo.example" is not known
! smr-receipt: hint: --identity FILE, its identity document from elsewhere
[65]
$ SMR_HOME=$PWD/nobody smr-receipt --verify mark.txt --identity bare/identity.txt --json | jq -r '.verdict, .kind, .number'
good
message
1
$ sed 's/^number 1$/number 2/' mark.txt > forged.txt; smr-receipt --verify forged.txt
! smr-receipt: error: "forged.txt": not a postmark of this repository: the signature of "repo.example/postmark" on the note does not verify
! ...
[65]
$ sed 's/^name .*/name other.example/' bare/identity.txt > other.txt; smr-receipt --verify bare.zip --anchors $PKI/trust.d --identity other.txt
! smr-receipt: error: "bare.zip": its postmarks are by another repository than [..]
! ...
[65]

# bob always gives alice a receipt, before he sees a word
as bob
$ printf '[recv.from.alice]\nreceipt = "always"\n[recv.from.carol]\nreceipt = "never"\n' >> $SMR_HOME/client.toml

as alice
$ echo hello | smr-send bob
[ID4]

as bob
$ smr-recv [ID4] > /dev/full
! smr-recv: error: [..]
! ...
[74]

as alice
$ smr-receipt --status [ID4] | cut -f3,6
read	good

as bob
$ sed -i 's/from.carol/from.Carol/' $SMR_HOME/client.toml; smr-recv
! smr-recv: error: [..]recv.from.Carol[..]
! ...
[78]
$ sed -i 's/from.Carol/from.carol/' $SMR_HOME/client.toml

# never to alice, though to everybody else
$ sed -i 's/^receipt = "always"/receipt = "never"/' $SMR_HOME/client.toml; printf '[recv]\nreceipt = "always"\n' >> $SMR_HOME/client.toml

as alice
$ echo 'no receipt for this' | smr-send bob
[ID5]

as bob
$ smr-recv -O 1 [ID5]
no receipt for this

as alice
$ smr-receipt --status [ID5] | cut -f3
fetched
