#!/bin/sh
# Seals the passphrase of a key ring to this machine, as a credential that
# systemd opens for one unit: systemd/smr-nightly.service. As root.
#
#   systemd-ask-password -n 'Passphrase:' | seal-passphrase.sh
#
# On another machine, or as a credential of another name, it does not open.
set -eu

STORE=${STORE:-/etc/credstore.encrypted}
KEY=${KEY:-auto}        # auto takes the TPM where there is one; or host, tpm2

umask 077
mkdir -p "$STORE"
exec systemd-creds encrypt --with-key="$KEY" --name=smr.passphrase - "$STORE/smr.passphrase"
