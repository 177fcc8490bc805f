# Each exit code of each tool in Portuguese, in a pipe and on a terminal.

with alice bob
twice
speak pt_PT.UTF-8
as alice
$ printf "colour = 1\n" > bad.toml; openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=Nobody -out cert.pem 2> /dev/null

$ smr-register --server $SERVER --server-key $KEY --bad
! smr-register: error: argumento inesperado '--bad'
! smr-register: hint: para passar '--bad' como valor, use '-- --bad'
! smr-register: hint: smr-register --help
[64]

$ smr-register --server $SERVER --server-key $KEY --token file:cert.pem --no-backup other
! smr-register: error: falta a chave privada do certificado de "cert.pem"
! smr-register: hint: smr-register --tokens lista o que há
[69]

$ smr-register --server $SERVER --server-key $KEY --token file:missing.pem --no-backup other
! smr-register: error: não há nenhum ficheiro "missing.pem"
! smr-register: hint: o nome está certo, e a conta é a certa?
[66]

$ smr-register --server $SERVER --server-key $KEY --token pkcs11:token=nobody --no-backup other
! smr-register: error: não se encontrou nenhum token para "pkcs11:token=nobody"
! smr-register: hint: o cartão está no leitor? o [..]
[69]

$ touch there; smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --backup there other
! smr-register: error: "there" já existe
! smr-register: hint: --backup another FILE
[73]

$ smr-register --server $SERVER --server-key $KEY --token "$TOKEN" --no-backup bob
! smr-register: error: o nome "bob" já está em uso
! smr-register: hint: escolha outro nome
[77]

$ smr-register --config bad.toml --revoke laptop
! smr-register: error: "bad.toml": chave desconhecida "colour"
! smr-register: hint: o client.toml está certo?
[78]

$ smr-register --restore bad.toml
! smr-register: error: "bad.toml" não é uma cópia de segurança: uma linha não é uma identidade age
! smr-register: hint: que FILE escreveu --backup?
[65]

$ smr-login --bad
! smr-login: error: argumento inesperado '--bad'
! smr-login: hint: smr-login --help
[64]

$ smr-login --passphrase-file missing
! smr-login: error: não foi possível ler a frase-passe de "missing": o ficheiro ou a pasta não existe (erro 2)
! smr-login: hint: existe, e tem permissão para o ler?
[66]

$ smr-login --as nobody
! smr-login: error: não há nenhuma conta registada aqui
! smr-login: hint: smr-register NAME
[67]

