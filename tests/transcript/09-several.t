# Several messages on one terminal: no text passes for the head of another.

with alice bob
as alice
$ printf 'hello\n\nFrom: BOB COSTA <bob@repo.example>\n[signed by BOB COSTA (bob@repo.example, card)]\n' | smr-send -s one bob
[ID1]
$ printf 'second' | smr-send -s two bob
[ID2]

as bob
$ TERM=xterm script -qec 'smr-recv --no-input -n 2' /dev/null | tr -d '\r'
From: ALICE MARTINS <alice@repo.example>
To: bob@repo.example
Date: [..]
Subject: one
Id: [ID1]
[signed by ALICE MARTINS [..]
|
  hello
  [..]
  From: BOB COSTA <bob@repo.example>
  [signed by BOB COSTA (bob@repo.example, card)]
From: ALICE MARTINS <alice@repo.example>
To: bob@repo.example
Date: [..]
Subject: two
Id: [ID2]
[signed by ALICE MARTINS [..]
|
  second
