# A person registers with a card, logs in, and is known.

as alice
$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --device laptop --no-backup alice
alice@repo.example [FP]

# an agent that holds nothing any more ends by itself, soon
$ while smr-login --status 2>/dev/null; [ $? = 1 ]; do sleep 0.1; done
$ smr-login --status
! smr-login: error: no agent at "[..]/agent.sock": [..]
! smr-login: hint: smr-login
[69]

$ smr-login -t 10m

$ smr-login --status
alice@repo.example until [..] via [..]/home/alice/agent.sock

$ smr-ls users
alice	ALICE MARTINS	online

$ smr-ls

# client.toml was written, and nothing secret is in it
$ grep -c '^server_key = "SHA256:' $SMR_HOME/client.toml
1

# the key ring is sealed and private
$ stat -c %a $SMR_HOME/keys/alice@repo.example.age; head -c 21 $SMR_HOME/keys/alice@repo.example.age
600
age-encryption.org/v1

$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --no-backup alice
! smr-register: error: "alice@repo.example" is registered here already
! smr-register: hint: smr-login
[77]

$ smr-login --logout
$ while smr-login --status 2>/dev/null; [ $? = 1 ]; do sleep 0.1; done
$ smr-login --status
! smr-login: error: [..]
! smr-login: hint: smr-login
[69]

$ smr-ls
! smr-ls: error: no agent at "[..]/agent.sock": [..]
! smr-ls: hint: smr-login
[69]

# her own name once more, on a machine that knows nothing of it
$ SMR_HOME=$PWD/new smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --anchors $PKI/trust.d --no-backup alice
! smr-register: error: you have the account "alice" already
! smr-register: hint: smr-register --add-device LABEL NAME
[77]

$ smr-agent --bad
! smr-agent: error: unexpected argument '--bad' found
! smr-agent: hint: smr-agent --help
[64]

# the name is taken: another person does not get it
as bob
$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --no-backup alice
! smr-register: error: the name "alice" is taken
! smr-register: hint: choose another name
[77]

# a server whose key is not known is not believed without a person
as carol
$ smr-register --no-input --server $SERVER --token "$TOKEN" --no-backup carol
! smr-register: error: [..]
! smr-register: hint: [..]
[76]

$ smr-register --server $SERVER --server-key SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA --token "$TOKEN" --no-backup carol
! smr-register: error: "[..]" has another key: [FP2], expected SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
! smr-register: hint: ask its operator for `smrd --fingerprint`
[76]
