# Evidence that stock OpenSSL and smr accept, years later and elsewhere.

with alice bob
as alice
$ echo 'I owe you 5 euros.' | smr-send -s Debt bob
[ID]

as bob
$ smr-recv --raw [ID] > signed.eml; openssl cms -verify -allow_proxy_certs -CAfile $PKI/ca/root.pem -in signed.eml 2>&1 >content | grep -i success
CMS Verification successful

$ sed 's/5 euros/9 euros/' signed.eml > forged.eml; openssl cms -verify -allow_proxy_certs -CAfile $PKI/ca/root.pem -in forged.eml >/dev/null 2>&1
[4]

$ smr-recv --sealed [ID] | head -c 21
age-encryption.org/v1

$ smr-receipt [ID]

as alice
$ smr-receipt --export debt.zip [ID]
$ SMR_HOME=$PWD/nobody smr-receipt --verify debt.zip --anchors $PKI/trust.d
...
$ mkdir debt; unzip -q debt.zip -d debt && cp $PKI/ca/root.pem . && sh debt/verify.sh root.pem > verdict 2>&1; echo $?; tail -1 verdict
0
all good

# one changed byte and it does not hold
$ cp debt.zip bad.zip; printf X | dd of=bad.zip bs=1 seek=2000 conv=notrunc 2>/dev/null; SMR_HOME=$PWD/nobody smr-receipt --verify bad.zip --anchors $PKI/trust.d >/dev/null 2>err
[65]

# another authority's word is not enough
$ mkdir -p other.d && openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=Other -out other.d/root.pem 2>/dev/null; SMR_HOME=$PWD/nobody smr-receipt --verify debt.zip --anchors other.d >/dev/null 2>err
[65]

# a second receipt stands beside the first, and neither hides the other
as bob
$ smr-receipt [ID]

as alice
$ smr-receipt --status [ID] | cut -f2,3,6
bob	read	good

$ smr-receipt --export twice.zip [ID] && unzip -q twice.zip -d twice && ls twice/receipts; cmp -s twice/receipts/*
bob@repo.example-1.p7s
bob@repo.example-2.p7s
[1]
$ sh twice/verify.sh root.pem | tail -1
all good
