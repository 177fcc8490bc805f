# Delivery: Maildir, mbox, programs, attachments into a folder.

with alice bob
as alice
$ printf 'Hello\nFrom here on\n' | smr-send -s one bob
[ID1]
$ printf 'ação\n' | smr-send -s 'Olá dois' --receipt none bob
[ID2]

# a program says which messages it takes
as bob
$ smr-recv --all --exec sh -c 'test $SMR_FROM = alice@repo.example || exit 1; grep -q "^Subject: one" && exit 75; true'
! smr-recv: message "[ID1]" is kept unread: the program wants it later
[75]
$ smr-ls -u -1
[ID1]
$ smr-recv --all --exec false
! smr-recv: error: message "[ID1]" is kept unread: "false" ended with 1
! smr-recv: hint: what did the program say? what it leaves stays unread
[74]
$ smr-recv --all --exec no-such-program
! smr-recv: error: cannot run "no-such-program": [..]
! smr-recv: hint: is it in PATH, and a program?
[66]
$ smr-ls -u -1
[ID1]

# a Maildir: made where nothing is, filled once
$ smr-recv --all --maildir Mail; ls Mail; ls Mail/new | sed 's/^[0-9]*/T/'
cur
new
tmp
T.[ID1].repo.example
$ smr-recv --all --maildir Mail
$ smr-recv --maildir Mail [ID1] [ID2]; ls Mail/new | wc -l; ls Mail/tmp
2
$ mv Mail/new/*[ID2]* Mail/cur/2:2,S; ls Mail/cur; smr-recv --maildir Mail -v [ID1]
2:2,S
! smr-recv: message "[ID1]" was in the Maildir already
$ head -10 Mail/new/*; tail -1 Mail/new/*
X-SMR-Id: [ID1]
X-SMR-From: alice@repo.example
X-SMR-Person: ALICE MARTINS
X-SMR-Class: D
X-SMR-Verified: signed by ALICE MARTINS (alice@repo.example, device [..])
 [..]
Date: [..]
From: "ALICE MARTINS" <alice@repo.example>
To: bob@repo.example
Subject: one
--smr-[..]--
$ stat -c %a Mail/new/*; grep -c "$(printf '\r')" Mail/new/*
600
0
[1]
$ mkdir notmail; smr-recv --all --maildir notmail
! smr-recv: error: "notmail" is no Maildir, expected folders tmp, new and cur in it
! smr-recv: hint: did you mean another?
[73]

# an mbox, which formail takes apart again
$ smr-recv --mbox [ID1] [ID2] > box; grep -c '^From ' box; grep '^>From' box; formail -s formail -xSubject: < box | sed 's/^ //'
2
>From here on
one
=?UTF-8?B?T2zDoSBkb2lz?=
$ smr-recv [ID1] [ID2] > box
! smr-recv: error: several messages into a pipe need --mbox or --json
! ...
[64]

# nothing to do is no failure for a cron job
$ smr-recv --all --mbox

# maildrop and procmail file by what was verified
as alice
$ echo three | smr-send -s three bob
[ID3]
$ echo four | smr-send -s four bob
[ID4]

as bob
$ mkdir -p drop/cur drop/new drop/tmp; printf 'if (/^X-SMR-From: alice@repo.example$/)\n{\n  to "drop"\n}\nexit\n' > filter; chmod 600 filter
$ smr-recv --all --exec maildrop -V 0 $PWD/filter; ls drop/new | wc -l; grep -h ^Subject drop/new/* | sort
2
Subject: four
Subject: three
$ printf 'MAILDIR=%s\nDEFAULT=%s/inbox\n:0:\n* ^X-SMR-From: alice@repo\\.example\nfrom-alice\n' "$PWD" "$PWD" > procmailrc
$ for id in [ID3] [ID4]; do smr-recv $id --exec procmail -m $PWD/procmailrc || exit; done; grep -c '^Subject' from-alice
2

# a shell loop
$ smr-ls -1 --from alice | while read -r id; do smr-recv --peek -O 1 $id | head -1; done
Hello
ação
three
four

# attachments: into the folder, over nothing, through no link
as alice
$ mkdir -p a b; echo 1 > a/x.txt; echo 2 > b/x.txt; echo text | smr-send -a a/x.txt -a b/x.txt bob
[ID5]

as bob
$ smr-recv -x out [ID5]
! smr-recv: error: cannot open the folder "out": No such file or directory (os error 2)
! smr-recv: hint: mkdir out
[73]
$ mkdir out; ln -s ../escaped out/x-2.txt; smr-recv -x out [ID5]
! smr-recv: error: "out/x-2.txt" exists already
! smr-recv: hint: which folder has no such file?
[73]
$ ls out; ls escaped; smr-ls -u -1
x-2.txt
! [..]
[ID5]
$ rm out/x-2.txt; smr-recv -x out [ID5]; cat out/x.txt out/x-2.txt
x.txt
x-2.txt
1
2
$ smr-ls -q -u
[1]

# a receipt follows a delivery where it is always given
as alice
$ echo five | smr-send bob
[ID6]

as bob
$ smr-recv --all --receipt always --maildir Mail

as alice
$ smr-receipt --status [ID6] | cut -f2,3,5,6
bob	read	D	good

# client.toml may name the Maildir
$ echo six | smr-send bob
[ID7]

as bob
$ printf '\n[recv]\nmaildir = "%s/Mail"\n' "$PWD" >> $SMR_HOME/client.toml; smr-recv --all; ls Mail/new | grep -c [ID7]
1