$ smr-login --passphrase-file bad.toml; code=$?; rm -f $SMR_HOME/keys/*.tries; exit $code
! smr-login: error: a frase-passe está errada
! smr-login: hint: é a desta conta? escreva-a de novo
[77]

$ smr-login --config bad.toml
! smr-login: error: "bad.toml": chave desconhecida "colour"
! smr-login: hint: o client.toml está certo?
[78]

$ smr-login --lock; smr-login --status > /dev/null
[1]

$ smr-login --unlock

$ smr-send --bad
! smr-send: error: argumento inesperado '--bad'
! smr-send: hint: para passar '--bad' como valor, use '-- --bad'
! smr-send: hint: smr-send --help
[64]

$ smr-send -a missing bob
! smr-send: error: não foi possível abrir "missing": o ficheiro ou a pasta não existe (erro 2)
! smr-send: hint: o nome está certo, e a conta é a certa?
[66]

$ smr-send --as nobody bob
! smr-send: error: não há nenhuma conta registada aqui
! smr-send: hint: smr-register NAME
[67]

$ smr-send nobody
! smr-send: error: essa caixa de correio não existe: nobody
! smr-send: hint: liste os utilizadores: smr-ls users
[67]

$ smr-send bob > /dev/full
! smr-send: error: não foi possível escrever na saída: não há espaço no dispositivo (erro 28)
[74]

$ smr-send --once key bob > /dev/null; smr-send --once key alice
! smr-send: error: a mensagem "[..]" já foi enviada, a outras caixas de correio como "bob"
! smr-send: hint: --once com outra KEY, para outra mensagem
[77]

$ smr-send --config bad.toml bob
! smr-send: error: "bad.toml": chave desconhecida "colour"
! smr-send: hint: o client.toml está certo?
[78]

$ smr-sendmail bob

$ smr-sendmail -bs
! smr-sendmail: error: -bs is not understood: a message on standard input is all that is taken
! smr-sendmail: hint: smr-sendmail --help
[64]

$ smr-sendmail nobody
! smr-sendmail: error: essa caixa de correio não existe: nobody
! smr-sendmail: hint: liste os utilizadores: smr-ls users
[67]

$ smr-sendmail --config bad.toml bob
! smr-sendmail: error: "bad.toml": chave desconhecida "colour"
! smr-sendmail: hint: o client.toml está certo?
[78]

$ smr-recv --bad
! smr-recv: error: argumento inesperado '--bad'
! smr-recv: hint: para passar '--bad' como valor, use '-- --bad'
! smr-recv: hint: smr-recv --help
[64]

$ smr-recv ffffffffffff
! smr-recv: error: não há nenhuma mensagem "ffffffffffff"
! smr-recv: hint: smr-ls
[66]

$ smr-recv --as nobody
! smr-recv: error: não há nenhuma conta registada aqui
! smr-recv: hint: smr-register NAME
[67]

$ mkdir -p folder; smr-recv --all --maildir folder
! smr-recv: error: "folder" não é uma Maildir: esperava-se que tivesse as pastas tmp, new e cur
! smr-recv: hint: queria dizer outra?
[73]

$ smr-send alice > id; smr-recv $(cat id) > /dev/full
! smr-recv: error: não foi possível escrever na saída: não há espaço no dispositivo (erro 28)
[74]

$ smr-recv $(cat id) --exec sh -c "exit 75"
! smr-recv: a mensagem "[..]" fica por ler: o programa quer recebê-la mais tarde
[75]

$ smr-recv --config bad.toml
! smr-recv: error: "bad.toml": chave desconhecida "colour"
! smr-recv: hint: o client.toml está certo?
[78]

$ smr-receipt --wait 0s $(cat id)
[1]

$ smr-receipt --bad
! smr-receipt: error: argumento inesperado '--bad'
! smr-receipt: hint: para passar '--bad' como valor, use '-- --bad'
! smr-receipt: hint: smr-receipt --help
[64]

$ smr-receipt --verify bad.toml
! smr-receipt: error: "bad.toml": não é um pacote de provas: arquivo zip inválido: falta-lhe o fim
! smr-receipt: hint: foi o autor que a fez assim? pergunte-lhe por outra via
[65]

$ smr-receipt --verify missing.zip
! smr-receipt: error: não foi possível abrir "missing.zip": o ficheiro ou a pasta não existe (erro 2)
! smr-receipt: hint: o nome está certo, e a conta é a certa?
[66]

$ smr-receipt --as nobody --status
! smr-receipt: error: não há nenhuma conta registada aqui
! smr-receipt: hint: smr-register NAME
[67]

$ smr-receipt --export there $(cat id)
! smr-receipt: error: "there" já existe
! smr-receipt: hint: --export com outro FILE
[73]

$ smr-receipt --status > /dev/full
! smr-receipt: error: não foi possível escrever na saída: não há espaço no dispositivo (erro 28)
[74]

$ smr-send alice > id; smr-receipt $(cat id)
! smr-receipt: error: a mensagem "[..]" não foi lida
! smr-receipt: hint: smr-recv [..]
[77]

$ smr-receipt --config bad.toml --status
! smr-receipt: error: "bad.toml": chave desconhecida "colour"
! smr-receipt: hint: o client.toml está certo?
[78]

$ smr-ls -q nothing
[1]

$ smr-ls --bad
! smr-ls: error: argumento inesperado '--bad'
! smr-ls: hint: para passar '--bad' como valor, use '-- --bad'
! smr-ls: hint: smr-ls --help
[64]

$ smr-ls --as nobody
! smr-ls: error: não há nenhuma conta registada aqui
! smr-ls: hint: smr-register NAME
[67]

$ smr-ls sent > /dev/full
! smr-ls: error: não foi possível escrever na saída: não há espaço no dispositivo (erro 28)
[74]

$ smr-ls --config bad.toml
! smr-ls: error: "bad.toml": chave desconhecida "colour"
! smr-ls: hint: o client.toml está certo?
[78]

$ smr-rm $(cat id); smr-send alice > id

$ smr-rm
! smr-rm: error: faltam argumentos obrigatórios: <ID>...
! smr-rm: hint: smr-rm --help
[64]

$ smr-rm ffffffffffff
! smr-rm: error: não há nenhuma mensagem "ffffffffffff"
! smr-rm: hint: smr-ls
[66]

$ smr-rm --as nobody ffffffffffff
! smr-rm: error: não há nenhuma conta registada aqui
! smr-rm: hint: smr-register NAME
[67]

$ smr-rm --json $(cat id) > /dev/full; code=$?; smr-send alice > id; exit $code
! smr-rm: error: não foi possível escrever na saída: não há espaço no dispositivo (erro 28)
[74]

$ smr-rm --config bad.toml ffffffffffff
! smr-rm: error: "bad.toml": chave desconhecida "colour"
! smr-rm: hint: o client.toml está certo?
[78]

# a message was altered where it lies
$ [ -e altered ] || { echo x | smr-send alice > altered; for f in $STORE/accounts/alice/inbox/new/*$(cat altered)*; do chmod u+w $f; printf X | dd of=$f bs=1 seek=5000 conv=notrunc 2> /dev/null; done; }

$ smr-recv $(cat altered)
! smr-recv: error: a mensagem "[..]": não é o ficheiro que foi depositado
! smr-recv: hint: foi o autor que a fez assim? pergunte-lhe por outra via
[65]

# smrd is away
smrd stop
$ cp -r $STORE $STORE.old

$ smr-register --revoke nosuch
! smr-register: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-register: hint: o smrd está a correr, e o endereço está certo?
[75]

$ smr-login
! smr-login: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-login: hint: o smrd está a correr, e o endereço está certo?
[75]

$ smr-send bob
! smr-send: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-send: hint: o smrd está a correr, e o endereço está certo?
[75]

$ smr-recv
! smr-recv: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-recv: hint: o smrd está a correr, e o endereço está certo?
[75]

$ smr-receipt --status
! smr-receipt: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-receipt: hint: o smrd está a correr, e o endereço está certo?
[75]

$ smr-ls
! smr-ls: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-ls: hint: o smrd está a correr, e o endereço está certo?
[75]

$ smr-rm ffffffffffff
! smr-rm: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-rm: hint: o smrd está a correr, e o endereço está certo?
[75]

# smrd has an older store than it has spoken of
smrd start
$ for to in alice bob; do echo x | smr-send $to > id; done; smr-ls -q; smr-ls sent -q

smrd stop
$ [ ! -d $STORE.old ] || { rm -r $STORE && mv $STORE.old $STORE; }

smrd start
$ smr-ls
! smr-ls: error: o smrd alterou a caixa de entrada: não continua o que já se viu
! smr-ls: hint: guarde a sua pasta de estado; pergunte ao operador o que aconteceu; mostre ao operador a prova em "[..]/home/alice/state/proofs/[..]"
[76]

$ smr-recv
! smr-recv: error: o smrd alterou a caixa de entrada: não continua o que já se viu
! smr-recv: hint: guarde a sua pasta de estado; pergunte ao operador o que aconteceu; mostre ao operador a prova em "[..]/home/alice/state/proofs/[..]"
[76]

$ smr-receipt --status
! smr-receipt: error: o smrd alterou a pasta das enviadas: não continua o que já se viu
! smr-receipt: hint: guarde a sua pasta de estado; pergunte ao operador o que aconteceu; mostre ao operador a prova em "[..]/home/alice/state/proofs/[..]"
[76]

# at its address is another smrd
smrd stop
$ [ -d $STORE.true ] || { mv $STORE $STORE.true && smrd --config $SMRD_CONFIG --init > /dev/null; }

smrd start
$ SMR_HOME=$PWD/empty smr-register --server $SERVER --server-key $KEY --anchors $PKI/trust.d --token "$TOKEN" --no-backup other
! smr-register: error: "[..]" tem outra chave: [..], esperava-se [..]
! smr-register: hint: peça ao operador o resultado de `smrd --fingerprint`
[76]

$ smr-login
! smr-login: error: o servidor em "[..]" não é o que foi fixado
! smr-login: hint: peça ao operador o resultado de smrd --fingerprint
[76]

$ smr-send bob < /dev/null
! smr-send: error: o servidor em "[..]" não é o que foi fixado
! smr-send: hint: peça ao operador o resultado de smrd --fingerprint
[76]

$ printf 'To: bob\n\nhi\n' | smr-sendmail -t
! smr-sendmail: error: o servidor em "[..]" não é o que foi fixado
! smr-sendmail: hint: peça ao operador o resultado de smrd --fingerprint
[76]

$ smr-rm ffffffffffff
! smr-rm: error: o servidor em "[..]" não é o que foi fixado
! smr-rm: hint: peça ao operador o resultado de smrd --fingerprint
[76]

smrd stop
$ [ ! -d $STORE.true ] || { rm -r $STORE && mv $STORE.true $STORE; }

smrd start
# nobody is logged in
$ smr-login --logout 2> /dev/null; while smr-login --status > /dev/null 2>&1; [ $? = 1 ]; do sleep 0.1; done

$ smr-login --status
! smr-login: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-login: hint: smr-login
[69]

$ smr-send bob
! smr-send: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-send: hint: smr-login
[69]

$ smr-sendmail bob
! smr-sendmail: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-sendmail: hint: smr-login
[69]

$ smr-recv
! smr-recv: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-recv: hint: smr-login
[69]

$ smr-receipt --status
! smr-receipt: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-receipt: hint: smr-login
[69]

$ smr-ls
! smr-ls: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-ls: hint: smr-login
[69]

$ smr-rm ffffffffffff
! smr-rm: error: não há agente em "[..]/home/alice/agent.sock": o ficheiro ou a pasta não existe (erro 2)
! smr-rm: hint: smr-login
[69]
