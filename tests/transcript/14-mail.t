# Mail programs send by smr-sendmail, each called as it calls sendmail.

with alice bob carol
as alice
$ printf 'From: whoever\nTo: Bob <bob@repo.example>\nCc: carol\nSubject: Olá\nX-SMR-Class: Q\nX-Mailer: hand\n\nação\n.\nmore\n' | smr-sendmail -t
$ printf 'Subject: bare\n\nhello\n' | smr-sendmail -oi -f alice@repo.example -- bob
$ printf 'To: bob, someone@elsewhere.example\nSubject: both\n\nx\n' | smr-sendmail -i bob@repo.example

as bob
$ smr-ls | cut -f4,5,7
alice	bob,carol	Olá
alice	bob	bare
alice	bob	both
$ smr-recv | sed '/^Date/d;s/<.*@/<ID@/' | tr -d '\r'
From: "ALICE MARTINS" <ID@repo.example>
To: bob@repo.example
Cc: carol@repo.example
Subject: =?UTF-8?B?T2zDoQ==?=
Message-ID: <ID@repo.example>
SMR-Receipt: read
MIME-Version: 1.0
X-Mailer: hand
Content-Type: text/plain; charset=utf-8; hp="clear"
Content-Transfer-Encoding: quoted-printable
|
a=C3=A7=C3=A3o

$ smr-recv -O 1
hello
$ smr-recv | grep -a ^To: | tr -d '\r'
To: bob@repo.example

# who is not named gets none: there are no blind copies
as alice
$ printf 'To: bob\nBcc: carol\n\nx\n' | smr-sendmail -t
! smr-sendmail: error: "carol@repo.example" is named neither in To nor in Cc
! smr-sendmail: hint: send him one of his own, or name him: there are no blind copies
[64]
$ printf 'To: bob\n\nx\n' | smr-send -t --once t1
[ID1]
$ printf 'To: bob\n\nx\n' | smr-send -t --once t1
[ID1]
$ printf 'To: bob@elsewhere.example\n\nx\n' | smr-send -t
! smr-send: error: "bob@elsewhere.example" is at another repository than "repo.example"
! ...
[67]
$ printf 'no header at all' | smr-send -t
! smr-send: error: cannot write this message: a header line without a field name
! ...
[64]
$ smr-sendmail -bs < /dev/null
! smr-sendmail: error: -bs is not understood: a message on standard input is all that is taken
! smr-sendmail: hint: smr-sendmail --help
[64]
$ smr-sendmail < /dev/null
! smr-sendmail: error: [..]MAILBOX[..]
! ...
[64]

as bob
$ smr-ls -1 -u | while read -r id; do smr-recv $id > /dev/null; done

# neomutt, in batch: a text and two attachments, one of them a name beyond ASCII
as alice
$ printf 'set sendmail="smr-sendmail -oem -oi"\nset use_domain=no\nset from="alice@repo.example"\nset realname="Alice"\nset record=""\nset copy=no\nset send_charset="utf-8"\n' > muttrc
$ head -c 3000 /dev/urandom > blob; cp blob relatório.bin; echo 'From neomutt: ação' | neomutt -n -F muttrc -s 'Über neomutt' -a blob relatório.bin -- bob@repo.example carol@repo.example

as bob
$ smr-recv --json | jq -c '[.subject,.to,.text,(.parts|map(.name))]'
["Über neomutt",["bob@repo.example","carol@repo.example"],"From neomutt: ação\n",[null,"blob","relatório.bin"]]
$ smr-recv -O 2 $(smr-ls -1 neomutt) | cmp - ../alice/blob

# s-nail
as alice
$ echo 'From s-nail: ação' | s-nail -:/ -Smta=$(command -v smr-sendmail) -Sfrom=alice@repo.example -Sv15-compat -Sttycharset=utf-8 -s 'Über s-nail' -a blob bob@repo.example

as bob
$ smr-recv --json | jq -c '[.subject,.text,(.parts|map(.name))]'
["Über s-nail","From s-nail: ação\n",[null,"blob"]]

# git send-email, and the patch comes back by git am
as alice
$ git init -q -b main repo && cd repo && git config user.name Alice && git config user.email alice@repo.example && echo 1 > ação && git add . && git commit -qm one && git clone -q . ../../bob/repo && echo 2 >> ação && git commit -qam 'Conta até dois' && git send-email -q --smtp-server="$(command -v smr-sendmail)" --to=bob@repo.example --suppress-cc=all --confirm=never -1 > ../git.log 2>&1; echo $?
0

as bob
$ cd repo && git config user.name Bob && git config user.email bob@repo.example && smr-recv | git am -q && git log -1 --format=%s && cat ação
Conta até dois
1
2

# mblaze makes MIME of a draft
as alice
$ printf 'To: bob\nSubject: Über mblaze\n\nFrom mblaze: ação\n\n#application/octet-stream blob\n' | mmime | smr-sendmail -t

as bob
$ smr-recv --json | jq -c '[.subject,.text,(.parts|map([.name,.size]))]'
["Über mblaze","From mblaze: ação\n\n",[[null,21],["blob",3000]]]

# what msmtp's users say; and its own sendmail mode agrees on the recipients
as alice
$ printf 'From: alice@repo.example\nTo: bob\nSubject: as msmtp\n\nhi\n' > m; smr-sendmail --account=alice@repo.example --read-envelope-from -t < m; smr-sendmail -a alice@repo.example --from=alice@repo.example bob < m
$ printf 'account default\nhost localhost\nfrom alice@repo.example\n' > msmtprc; chmod 600 msmtprc; msmtp --pretend -C msmtprc --account=default --read-envelope-from -t < m > /dev/null; echo $?
0

as bob
$ smr-ls -1 -u 'as msmtp' | wc -l
2
$ smr-ls -1 -u | while read -r id; do smr-recv $id > /dev/null; done

# a structure is kept whole, and a forged verdict does not come out of it
as alice
$ printf 'To: bob\nSubject: nested\nX-SMR-Person: THE KING\nMIME-Version: 1.0\nContent-Type: multipart/alternative;\n boundary="b"\n\npreamble\n--b\nContent-Type: text/plain\n\nplain\n--b\nContent-Type: multipart/related; boundary=c\n\n--c\nContent-Type: text/html\n\n<p>\n--c\nContent-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n\nAAAA\n--c--\n--b--\n' > nested; smr-send -t < nested
[ID2]
$ sed 's/--b--//' nested | smr-send -t
! smr-send: error: cannot write this message: a multipart that does not end
! ...
[64]
$ printf 'To: bob\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n!!\n' | smr-send -t
! smr-send: error: cannot write this message: [..]
! ...
[64]

as bob
$ smr-recv --json --peek | jq -c '[.parts[]|[.number,.content_type,.name]]'
[["1","text/plain",null],["2.1","text/html",null],["2.2","image/png","x.png"]]
$ smr-recv --mbox [ID2] | grep -a -i -c king
0
[1]

# smrd is away: sendmail's callers count on a queue
smrd stop
as alice
$ printf 'Subject: later\n\nx\n' | smr-sendmail bob
! smr-sendmail: cannot reach smrd at [..]; message "[ID3]" waits in the outbox until the next login or smr-send --flush

smrd start
$ smr-sendmail -q
[ID3]
