#!/bin/sh
# Checks the evidence in this folder with openssl 3.0 or later, nothing else.
#
#   sh verify.sh [ANCHORS.pem [TSA-ANCHORS.pem]]
#
# Exit status: 0 all good, 65 something is not.
set -u
LC_ALL=C
export LC_ALL
case ${1-} in
    '') anchors=chain/anchors.pem clocks=chain/tsa.pem ;;
    /*) anchors=$1 clocks=/dev/null ;;
    *) anchors=$PWD/$1 clocks=/dev/null ;;
esac
case ${2-} in
    '') ;;
    /*) clocks=$2 ;;
    *) clocks=$PWD/$2 ;;
esac
cd "$(dirname "$0")" || exit 74
at=${AT:-@TIME@}
tmp=$(mktemp -d) || exit 73
trap 'rm -rf "$tmp"' EXIT
bad=0

good() { printf 'good      %s\n' "$*"; }
fail() { printf 'NOT GOOD  %s\n' "$*"; bad=65; }
note() { printf '          %s\n' "$*"; }

# Why openssl refused; a revocation may have come after the deposit.
reason() {
    grep -m1 -o 'Verify error:.*' "$tmp/why"
    ! grep -q 'certificate revoked' "$tmp/why" ||
        note 'revoked when this was made; if only after the deposit, smr-receipt --verify says so' >&2
}

# openssl looks revocation lists up in the same file as anchors. -attime: all is
# checked as of one time. -crl_check_all: with -crl_check alone, lists are not
# looked at where a device (a proxy certificate) signed. -purpose any: the usage
# of keys that are only for clientAuth; that the key is for signatures is
# checked below. -no-CApath, -no-CAstore: this machine's own anchors do not count.
cat "$anchors" chain/crls.pem > "$tmp/ca.pem" || exit 66
lists=
answers=
if grep -q 'BEGIN X509 CRL' chain/crls.pem; then lists=-crl_check_all; fi
for answer in chain/ocsp/*.der; do [ ! -e "$answer" ] || answers=1; done
if [ -z "$lists$answers" ]; then
    note 'no revocation lists here: whether a certificate was revoked is NOT checked'
elif [ -z "$lists" ]; then
    note 'no revocation lists here, only OCSP answers, which openssl cms does not read:'
    note 'whether a certificate was revoked is NOT checked; smr-receipt --verify does'
fi

# trusted OPTION...: openssl cms by these anchors and lists.
trusted() {
    set -- "$@" -CAfile "$tmp/ca.pem" -no-CApath -no-CAstore -allow_proxy_certs -purpose any -attime "$at"
    if [ -s chain/intermediates.pem ]; then
        set -- "$@" -certfile chain/intermediates.pem
    fi
    openssl cms "$@" $lists 2>"$tmp/why" && return
    # Lists of one authority, and OCSP answers of another.
    grep -q 'unable to get certificate CRL' "$tmp/why" && [ -n "$answers" ] || return 1
    openssl cms "$@" 2>"$tmp/why" || return 1
    note 'a certificate of the next has only an OCSP answer, which openssl cms does not read:'
    note 'whether it was revoked is NOT checked; smr-receipt --verify does'
}

word() { awk -v key="$1" '$1 == key { print $2; exit }' "$2"; }
sha256() { openssl dgst -sha256 -r "$1" | cut -d' ' -f1; }
fingerprint() {
    printf 'SHA256:%s' "$(openssl x509 -in "$1" -outform DER | openssl dgst -sha256 -binary | openssl base64 -A | tr -d '=')"
}
subject() { openssl x509 -in "$1" -noout -subject -nameopt RFC2253,-esc_msb,utf8 | sed 's/^subject=//'; }
is_proxy() { openssl x509 -in "$1" -noout -text | grep -q 'Proxy Certificate Information'; }
# A device by our policy, for this address: a card may certify other things.
is_device() {
    openssl x509 -in "$1" -noout -ext proxyCertInfo | awk -v address="$2" '
        NR == 2 && /^ *Path Length Constraint: 0+$/ { good++ }
        NR == 3 && /^ *Policy Language: 2\.25\.1518643927\.1$/ { good++ }
        NR == 4 && sub(/^ *Policy Text: /, "") && $0 == address { good++ }
        END { exit good != 3 }'
}

# Times as numbers: seconds since 1970, of 2026-11-22T21:10:47Z, or of
# Nov 22 21:10:47 2026 GMT as openssl writes it.
seconds() {
    awk -v text="$1" 'BEGIN {
        count = split(text, t, "[-T:Z ]+")
        if (text ~ /^[0-9]/) { y = t[1]; m = t[2]; d = t[3]; h = t[4]; i = t[5]; s = t[6] }
        else { m = (index("JanFebMarAprMayJunJulAugSepOctNovDec", t[1]) + 2) / 3; d = t[2]; h = t[3]; i = t[4]; s = t[5]; y = t[6] }
        if (count < 6 || m < 1) { print "none"; exit }
        # Years begin in March, so that the leap day is the last.
        if (m < 3) { y--; m += 12 }
        days = 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + d - 719469
        printf "%.0f\n", days * 86400 + h * 3600 + i * 60 + int(s)
    }'
}
# When SignedData was signed, as its signer says.
signing_time() {
    openssl cms -cmsout -print -inform DER -in "$1" 2>/dev/null | awk '
        /^ *signedAttrs:/ { inside = 1 } /^ *unsignedAttrs:/ { inside = 0 }
        inside && /signingTime/ { found = 1 }
        found && /TIME:/ { sub(/.*TIME:/, ""); print; exit }'
}
# later A B: A is later than B by more than clocks differ.
later() { [ "$1" -gt "$(($2 + 300))" ]; }

# timely SIGNED CERTIFICATE DEPOSITED: was it signed when it can have been? Sets signed.
timely() {
    why='it does not say when it was signed'
    signed=$(seconds "$(signing_time "$1")")
    [ "$signed" != none ] || return 1
    why='signed later than the time of this check'
    ! later "$signed" "$at" || return 1
    why='signed later than it was deposited'
    [ -z "$3" ] || ! later "$signed" "$3" || return 1
    why='signed before its certificate began'
    ! later "$(seconds "$(openssl x509 -in "$2" -noout -startdate | sed 's/^notBefore=//')")" "$signed"
}

# Who a card or a device (by its card) is: country and serialNumber, or, where
# there is not exactly one that says something, the whole name.
person() {
    side=-subject
    is_proxy "$1" && side=-issuer
    openssl x509 -in "$1" -noout $side -nameopt sep_multiline,sname,utf8,esc_ctrl | sed 1d > "$tmp/name"
    if [ "$(grep -c '^ *serialNumber=' "$tmp/name")" = 1 ] &&
        grep -q '^ *serialNumber=.*[^ ]' "$tmp/name"; then
        grep -E '^ *(C|serialNumber)=' "$tmp/name" | sort
    else
        cat "$tmp/name"
    fi
}

message=$(word message bundle.txt)
sender=$(word sender bundle.txt)
case $message in *[!0-9a-f]* | '') fail 'bundle.txt names no message'; exit 65 ;; esac
case $sender in *[!a-z0-9._@-]* | '') fail 'bundle.txt names no sender'; exit 65 ;; esac
note "message $message from $sender"
note "checked as of $at (seconds since 1970), bundle made $(word time bundle.txt)"

# The anchors: whoever reads this must know them.
awk -v to="$tmp/anchor" '/BEGIN CERTIFICATE/ { n++ } n { print > (to n) }' "$anchors"
for anchor in "$tmp"/anchor[0-9]*; do
    [ -e "$anchor" ] || { fail "no anchors in $anchors"; break; }
    note "anchor $(subject "$anchor")"
    note "       sha256 $(openssl x509 -in "$anchor" -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1)"
done

# The accounts: which devices speak for an address.
for record in accounts/*.p7s; do
    [ -e "$record" ] || { fail 'no account records'; break; }
    address=$(basename "$record" .p7s)
    text=$tmp/account.$address
    if ! trusted -verify -inform DER -in "$record" -out "$text" -signer "$tmp/by" ||
        [ "$(word account "$text")" != "$address" ]; then
        rm -f "$text"
        fail "account record $address: $(reason)"
    elif is_proxy "$tmp/by" && ! is_device "$tmp/by" "$address"; then
        rm -f "$text"
        fail "account record $address: by a proxy certificate that makes no device of it"
    else
        person "$tmp/by" > "$text.person"
        good "account record $address, number $(word number "$text"), of $(subject "$tmp/by")"
    fi
done

# belongs SIGNED CERTIFICATE ADDRESS TIME: is this signer one of that account,
# and can he have signed when he says?
belongs() {
    timely "$1" "$2" "$4" || return 1
    shift
    text=$tmp/account.$2
    [ -e "$text" ] || { why="no account record of $2"; return 1; }
    why="not for signatures"
    openssl x509 -in "$1" -noout -ext keyUsage 2>/dev/null | grep -Eq 'Digital Signature|Non Repudiation' || return 1
    person "$1" > "$tmp/person"
    why="not the person whose account $2 is"
    cmp -s "$tmp/person" "$text.person" || return 1
    if ! is_proxy "$1"; then
        who="class Q, the card of $(subject "$1")"
        return 0
    fi
    why="by a proxy certificate that makes no device of $2"
    is_device "$1" "$2" || return 1
    print=$(fingerprint "$1")
    label=$(awk -v fp="$print" '$1 == "device" && $3 == fp { print $2 }' "$text")
    if [ -n "$label" ]; then
        who="class D, device $label of $2, $(subject "$1")"
        return 0
    fi
    # Removals are in no revocation list, only here.
    gone=$(awk -v fp="$print" '$1 == "removed" && $2 == fp { print $3 }' "$text")
    why="by a device that account $2 does not list"
    [ -n "$gone" ] || return 1
    why="by a device that was removed $gone, and no postmark says that this was before"
    [ -n "$3" ] && [ "$3" -lt "$(seconds "$gone")" ] || return 1
    who="class D, a device of $2 that was removed later ($gone)"
}

# The keys of the repository: an identity document, and perhaps successions,
# each of which names the next keys and is signed by those before and by these.
# signed FILE SIGNATURE N: Ed25519 by the N-th keys.
signed() {
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$tmp/key.$3" -rawin -in "$1" -sigfile "$2" >/dev/null 2>&1
}
# signatures FILE NAME: those of this name under a note, one a file.
signatures() {
    rm -f "$tmp"/sig.*
    # A line of signature: dash, name, base64 of 4 bytes of key id and 64 of signature.
    for value in $(awk -v name="$2" 'signed && $2 == name { print $3 } /^$/ { signed = 1 }' "$1"); do
        count=$(($(find "$tmp" -name 'sig.*' | wc -l) + 1))
        printf %s "$value" | openssl base64 -d -A | tail -c 64 > "$tmp/sig.$count"
    done
}
# by NOTE NAME N: the note, split into text and signatures, is signed by the N-th keys.
by() {
    awk '/^$/ { exit } { print }' "$1" > "$tmp/text"
    signatures "$1" "$2"
    for sig in "$tmp"/sig.*; do
        [ -e "$sig" ] && signed "$tmp/text" "$sig" "$3" && return
    done
    return 1
}
keys=0 name=
if [ -e identity.txt ]; then
    awk -v to="$tmp/link." '/^smr (identity|succession) 1$/ && !inside { n++; inside = $2 == "succession" }
        /^$/ { inside = 0 } { print > (to n) }' identity.txt
    name=$(word name "$tmp/link.1")
    while [ -e "$tmp/link.$((keys + 1))" ]; do
        keys=$((keys + 1))
        link=$tmp/link.$keys
        sed -n '/^smr identity 1$/,/^postmark /p' "$link" > "$tmp/identity.$keys"
        { printf '\060\052\060\005\006\003\053\145\160\003\041\000'; word postmark "$tmp/identity.$keys" | openssl base64 -d -A; } > "$tmp/key.$keys"
        print=SHA256:$(openssl dgst -sha256 -binary "$tmp/identity.$keys" | openssl base64 -A | tr -d '=')
        [ "$keys" = 1 ] || {
            before=$((keys - 1))
            # A day more: clocks are set back now and then.
            echo "$(($(seconds "$(word time "$link")") + 86400))" > "$tmp/until.$before"
            if by "$link" "$name/succession" "$before" && by "$link" "$name/succession" "$keys" &&
                [ "$(word number "$link")" = "$before" ] && [ "$(word follows "$link")" = "$last" ] &&
                [ "$(word name "$tmp/identity.$keys")" = "$name" ]; then
                good "succession $before of its keys, $(word time "$link")"
            else
                fail "succession $before of its keys"
                break
            fi
        }
        note "repository $name $print"
        last=$print
    done
fi
# marked NOTE: a postmark by keys that were in use at its time.
marked() {
    n=$keys
    while [ "$n" -gt 0 ]; do
        by "$1" "$name/postmark" "$n" &&
            { [ ! -e "$tmp/until.$n" ] || [ "$(seconds "$(word time "$tmp/text")")" -le "$(cat "$tmp/until.$n")" ]; } && return
        n=$((n - 1))
    done
    return 1
}
: > "$tmp/times"
: > "$tmp/places"
# answer NAME CMS: the receipt or refusal by NAME with this hash.
answer() {
    for file in receipts/"$1"@*.p7s refusals/"$1"@*.p7s; do
        [ ! -e "$file" ] || [ "$(sha256 "$file")" != "$2" ] || echo "$file"
    done
}
for mark in postmarks/*.txt; do
    [ -e "$mark" ] || { note 'no postmarks'; break; }
    awk '/^$/ { exit } { print }' "$mark" > "$tmp/mark"
    cms=$(word cms "$tmp/mark")
    kind=$(word kind "$tmp/mark")
    by=$(word sender "$tmp/mark")@$name
    if marked "$mark" &&
        [ "$(word repository "$tmp/mark")" = "$name" ] && [ "$(word id "$tmp/mark")" = "$message" ]; then
        printf '%s %s\n' "$cms" "$(seconds "$(word time "$tmp/mark")")" >> "$tmp/times"
        good "postmark: $kind by $by in $(word mailbox "$tmp/mark") number $(word number "$tmp/mark") $(word time "$tmp/mark")"
        case $kind in
            receipt) [ -n "$(answer "$(word sender "$tmp/mark")" "$cms")" ] || fail "$mark is of a receipt that is not here"
               [ "$(word mailbox "$tmp/mark")@$name" = "$sender" ] || fail "$mark is in another mailbox" ;;
            *) [ "$cms" = "$(sha256 message.p7s)" ] || fail "$mark is of another message"
               [ "$by" = "$sender" ] || fail "$mark is of another sender" ;;
        esac
        [ "$kind" != message ] || awk '
            $1 == "mailbox" { mailbox = $2 } $1 == "number" { number = $2 } $1 == "head" { head = $2 }
            END { print mailbox, number, head }' "$tmp/mark" >> "$tmp/places"
    else
        fail "$mark"
    fi
done
# The time stamps (RFC 3161), each beside what it is on. The authority is judged
# as of the time it says; lists are looked at, where there are any on it.
stamped() {
    set -- ts -verify -token_in -in "$1" -data "$2" -CAfile "$tmp/tsa.pem" -attime "$3"
    [ ! -s chain/intermediates.pem ] || set -- "$@" -untrusted chain/intermediates.pem
    checked=
    openssl "$@" -crl_check_all >"$tmp/why" 2>&1 && checked=1 && return
    ! grep -q 'certificate revoked' "$tmp/why" || return 1
    openssl "$@" >"$tmp/why" 2>&1
}
for stamp in receipts/*.tst refusals/*.tst postmarks/*.tst; do
    [ -e "$stamp" ] || continue
    case $stamp in postmarks/*) on=${stamp%.tst}.txt ;; *) on=${stamp%.tst}.p7s ;; esac
    [ -e "$tmp/tsa.pem" ] || cat "$anchors" "$clocks" chain/crls.pem > "$tmp/tsa.pem" || exit 66
    when=$(openssl ts -reply -token_in -in "$stamp" -token_out -text 2>/dev/null | sed -n 's/^Time stamp: //p')
    moment=$(seconds "$when")
    if [ "$moment" = none ] || [ ! -e "$on" ] || ! stamped "$stamp" "$on" "$moment"; then
        fail "$stamp: no time stamp on $on by an authority that is trusted$(grep -m1 -o ':[^:]*$' "$tmp/why" 2>/dev/null)"
    elif later "$moment" "$at"; then
        fail "$stamp: later than the time of this check"
    else
        good "time stamp: $on was there $when"
        [ -n "$checked" ] || note 'whether its authority was revoked is NOT checked: there is no list of it'
        printf '%s %s\n' "$(sha256 "$on")" "$moment" >> "$tmp/times"
    fi
done

# told RECEIPT: what its remark, a signed attribute of ours, says of the place.
told() {
    openssl asn1parse -inform DER -in "$1" | sed -n '/OBJECT *:2\.25\.1518643927\.2$/,$p' > "$tmp/remark"
}
# placed ADDRESS: nobody was shown the message elsewhere than its postmark says.
placed() {
    [ -s "$tmp/remark" ] || return 0
    awk -v mailbox="${1%@*}" -v number="$(word number "$tmp/remark")" -v head="$(word head "$tmp/remark")" '
        $1 == mailbox && ($2 != number || $3 != head) { exit 1 }' "$tmp/places"
}
# taken SIGNED: when it was there at the latest, as a postmark or a time stamp says.
taken() { awk -v cms="$(sha256 "$1")" '$1 == cms { print $2 }' "$tmp/times" | sort -n | head -n 1; }

# The message.
card=
if [ -e message.eml ]; then
    if trusted -verify -inform SMIME -in message.eml -out "$tmp/part" -signer "$tmp/by"; then
        good "message.eml is signed by $(subject "$tmp/by")"
    else
        fail "message.eml: $(reason)"
    fi
    openssl cms -cmsout -inform SMIME -in message.eml -outform DER -out "$tmp/p7s" 2>/dev/null
    cmp -s "$tmp/p7s" message.p7s || fail 'message.p7s is not the signature in message.eml'
    # The signed header, unfolded.
    tr -d '\r' < "$tmp/part" | awk '/^$/ { exit } /^[ \t]/ { held = held $0; next } { if (held != "") print held; held = $0 } END { print held }' > "$tmp/header"
    grep -iq "^message-id: *<$message@" "$tmp/header" || fail 'message.eml has another id'
    addresses() { grep -Ei "^($1):" "$tmp/header" | sed 's/"[^"]*"//g' | tr -s ',<>;: \t' '[\n*]'; }
    addresses from | grep -Fxq "$sender" || fail 'message.eml is from someone else'
    addresses 'to|cc' > "$tmp/addressees"
    card=$(grep -i '^smr-receipt: *card$' "$tmp/header")
    addressed() { grep -Fxq "$1" "$tmp/addressees"; }
else
    note 'the content is left out: only its digest is proved'
    if trusted -verify -no_content_verify -inform DER -in message.p7s -content /dev/null -out /dev/null -signer "$tmp/by"; then
        good "message.p7s is signed by $(subject "$tmp/by")"
    else
        fail "message.p7s: $(reason)"
    fi
    # Id and addressees stand in the request for receipts, inside the signature:
    # an OCTET STRING (0x04, length) and rfc822Names (0x81, length).
    bytes() { od -An -v -tx1 | tr -s ' \n' ' '; }
    bytes < message.p7s > "$tmp/hex"
    holds() {
        grep -Fq "$(printf ' %s %02x' "$1" "${#2}")$(printf '%s' "$2" | bytes | sed 's/ *$//') " "$tmp/hex"
    }
    holds 04 "$message@${sender#*@}" || fail 'message.p7s has another id'
    # To one alone: a list (0x30, length) of one list of one name.
    holds "$(printf '30 %02x 30 %02x 81' $((${#sender} + 4)) $((${#sender} + 2)))" "$sender" ||
        fail 'message.p7s asks for receipts to someone else'
    addressed() { holds 81 "$1"; }
fi
if belongs message.p7s "$tmp/by" "$sender" "$(taken message.p7s)"; then
    good "sender $sender: $who"
else
    fail "sender $sender: $why"
fi
written=$(seconds "$(signing_time message.p7s)")
# early: the answer in hand was signed before the message was.
early() { later "$written" "$signed"; }

# The receipts. -verify_receipt compares a receipt with the message and verifies
# its signature, but takes any signer: who he is, is checked after it.
for receipt in receipts/*.p7s; do
    [ -e "$receipt" ] || { note 'no receipts'; break; }
    by=$(basename "$receipt" .p7s)
    by=${by%-*}
    if ! addressed "$by"; then
        fail "$receipt: the message was not sent to $by"
    elif ! trusted -verify_receipt "$receipt" -rctform DER -inform DER -in message.p7s >/dev/null ||
        ! trusted -verify -inform DER -in "$receipt" -out /dev/null -signer "$tmp/by"; then
        fail "$receipt: not a receipt for this message $(reason)"
    elif ! belongs "$receipt" "$tmp/by" "$by" "$(taken "$receipt")"; then
        fail "$receipt: $why"
    elif early; then
        fail "$receipt: signed before the message was"
    elif told "$receipt"; ! placed "$by"; then
        fail "$receipt: its reader was shown the message elsewhere than its postmark says"
    elif [ -n "$card" ] && is_proxy "$tmp/by"; then
        fail "$receipt: by a device, but the sender asked for the card's own signature"
    else
        good "read by $by, $(signing_time "$receipt"): $who"
    fi
done

# The refusals: a text that names the message by its id and its signature's hash.
for refusal in refusals/*.p7s; do
    [ -e "$refusal" ] || break
    by=$(basename "$refusal" .p7s)
    by=${by%-*}
    if ! addressed "$by"; then
        fail "$refusal: the message was not sent to $by"
    elif ! trusted -verify -inform DER -in "$refusal" -out "$tmp/refusal" -signer "$tmp/by"; then
        fail "$refusal: not signed by anybody trusted $(reason)"
    elif [ "$(head -n 1 "$tmp/refusal")" != 'smr refusal 1' ] ||
        [ "$(word message "$tmp/refusal")" != "$message@${sender#*@}" ] ||
        [ "$(word cms "$tmp/refusal")" != "$(sha256 message.p7s)" ] ||
        [ "$(word reader "$tmp/refusal")" != "$by" ]; then
        fail "$refusal: not a refusal for this message"
    elif ! belongs "$refusal" "$tmp/by" "$by" "$(taken "$refusal")"; then
        fail "$refusal: $why"
    elif early; then
        fail "$refusal: signed before the message was"
    else
        good "refused by $by: $who"
        note "reason: $(sed -n 's/^reason //p' "$tmp/refusal" | tr -d '\000-\037\177')"
    fi
done

if [ "$bad" -eq 0 ]; then
    echo 'all good'
else
    echo 'NOT ALL GOOD'
fi
exit "$bad"
