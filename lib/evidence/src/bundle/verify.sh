#!/bin/sh
# Checks the evidence in this folder with openssl 3.0 or later, nothing else.
#
#   sh verify.sh [ANCHORS.pem]
#
# Exit status: 0 all good, 65 something is not.
set -u
LC_ALL=C
export LC_ALL
case ${1-} in
    '') anchors=chain/anchors.pem ;;
    /*) anchors=$1 ;;
    *) anchors=$PWD/$1 ;;
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

# Who a card or a device (by its card) is: country and serialNumber, or the
# whole name.
person() {
    side=-subject
    is_proxy "$1" && side=-issuer
    openssl x509 -in "$1" -noout $side -nameopt sep_multiline,sname,utf8,esc_ctrl | sed 1d > "$tmp/name"
    if grep -q '^ *serialNumber=' "$tmp/name"; then
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
    if trusted -verify -inform DER -in "$record" -out "$text" -signer "$tmp/by" &&
        [ "$(word account "$text")" = "$address" ]; then
        person "$tmp/by" > "$text.person"
        good "account record $address, number $(word number "$text"), of $(subject "$tmp/by")"
    else
        rm -f "$text"
        fail "account record $address: $(reason)"
    fi
done

# belongs CERTIFICATE ADDRESS TIME: is this signer one of that account?
belongs() {
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
    [ -n "$3" ] && expr "x$3" '<' "x$gone" >/dev/null || return 1
    who="class D, a device of $2 that was removed later ($gone)"
}

# The postmarks: Ed25519 over the text up to the empty line before the signature.
if [ -e identity.txt ]; then
    note "repository $(word name identity.txt) SHA256:$(openssl dgst -sha256 -binary identity.txt | openssl base64 -A | tr -d '=')"
    { printf '\060\052\060\005\006\003\053\145\160\003\041\000'; word postmark identity.txt | openssl base64 -d -A; } > "$tmp/key.der"
fi
: > "$tmp/times"
: > "$tmp/places"
for mark in postmarks/*.txt; do
    [ -e "$mark" ] || { note 'no postmarks'; break; }
    awk '/^$/ { exit } { print }' "$mark" > "$tmp/mark"
    name=$(word name identity.txt)
    # A line of signature: dash, name, base64 of 4 bytes of key id and 64 of signature.
    awk -v name="$name/postmark" 'signed && $2 == name { print $3; exit } /^$/ { signed = 1 }' "$mark" |
        openssl base64 -d -A | tail -c 64 > "$tmp/sig"
    cms=$(word cms "$tmp/mark")
    kind=$(word kind "$tmp/mark")
    by=$(word sender "$tmp/mark")@$name
    if openssl pkeyutl -verify -pubin -keyform DER -inkey "$tmp/key.der" -rawin -in "$tmp/mark" -sigfile "$tmp/sig" >/dev/null 2>&1 &&
        [ "$(word repository "$tmp/mark")" = "$name" ] && [ "$(word id "$tmp/mark")" = "$message" ]; then
        printf '%s %s\n' "$cms" "$(word time "$tmp/mark")" >> "$tmp/times"
        good "postmark: $kind by $by in $(word mailbox "$tmp/mark") number $(word number "$tmp/mark") $(word time "$tmp/mark")"
        case $kind in
            receipt) ;;
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
taken() { awk -v cms="$(sha256 "$1")" '$1 == cms { print $2; exit }' "$tmp/times"; }

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
    addressed() { holds 81 "$1"; }
fi
if belongs "$tmp/by" "$sender" "$(taken message.p7s)"; then
    good "sender $sender: $who"
else
    fail "sender $sender: $why"
fi

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
    elif ! belongs "$tmp/by" "$by" "$(taken "$receipt")"; then
        fail "$receipt: $why"
    elif told "$receipt"; ! placed "$by"; then
        fail "$receipt: its reader was shown the message elsewhere than its postmark says"
    elif [ -n "$card" ] && is_proxy "$tmp/by"; then
        fail "$receipt: by a device, but the sender asked for the card's own signature"
    else
        when=$(openssl cms -cmsout -print -inform DER -in "$receipt" | awk '/signingTime/ { found = 1 } found && /TIME:/ { sub(/.*TIME:/, ""); print; exit }')
        good "read by $by, $when: $who"
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
    elif ! belongs "$tmp/by" "$by" "$(taken "$refusal")"; then
        fail "$refusal: $why"
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
