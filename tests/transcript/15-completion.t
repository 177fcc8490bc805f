# Completion scripts are made from the options, and the shells take them.

$ $ROOT/scripts/completions $PWD/usr && find usr -type f | grep -e smr-ls -e smrd | sort
usr/share/bash-completion/completions/smr-ls
usr/share/bash-completion/completions/smrd
usr/share/fish/vendor_completions.d/smr-ls.fish
usr/share/fish/vendor_completions.d/smrd.fish
usr/share/zsh/site-functions/_smr-ls
usr/share/zsh/site-functions/_smrd

$ for f in usr/share/bash-completion/completions/*; do bash -n $f || echo bad; done; for f in usr/share/zsh/site-functions/*; do zsh -n $f || echo bad; done; for f in usr/share/fish/vendor_completions.d/*; do fish --no-execute $f || echo bad; done

$ bash -c '. usr/share/bash-completion/completions/smr-ls; COMP_WORDS=(smr-ls --si); COMP_CWORD=1; $(complete -p smr-ls | grep -o "_[^ ]*" | head -1) smr-ls --si smr-ls; echo ${COMPREPLY[@]}'
--since
$ fish -c 'source usr/share/fish/vendor_completions.d/smr-send.fish; complete -C "smr-send --on"' | cut -f1
--once
$ zsh -fc 'fpath=(usr/share/zsh/site-functions $fpath); autoload -U compinit && compinit -D && whence -w _smr-recv'
_smr-recv: function

$ smr-ls --completions tcsh
! smr-ls: error: no completions for "tcsh", expected bash, zsh or fish
! smr-ls: hint: smr-ls --help
[64]
