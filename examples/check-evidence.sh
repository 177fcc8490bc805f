#!/bin/sh
# Checks the evidence for a case, on a machine that knows nothing of smr's
# repository: no account, no agent, no network.
#
#   check-evidence.sh BUNDLE.zip ROOTS.pem
#
# ROOTS.pem are the authorities that you believe, from their own site and not
# from who gave you the bundle. Where smr is not installed, openssl judges, by
# the script in the bundle: who made the bundle wrote that too, so read it
# before (it is short), or have smr. Exit code: 0 good, 65 not.
set -eu

bundle=${1:?usage: check-evidence.sh BUNDLE.zip ROOTS.pem}
roots=${2:?usage: check-evidence.sh BUNDLE.zip ROOTS.pem}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if command -v smr-receipt > /dev/null; then
    mkdir "$dir/anchors"
    cp "$roots" "$dir/anchors/"
    SMR_HOME=$dir/nobody smr-receipt --verify "$bundle" --anchors "$dir/anchors"
else
    unzip -q "$bundle" -d "$dir/bundle"
    cp "$roots" "$dir/roots.pem"
    sh "$dir/bundle/verify.sh" "$dir/roots.pem"
fi
