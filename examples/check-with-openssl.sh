#!/bin/sh
# Checks one message of the mailbox with openssl alone: the signature, the
# chain up to CA_FILE, and who signed.
#
#   examples/check-with-openssl.sh CA_FILE ID
#
# CA_FILE holds the root certificates in PEM. A message signed by a device
# carries an RFC 3820 proxy certificate, hence -allow_proxy_certs.
set -eu

ca=${1:?usage: check-with-openssl.sh CA_FILE ID}
id=${2:?usage: check-with-openssl.sh CA_FILE ID}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

smr-recv --peek --raw "$id" > "$dir/message.eml"
openssl cms -verify -allow_proxy_certs -CAfile "$ca" -in "$dir/message.eml" \
    -signer "$dir/signer.pem" -out "$dir/content.eml"
openssl x509 -in "$dir/signer.pem" -noout -subject -issuer -enddate
cat "$dir/content.eml"
