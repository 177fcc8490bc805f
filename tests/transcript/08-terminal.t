# What a person sees on a terminal; nothing from outside is obeyed there.

with alice bob
as alice
$ printf 'red \033[31m alert\nand \342\200\256 hidden\n' | smr-send -s 'Colours' -a $PKI/pin bob
[ID]

as bob
$ TERM=dumb script -qec 'smr-ls' /dev/null | tr -d '\r' | sed 's/  */ /g' | cut -d' ' -f1,3,5-
1 N? alice bob [..] KiB Colours

$ TERM=xterm script -qec 'smr-recv --no-input' /dev/null | tr -d '\r'
From: ALICE MARTINS <alice@repo.example>
To: bob@repo.example
Date: [..]
Subject: Colours
Id: [ID]
[signed by ALICE MARTINS (alice@repo.example, device [..]) [TIME], class D: chain to playground, not revoked]
|
red \x1b[31m alert
and \u{202e} hidden
[part 2: pin application/octet-stream 4 B]

$ TERM=xterm script -qec 'smr-recv --no-input -O 1 [ID]' /dev/null | tr -d '\r'
red \x1b[31m alert
and \u{202e} hidden

$ TERM=xterm script -qec 'smr-recv --no-input --raw [ID]' /dev/null | tr -d '\r' | grep -c -e '^MIME-Version: 1.0$' -e '^Subject: Colours$'
3

$ TERM=xterm script -qec 'smr-recv --no-input --sealed [ID]; echo $?' /dev/null | tr -d '\r' | tail -1
64

# a pipe gets the bytes
$ smr-recv -O 1 [ID] | od -An -c | head -1 | tr -s ' '
 r e d 033 [ 3 1 m a l e r t \n

$ TERM=xterm script -qec 'smr-recv ffffffffffff' /dev/null | tr -d '\r' | grep -c error
1
