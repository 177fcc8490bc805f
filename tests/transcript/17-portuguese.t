# The same tools in Portuguese: refusals with their hints, questions, help, and
# what a terminal shows; a pipe and JSON stay in English.

with alice bob
speak pt_PT.UTF-8
as alice
$ echo olá | smr-send -s 'Contrato' bob
[ID]

$ echo olá | smr-send nobody
! smr-send: error: essa caixa de correio não existe: nobody
! smr-send: hint: liste os utilizadores: smr-ls users
[67]

$ smr-send -a falta.txt bob < /dev/null
! smr-send: error: não foi possível abrir "falta.txt": o ficheiro ou a pasta não existe (erro 2)
! smr-send: hint: o nome está certo, e a conta é a certa?
[66]

$ smr-send
! smr-send: error: faltam argumentos obrigatórios: <MAILBOX>...
! smr-send: hint: smr-send --help
[64]

$ smr-recv --receipt talvez
! smr-recv: error: valor inválido 'talvez' para '--receipt <WHEN>' [valores possíveis: ask, never, always]
! smr-recv: hint: smr-recv --help
[64]

$ smr-recv --jsn
! smr-recv: error: argumento inesperado '--jsn'
! smr-recv: hint: existe um argumento parecido: '--json'
! smr-recv: hint: smr-recv --help
[64]

$ smr-recv
! smr-recv: error: não há nada por ler
! smr-recv: hint: smr-ls
[66]

$ smr-receipt --export /nenhures/x.zip [ID]
! smr-receipt: error: não foi possível criar um ficheiro em "/nenhures": o ficheiro ou a pasta não existe (erro 2), em [..]
! smr-receipt: hint: --export com outro FILE
[73]

$ printf 'sever = "x"\n' > c.toml; smr-ls --config c.toml
! smr-ls: error: "c.toml": chave desconhecida "sever"; queria dizer "server"
! smr-ls: hint: o client.toml está certo?
[78]

# what comes from outside is not translated, even where it says what we say
$ touch 'it is empty'; smr-receipt --verify 'it is empty'
! smr-receipt: error: "it is empty": não é um pacote de provas: [..]
! smr-receipt: hint: foi o autor que a fez assim? pergunte-lhe por outra via
[65]

# a pipe reads English; a terminal, its user's language
as bob
$ smr-receipt [ID]
! smr-receipt: error: a mensagem "[ID]" não foi lida
! smr-receipt: hint: smr-recv [ID]
[77]

$ TERM=dumb script -qec 'smr-recv --no-input' /dev/null | tr -d '\r'
De: ALICE MARTINS <alice@repo.example>
Para: bob@repo.example
Data: [..]
Assunto: Contrato
Id: [ID]
[assinado por ALICE MARTINS (alice@repo.example, dispositivo [..]) [TIME], classe D: cadeia até playground, não revogado]
|
olá

$ echo s | TERM=dumb script -qec 'smr-recv --receipt ask [ID]' /dev/null | tr -d '\r' | grep -c 'alice@repo.example pede um recibo; dar? \[s/N\]'
1

as alice
$ smr-receipt --status [ID] | cut -f3,6
read	good
$ smr-receipt --status --json [ID] | jq -r '.state, .verdict'
read
good
$ TERM=dumb script -qec 'smr-receipt --status [ID]' /dev/null | tr -d '\r'
[ID]  bob  lida  [..]  D  bom

$ smr-receipt --export prova.zip [ID]
$ smr-receipt --verify prova.zip | head -1
message [ID] is good as of [TIME1]
$ TERM=dumb script -qec 'smr-receipt --verify prova.zip' /dev/null | tr -d '\r'
a mensagem [ID] é boa à data de [TIME1]
assinado por ALICE MARTINS (alice@repo.example, dispositivo [..]) [TIME2], classe D: cadeia até playground, não revogado
lida por bob@repo.example: assinado por BOB COSTA (bob@repo.example, dispositivo [..]) [TIME4], classe D: cadeia até playground, não revogado
carimbo: copy em alice número 1, [TIME3]
carimbo: message em bob número 1, [TIME5]
carimbos do repositório com a chave [FP]

$ TERM=dumb script -qec 'smr-ls sent' /dev/null | tr -d '\r' | sed 's/  */ /g' | cut -d' ' -f1,3
1 lida
$ TERM=dumb script -qec 'smr-ls users bob' /dev/null | tr -d '\r' | sed 's/  */ /g'
bob BOB COSTA em linha

smrd stop
$ smr-ls
! smr-ls: error: não se consegue chegar ao smrd em "[..]": ligação recusada (erro 111)
! smr-ls: hint: o smrd está a correr, e o endereço está certo?
[75]

smrd start
$ smr-login --lock; smr-ls
! smr-ls: error: alice@repo.example está bloqueada
! smr-ls: hint: smr-login --unlock
[69]

$ unset CREDENTIALS_DIRECTORY; printf '#!/bin/sh\necho "$1" >&2; exit 1\n' > pergunta; chmod +x pergunta; SMR_ASKPASS=./pergunta smr-login --unlock
! frase-passe do porta-chaves de alice@repo.example: 
! smr-login: error: não foi dada nenhuma frase-passe
! smr-login: hint: execute-o de novo
[77]

$ unset CREDENTIALS_DIRECTORY; smr-login --no-input
! smr-login: error: falta a frase-passe, e não há a quem a pedir
! smr-login: hint: --passphrase-file, ou execute-o num terminal
[77]

$ smr-login --check 2> /dev/null | cut -f1-3 | grep clock
warn	clock	not compared without a session
$ TERM=dumb script -qec 'smr-login --check' /dev/null | tr -d '\r' | grep -A1 relógio
aviso	relógio	não se compara sem sessão
smr-login: hint: smr-login

$ smr-rm -h | head -3
Apagar a minha cópia de mensagens recebidas ou enviadas
|
Utilização: smr-rm [OPÇÕES] <ID>...

# every other language reads English
speak de_DE.UTF-8
$ smr-rm
! smr-rm: error: the following required arguments were not provided: <ID>...
! smr-rm: hint: smr-rm --help
[64]
