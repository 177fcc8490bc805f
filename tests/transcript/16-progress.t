# Bars: for what takes longer than a second, on a terminal only, gone at the end.

with alice bob
as alice
$ printf '(head -c 200000 /dev/zero; sleep 1.2; head -c 200000 /dev/zero) | smr-send "$@" -a - bob > id' > slow
$ TERM=xterm script -qec 'sh slow' /dev/null > seen; grep -a -q 'sealing.*KiB' seen && tr -d '\r' < seen | tail -c 4 | od -An -c | tr -d ' '; wc -l < id
033[2K
1

# not where nobody looks, and not where nobody wants to
$ sh slow 2> seen; wc -c < seen
0
$ TERM=xterm script -qec 'sh slow --json' /dev/null | wc -c
0
$ TERM=xterm script -qec 'sh slow -q' /dev/null | wc -c
0
