# JSON Lines for scripts.

with alice bob
as alice
$ printf 'tab\there\n' | smr-send --json -s 'back\slash' bob | jq -c '{v,type,keys:(keys|length>2)}'
{"v":1,"type":"sent","keys":true}

as bob
$ smr-ls --json | jq -c '[.v,.type,.from,.subject,.state]'
[1,"message","alice","back\\slash","new"]

$ smr-ls | cut -f7
back\\slash

$ smr-ls --json users | jq -c '[.type,.name,.person]'
["user","alice","ALICE MARTINS"]
["user","bob","BOB COSTA"]

$ smr-recv --json | jq -c '[.v,.type,.from,.class,.person]'
[1,"message","alice@repo.example","D","ALICE MARTINS"]

$ smr-ls -1 | smr-receipt -

as alice
$ smr-receipt --status --json | jq -c '[.type,.recipient,.state,.class,.verdict]'
["status","bob","read","D","good"]

$ smr-login --status --json | jq -c '[.v,.type,.account]'
[1,"session","alice@repo.example"]

# a text too long for a line is asked for as a part
$ head -c 1100000 /dev/zero | tr '\0' a | smr-send bob
[ID]

as bob
$ smr-recv --json [ID] | jq -c '[.text,.parts[0].size]'
[null,1100000]
$ smr-recv -O 1 [ID] | wc -c
1100000
