# Listing: filters, dates, numbers, columns, colours.

with alice bob carol

as carol
$ echo one | smr-send -s 'Minutes of March' bob
[ID1]

as alice
$ echo two | smr-send -s 'Relatório de Março' -c carol bob
[ID2]
$ echo three | smr-send -s 'Dinner' bob
[ID3]

as bob
$ smr-recv [ID1] >one

# unread first, and each filter alone
$ smr-ls -1
[ID2]
[ID3]
[ID1]
$ smr-ls -1 -u
[ID2]
[ID3]
$ smr-ls -1 -r
[ID1]
[ID3]
[ID2]
$ smr-ls -1 -n 1
[ID3]
$ smr-ls -1 --from carol
[ID1]
$ smr-ls -1 --to carol@repo.example
[ID2]
$ smr-ls -1 --subject março
[ID2]
$ smr-ls -1 --subject 'MINUTES*'
[ID1]
$ smr-ls -1 dinner
[ID3]
$ smr-ls -1 inbox carol
[ID2]
[ID1]
$ smr-ls -1 --since yesterday --from alice --before 2099-01-01
[ID2]
[ID3]
$ smr-ls -q --since 2099-01-31
[1]
$ smr-ls -q --before 2026-01-31T18:04:00Z
[1]
$ smr-ls -1 --since "$(date -d '12 hours ago' +%F)" -u
[ID2]
[ID3]
$ smr-ls -0 --from carol | tr '\0' '+'
[ID1]+
$ smr-ls -q nothing-like-it
[1]

$ smr-ls --since soon
! smr-ls: error: "soon": not a time, expected 2026-01-31, yesterday, 2026-01-31T18:04:00Z, or 7d for seven days ago
! smr-ls: hint: smr-ls --help
[64]
$ smr-ls outbox dinner
! smr-ls: error: "outbox": expected inbox, sent or users before a pattern
! ...
[64]
$ smr-ls users -u
! smr-ls: error: users are listed by PATTERN only
! ...
[64]
$ smr-ls -1 users costa
bob

# what was sent, and not read by all

as alice
$ smr-ls -1 sent -u dinner
[ID3]

as bob
$ smr-recv [ID3] >three

as alice
$ smr-ls -q sent -u dinner
[1]

# a person has numbers in front, good in the same terminal only

as bob
$ TERM=dumb script -qec 'smr-ls' /dev/null | tr -d '\r' | sed 's/  */ /g' | cut -d' ' -f1,3,5-
1 N? alice bob,carol [..] KiB Relatório de Março
2 R? carol bob [..] KiB Minutes of March
3 R? alice bob [..] KiB Dinner
$ TERM=dumb script -qec 'smr-recv --no-input 2' /dev/null | tr -d '\r'
smr-recv: error: "2": nothing was listed in this terminal yet
smr-recv: hint: smr-ls
$ TERM=dumb script -qec 'smr-ls && smr-recv --no-input -O 1 2; smr-recv 4' /dev/null | tr -d '\r' | tail -3
one
smr-recv: error: the last listing had no number 4
smr-recv: hint: smr-ls
$ smr-recv 2
! smr-recv: error: "2": not a message id or prefix, expected 8 to 32 hexadecimal digits
! ...
[64]

# unread ones stand out where colours are wanted; wide letters take two columns
$ TERM=xterm script -qec 'smr-ls -u' /dev/null | grep -c "^$(printf '\033')\[1m"
1
$ TERM=xterm NO_COLOR=1 script -qec 'smr-ls' /dev/null | grep -c "$(printf '\033')"
0
[1]

as alice
$ echo 4 | smr-send -s '漢字 and ação' bob
[ID4]

as bob
$ TERM=dumb script -qec 'stty cols 55; smr-ls -u 漢字' /dev/null | tr -d '\r'
1  [..]  N?  [..]  alice  bob  [..] KiB  漢字 [..]…
