//! The table: what is said in English, and the same in French. The first pattern that fits counts, so what is more special stands first.

mod fields;

use super::Pair;

/// Every pair.
pub(super) fn pairs() -> impl Iterator<Item = &'static Pair> {
    PAIRS.iter().chain(fields::PAIRS)
}

const PAIRS: &[Pair] = &[
    // What is asked of something that is not there, or not so.
    ("there is no user {}: write it as a [[user]] and apply it", "il n’y a pas d’utilisateur {} : créez-le d’abord"),
    ("no user is named {}", "aucun utilisateur ne s’appelle {}"),
    ("no check is named {}", "aucun contrôle ne s’appelle {}"),
    (
        "no incident {}: `sitepulse-collector incidents --all` lists what there is",
        "aucun incident {} : voyez la liste des incidents",
    ),
    ("no check {}: see `sitepulse-collector checks`", "aucun contrôle {} : voyez la liste des contrôles"),
    ("no agent {}: see `sitepulse-collector agents`", "aucun agent {} : voyez la liste des agents"),
    ("no silence {}: see `sitepulse-collector silences --all`", "aucune sourdine {} : voyez la liste des sourdines"),
    ("no join token {}: see `/api/v1/join-tokens`", "aucun jeton d’inscription {} : voyez la liste des jetons"),
    ("no playbook {}: `sitepulse-collector playbooks` lists them", "aucune procédure {} : voyez leur liste"),
    ("no run {}: `sitepulse-collector playbook runs --all` lists them", "aucune exécution {} : voyez leur liste"),
    ("no finding {}: `sitepulse-collector findings` lists them", "aucun constat {} : voyez leur liste"),
    (
        "there is no finding {}: `sitepulse-collector findings` lists what there is",
        "il n’y a pas de constat {} : voyez leur liste",
    ),
    ("there is no schedule {}: see `sitepulse-collector oncall`", "il n’y a pas de planning {} : voyez l’astreinte"),
    ("there is no message {} (INCIDENT/STEP/CHANNEL)", "il n’y a pas de message {} (INCIDENT/ÉTAPE/CANAL)"),
    ("there is no such path: docs/api.md lists them", "cette adresse n’existe pas : docs/api.md les énumère"),
    (
        "there is no job {}: those that are over are kept for a while only",
        "il n’y a pas de tâche {} : celles qui sont finies ne sont gardées qu’un temps",
    ),
    ("there is no kind {} of job: {}", "il n’y a pas de tâche de type {} : {}"),
    ("there is no state {} of jobs: {}", "les tâches n’ont pas d’état {} : {}"),
    ("the check is retired: apply it again first", "le contrôle est retiré : appliquez-le d’abord à nouveau"),
    ("docs/api.md lists paths and methods", "docs/api.md énumère adresses et méthodes"),
    (
        "this is no cursor that a list gave: begin without one",
        "ce n’est pas un repère donné par une liste : commencez sans",
    ),
    ("the collector is shutting down: try again", "le collecteur s’arrête : réessayez"),
    ("the collector is shutting down", "le collecteur s’arrête"),
    (
        "other questions keep the store's readers busy: try again, and ask for shorter periods",
        "d’autres questions occupent la base : réessayez, sur une période plus courte",
    ),
    // What is wrong with the audit log.
    (
        "entry {} is missing: nothing from there on is vouched for",
        "l’entrée {} manque : rien n’est garanti à partir de là",
    ),
    (
        "entry {} is not as it was written: nothing from there on is vouched for",
        "l’entrée {} n’est pas telle qu’elle fut écrite : rien n’est garanti à partir de là",
    ),
    (
        "the log ends with entry {}, the newest that was written is {}: its end was cut off or changed",
        "le journal finit par l’entrée {}, la dernière qui fut écrite est {} : sa fin a été coupée ou changée",
    ),
    // Who may.
    ("this credential reaches as far as {}; this asks for {}", "cet accès va jusqu’à {} ; il faut {}"),
    (
        "the request comes from another site: send it from the console itself, or use a token",
        "la demande vient d’un autre site : envoyez-la depuis la console, ou avec un jeton",
    ),
    (
        "this changes what user {} may do, or who may sign in as them: only an admin may set, change or retire a user's role, change the email of one who has a role, or write a user that a sign-in made",
        "cela change ce que peut l’utilisateur {}, ou qui se connecte à son nom : seul un administrateur fixe, change ou retire un rôle, change l’adresse de qui en a un, ou récrit un utilisateur né d’une connexion",
    ),
    (
        "nothing was changed: it cannot be written to the audit log: {}",
        "rien n’a changé : le journal d’audit ne peut pas être écrit : {}",
    ),
    // Somebody was faster.
    (
        "it changed since it was read: read it again, look what changed, and send the change with its new `ETag`",
        "cela a changé depuis la lecture : relisez, voyez ce qui a changé, puis recommencez",
    ),
    (
        "there is nothing of this id any more: send it without `If-Match` to make it",
        "il n’y a plus rien de ce nom : créez-le à nouveau",
    ),
    (
        "there is one of this id already: choose another, or send its `ETag` as `If-Match`",
        "ce nom est déjà pris : choisissez-en un autre",
    ),
    // Lengths of time, instants, names.
    (
        "a duration is empty: write a number and a unit, as in 30s, 10m, 2h or 7d",
        "la durée est vide : écrivez un nombre et une unité, comme 30s, 10m, 2h ou 7d",
    ),
    (
        "duration {} has no unit after {}: use one of us, ms, s, m, h, d, as in {}s",
        "la durée {} n’a pas d’unité après {} : us, ms, s, m, h ou d, comme {}s",
    ),
    (
        "duration {} has an unknown unit {}: use one of us, ms, s, m, h, d",
        "la durée {} a une unité inconnue, {} : us, ms, s, m, h ou d",
    ),
    (
        "duration {} is not a number followed by a unit: write 30s, 10m, 2h or 7d",
        "la durée {} n’est pas un nombre suivi d’une unité : écrivez 30s, 10m, 2h ou 7d",
    ),
    (
        "duration {} must go from larger to smaller units, each once, as in 1h30m",
        "la durée {} doit aller de la plus grande unité à la plus petite, chacune une fois, comme 1h30m",
    ),
    (
        "duration {} is out of range: at most 100000000d, at least 1us steps",
        "la durée {} est hors limites : 100000000d au plus, par pas de 1us au moins",
    ),
    ("at lies ahead: a score is made of evidence", "ce moment est à venir : un score vient de ce qui fut mesuré"),
    (
        "{} is not an instant: write RFC 3339 (2026-11-22T10:00:00Z), a day (2026-11-22), unix seconds, \"now\", or a duration back (-2h) or ahead (+2h)",
        "{} n’est pas un instant : écrivez 2026-11-22T10:00:00Z, un jour (2026-11-22), des secondes unix, \"now\" ou une durée en arrière (-2h) ou en avant (+2h)",
    ),
    (
        "agent {} is not a slug: use 1 to {} of a-z, 0-9, '-', '_' and '.', starting with a letter or digit",
        "{} n’est pas un nom d’agent : 1 à {} caractères parmi a-z, 0-9, « - », « _ » et « . », une lettre ou un chiffre d’abord",
    ),
    (
        "region {} is not a slug: use 1 to {} of a-z, 0-9, '-', '_' and '.', starting with a letter or digit",
        "{} n’est pas un nom de région : 1 à {} caractères parmi a-z, 0-9, « - », « _ » et « . », une lettre ou un chiffre d’abord",
    ),
    (
        "{} is not a slug: use 1 to {} of a-z, 0-9, '-', '_' and '.', starting with a letter or digit",
        "{} n’est pas un nom : 1 à {} caractères parmi a-z, 0-9, « - », « _ » et « . », une lettre ou un chiffre d’abord",
    ),
    (
        "{} is no IANA time zone: write a name like \"Europe/Paris\" or \"UTC\"",
        "{} n’est pas un fuseau horaire : écrivez un nom comme \"Europe/Paris\" ou \"UTC\"",
    ),
    (
        "{} is no time zone: write its IANA name, as in \"Europe/Berlin\"",
        "{} n’est pas un fuseau horaire : écrivez son nom, comme \"Europe/Berlin\"",
    ),
    // Weights and suspensions.
    ("{} is no weight: write a number from 0 to 1000", "{} n’est pas un poids : écrivez un nombre de 0 à 1000"),
    (
        "a weight is a number from 0 to 1000 with at most three decimals",
        "un poids est un nombre de 0 à 1000, avec trois décimales au plus",
    ),
    ("a weight needs its value in `weight`", "il manque la valeur du poids"),
    (
        "a check's weight is part of its definition: change it in its file and apply that, or name an agent",
        "le poids d’un contrôle fait partie de sa définition : changez-le là, ou nommez un agent",
    ),
    (
        "a suspension needs a reason: one line of 1 to 500 bytes",
        "une suspension demande une raison : une ligne de 1 à 500 octets",
    ),
    (
        "the suspension would be over already: `until` must lie ahead",
        "la suspension serait déjà finie : sa fin doit être à venir",
    ),
    (
        "a suspension lasts 366 days at most: give an earlier `until`",
        "une suspension dure 366 jours au plus : donnez une fin plus proche",
    ),
    (
        "a suspension lasts 366 days at most: give an earlier end",
        "une suspension dure 366 jours au plus : donnez une fin plus proche",
    ),
    (
        "{} is not the agent's name: write {} to revoke it",
        "{} n’est pas le nom de l’agent : écrivez {} pour le révoquer",
    ),
    (
        "agent {} is the collector's own observer and cannot be revoked: retire the heartbeat checks",
        "l’agent {} est l’observateur du collecteur et ne peut pas être révoqué : retirez les contrôles heartbeat",
    ),
    // Joining.
    (
        "a join token lives 1 hour at most: give a ttl from 1s to 1h",
        "un jeton d’inscription vaut une heure au plus : de 1s à 1h",
    ),
    (
        "region {} is the collector's own: choose another",
        "la région {} est celle du collecteur : choisissez-en une autre",
    ),
    (
        "the collector has no address to put into a token: start `sitepulse-collector serve` once, or set `advertise`",
        "le collecteur n’a pas d’adresse à mettre dans un jeton : lancez une fois `sitepulse-collector serve`, ou fixez `advertise`",
    ),
    // Incidents, silences, stand-ins.
    (
        "incident {}: another one of the same kind is newer: see to {}, or open that one again",
        "incident {} : il y en a un plus récent du même type : occupez-vous de {}, ou rouvrez celui-là",
    ),
    ("it is only suspected: it opens when it is confirmed", "il n’est que soupçonné : il s’ouvre une fois confirmé"),
    ("it is resolved", "il est résolu"),
    ("it is acknowledged already", "il est déjà pris en charge"),
    ("it is open", "il est ouvert"),
    ("{} is one line of 1 to {} bytes", "{} : une ligne de 1 à {} octets"),
    ("{} has 1 to {} bytes, this one has {}", "{} : de 1 à {} octets, il y en a {}"),
    ("{} is plain text: take the control characters out", "{} : du texte simple, sans caractères de contrôle"),
    (
        "a silence needs a reason: one line of 1 to 500 bytes",
        "une sourdine demande une raison : une ligne de 1 à 500 octets",
    ),
    (
        "the silence would be over already: `until` must lie ahead, and after `from`",
        "la sourdine serait déjà finie : sa fin doit être à venir, et après son début",
    ),
    ("there are {} silences: end some with `unsilence`", "il y a {} sourdines : terminez-en"),
    ("silence {} is over", "la sourdine {} est finie"),
    (
        "name what is silenced: checks, groups, tags, agents, or everything",
        "nommez ce qui est mis en sourdine : contrôles, groupes, étiquettes, agents, ou tout",
    ),
    ("everything is silenced with no names beside it", "tout est mis en sourdine, sans aucun nom à côté"),
    ("a silence names {} at most", "une sourdine en nomme {} au plus"),
    ("no {} {}: nothing would be silenced", "« {} » {} n’existe pas : rien ne serait mis en sourdine"),
    (
        "it would be over already: give an end after its beginning and now",
        "ce serait déjà fini : donnez une fin après le début et après maintenant",
    ),
    (
        "it lasts 366 days at most: give an earlier end, or change the schedule",
        "cela dure 366 jours au plus : donnez une fin plus proche, ou changez le planning",
    ),
    ("override {} of {} is over already", "le remplacement {} de {} est déjà fini"),
    (
        "the schedule {} has no override {} that was given on the spot: {}",
        "le planning {} n’a pas de remplacement {} donné sur place : {}",
    ),
    // Messages.
    (
        "message {} waits to be sent for the first time: there is nothing to try again",
        "le message {} attend son premier envoi : il n’y a rien à réessayer",
    ),
    ("message {} was delivered", "le message {} a été remis"),
    ("message {} is being sent right now", "le message {} est en cours d’envoi"),
    (
        "a later message about the incident reached channel {}: {} must not come after it",
        "un message plus récent de l’incident a atteint le canal {} : {} ne doit pas venir après",
    ),
    // Findings, playbooks, jobs.
    ("finding {} is over: there is nothing to acknowledge", "le constat {} est clos : il n’y a rien à accepter"),
    (
        "finding {} is not acknowledged: there is nothing to take back",
        "le constat {} n’est pas accepté : il n’y a rien à reprendre",
    ),
    (
        "say why it may stay, or what is done about it: a note of 1 to {} characters",
        "dites pourquoi il peut rester, ou ce qui est fait : une note de 1 à {} caractères",
    ),
    ("{} playbooks run: finish or abandon some", "{} procédures sont en cours : finissez-en ou abandonnez-en"),
    ("it is {} already: start another one", "elle est déjà dans l’état « {} » : commencez-en une autre"),
    ("it has no step {}: its steps are {}", "elle n’a pas d’étape {} : ses étapes sont {}"),
    ("step {} is marked already: take that back first", "l’étape {} est déjà cochée : annulez cela d’abord"),
    ("step {} is open: there is nothing to take back", "l’étape {} est ouverte : il n’y a rien à annuler"),
    (
        "open steps are left: {}; tick them, skip them with a reason, or abandon the run",
        "il reste des étapes : {} ; cochez-les, passez-les avec une raison, ou abandonnez",
    ),
    ("it has {} entries: finish or abandon it", "elle a {} entrées : finissez-la ou abandonnez-la"),
    (
        "say why it is skipped: one line of 1 to {} characters",
        "dites pourquoi elle est passée : une ligne de 1 à {} caractères",
    ),
    (
        "say why it is abandoned: one line of 1 to {} characters",
        "dites pourquoi elle est abandonnée : une ligne de 1 à {} caractères",
    ),
    ("a note is plain text of 1 to {} characters", "une note est du texte simple, de 1 à {} caractères"),
    ("priority {}: write 0 to 1000", "priorité {} : de 0 à 1000"),
    ("job {} is over already: it is {}", "la tâche {} est déjà finie : {}"),
    (
        "job {} is {}: only what failed or was cancelled can be taken up again",
        "la tâche {} est {} : seul ce qui a échoué ou fut annulé peut être repris",
    ),
    (
        "another job of its kind for the same thing runs already: that one does it",
        "une autre tâche du même type est déjà en cours pour la même chose : c’est elle qui s’en charge",
    ),
    (
        "{} jobs of the kind {} wait already: ask again when some are done, or cancel some (`sitepulse-collector jobs --state waiting --kind {}` lists them)",
        "{} tâches du type {} attendent déjà : redemandez quand il y en aura moins, ou annulez-en (`sitepulse-collector jobs --state waiting --kind {}` les énumère)",
    ),
    (
        "jobs of the kind {} come by themselves: nobody asks for them",
        "les tâches du type {} viennent d’elles-mêmes : personne ne les demande",
    ),
    ("jobs of the kind {} are asked for with the access {}", "les tâches du type {} se demandent avec l’accès {}"),
    ("jobs of the kind {} are for admins", "les tâches du type {} sont réservées aux administrateurs"),
    ("`args`: no check that agents run fits", "aucun contrôle exécuté par des agents ne convient"),
    ("`args`: name a `group`, a `tag` or `checks`", "nommez un groupe, une étiquette ou des contrôles"),
    ("`args`: a backup is told nothing", "une sauvegarde ne prend aucun argument"),
    (
        "messages about incidents always go first: they have no other priority",
        "les messages d’incident passent toujours en premier : leur priorité ne change pas",
    ),
    ("message {} was given up: nobody sends it any more", "le message {} a été abandonné : plus personne ne l’envoie"),
    ("message {} was taken back already", "le message {} a déjà été retiré"),
    ("job {} is {}: only what waits has a place in the order", "la tâche {} est {} : seul ce qui attend a un rang"),
    (
        "{} checks are being run already: ask again in a moment",
        "{} contrôles sont déjà en cours : redemandez dans un instant",
    ),
    ("the check is being run already: wait for that", "le contrôle est déjà en cours : attendez-le"),
    // Tokens, users.
    ("the ttl must be longer than nothing and at most {}", "la durée doit être positive, et de {} au plus"),
    ("the note must be 1 to {} bytes on one line", "la note a de 1 à {} octets, sur une ligne"),
    ("there are {} tokens already: revoke some", "il y a déjà {} jetons : révoquez-en"),
    ("an API token lives 1s to 366d", "un jeton d’API vaut de 1s à 366d"),
    ("scope {}: use read, respond, edit or admin", "portée {} : read, respond, edit ou admin"),
    (
        "write an address like \"ana@example.com\", or leave it out",
        "écrivez une adresse comme \"ana@example.com\", ou laissez vide",
    ),
    ("write 1 to {} bytes on one line, or leave it out", "écrivez de 1 à {} octets sur une ligne, ou laissez vide"),
    // Files: keys and their values.
    ("{}; nothing was applied", "{} ; rien n’a été appliqué"),
    ("1 fault", "1 erreur"),
    ("{} faults", "{} erreurs"),
    ("nothing was applied", "rien n’a été appliqué"),
    ("not valid TOML: {}", "TOML incorrect : {}"),
    ("{} is missing: add {}", "il manque {} : ajoutez {}"),
    ("{} is missing: write {}", "il manque {} : écrivez {}"),
    ("unknown kind {}: {}", "type {} inconnu : {}"),
    ("unknown key {} of kind {}: {}", "clé {} inconnue du type {} : {}"),
    ("unknown key {} in {}: {}", "clé {} inconnue dans {} : {}"),
    ("unknown key {}: {}", "clé {} inconnue : {}"),
    ("did you mean {}?", "vouliez-vous dire {} ?"),
    ("known are {}", "connus : {}"),
    ("{} has no unit: write a text, like {}", "{} n’a pas d’unité : écrivez un texte, comme {}"),
    ("{} is {}: allowed are {} to {}", "{} vaut {} : de {} à {}"),
    ("{} is {}: use whole milliseconds", "{} vaut {} : en millisecondes entières"),
    ("{} is {}: write a text, like {}", "{} est {} : écrivez un texte, comme {}"),
    ("{} is {}: write a list, like {}", "{} est {} : écrivez une liste, comme {}"),
    ("{} is {}: write a text in quotes", "{} est {} : écrivez un texte entre guillemets"),
    ("weight is {}: write a number, like 2 or 0.5", "weight est {} : écrivez un nombre, comme 2 ou 0.5"),
    (
        "weight is {}: write a number from 0 to 1000 with at most three decimals",
        "weight vaut {} : écrivez un nombre de 0 à 1000, avec trois décimales au plus",
    ),
    ("{} is {}: write a whole number from 1 to {}", "{} vaut {} : écrivez un nombre entier de 1 à {}"),
    ("retries: write a whole number from 0 to {}", "retries : écrivez un nombre entier de 0 à {}"),
    ("class {} is unknown: write one of {}", "classe {} inconnue : {}"),
    ("region {} is named twice: once is enough", "la région {} est nommée deux fois : une suffit"),
    ("tag {} is named twice: once is enough", "l’étiquette {} est nommée deux fois : une suffit"),
    (
        "regions is empty, so nobody would run the check: name a region, or leave the key out for every region",
        "regions est vide, personne n’exécuterait le contrôle : nommez une région, ou retirez la clé pour toutes",
    ),
    ("found {}, write {}", "{} trouvé, écrivez {}"),
    ("{} is not known: {}", "{} n’est pas connu : {}"),
    (
        "a text in quotes, and for a time its unit, as in \"10s\"",
        "un texte entre guillemets, et pour un temps son unité, comme \"10s\"",
    ),
    ("a whole number, not below 0", "un nombre entier, pas sous 0"),
    (
        "the id is already used at {}: give each {} an id of its own",
        "ce nom est déjà pris à {} : donnez à chaque {} le sien",
    ),
    (
        "check {} is defined twice: give each check an id of its own",
        "le contrôle {} est défini deux fois : donnez à chacun son nom",
    ),
    (
        "there is no channel {} any more: apply one, and this message is sent",
        "il n’y a plus de canal {} : créez-le, et ce message part",
    ),
    ("there is no {} {}: {}", "« {} » {} n’existe pas : {}"),
    ("write it as a {}, or leave it out", "écrivez-le comme {}, ou retirez-le"),
    ("put a check into it with {}, or leave it out", "mettez-y un contrôle avec {}, ou retirez-le"),
    ("give it to a check with {}, or leave it out", "donnez-la à un contrôle avec {}, ou retirez-la"),
    (
        "a check cannot hang on itself ({}): leave one of these parents out",
        "un contrôle ne peut dépendre de lui-même ({}) : retirez un de ces parents",
    ),
    // Checks.
    ("it must start with {}", "elle doit commencer par {}"),
    (
        "it holds a space or a control character: write them as %20 and the like",
        "elle contient une espace ou un caractère de contrôle : écrivez-les %20, etc.",
    ),
    (
        "it holds a character outside ASCII: write hosts as xn--..., paths as %C3%A9 and the like",
        "elle contient un caractère hors ASCII : écrivez les hôtes xn--..., les chemins %C3%A9, etc.",
    ),
    (
        "a fragment (#...) never reaches a server: leave it out",
        "un fragment (#...) n’atteint jamais un serveur : retirez-le",
    ),
    (
        "a user or password in the URL would be shown to everybody: leave it out",
        "un nom ou un mot de passe dans l’URL serait montré à tous : retirez-le",
    ),
    ("it names no port: write host:port, as in {}", "il manque le port : écrivez hôte:port, comme {}"),
    ("it names no host", "il manque l’hôte"),
    ("its port is not a number from 1 to 65535", "son port n’est pas un nombre de 1 à 65535"),
    (
        "it is no host name: use letters, digits, '-' and '.'",
        "ce n’est pas un nom d’hôte : lettres, chiffres, « - » et « . »",
    ),
    (
        "it is no host name: a part between two dots is empty",
        "ce n’est pas un nom d’hôte : une partie entre deux points est vide",
    ),
    (
        "it is no host: write a name or an address alone, without a port or brackets",
        "ce n’est pas un hôte : écrivez un nom ou une adresse, sans port ni crochets",
    ),
    ("quorum, column {}: {}", "quorum, colonne {} : {}"),
    ("{} is no quorum: {}", "{} n’est pas un quorum : {}"),
    (
        "use \"any\", \"majority\", \"all\", \"share >= 0.6\" or \"agents >= 2\"",
        "\"any\", \"majority\", \"all\", \"share >= 0.6\" ou \"agents >= 2\"",
    ),
    ("assertion {}: {} (at column {} of the assertion)", "assertion {} : {} (à sa colonne {})"),
    ("{} (at column {} of the assertion)", "{} (à la colonne {} de l’assertion)"),
    ("{} is nothing to look at: {}", "{} n’est rien qui se regarde : {}"),
    ("a check of kind {} offers {}", "un contrôle de type {} offre {}"),
    ("expected {}, found {}", "attendu : {} ; trouvé : {}"),
    ("expected {} after {}, found {}", "attendu : {} après {} ; trouvé : {}"),
    ("the number needs a unit: use {}", "le nombre demande une unité : {}"),
    ("{} is not tested by {}: use {}", "{} ne se compare pas par {} : {}"),
    ("a whole number, as in 200", "un nombre entier, comme 200"),
    ("a duration, as in 800ms", "une durée, comme 800ms"),
    ("{} take up to {}: at most {} are allowed, so lower {}", "{} durent jusqu’à {} : {} au plus, baissez {}"),
    ("{} retries after a timeout of {}", "{} reprises après un délai de {}"),
    (
        "{} may not stand here in the clear: keep it with `sitepulse-collector secret set NAME` and write \"secret:NAME\"",
        "{} ne peut pas figurer ici en clair : gardez-le avec `sitepulse-collector secret set NOM` et écrivez \"secret:NOM\"",
    ),
    (
        "check {} refers to secret {}, which is not set: `sitepulse-collector secret set {}`",
        "le contrôle {} utilise le secret {}, qui n’est pas fixé : `sitepulse-collector secret set {}`",
    ),
    (
        "channel {} refers to secret {}, which is not set, and its messages wait: `sitepulse-collector secret set {}`",
        "le canal {} utilise le secret {}, qui n’est pas fixé, et ses messages attendent : `sitepulse-collector secret set {}`",
    ),
    // Escalations, channels, schedules, windows, promises, models.
    (
        "the schedule has {} overrides that are not over: take some back first",
        "le planning a {} remplacements qui ne sont pas finis : reprenez-en d’abord",
    ),
    ("beyond the calendar: write a nearer date", "au-delà du calendrier : écrivez une date plus proche"),
    ("{} is none of the dates that the rule gives: {}", "{} n’est pas une date de la règle : {}"),
    ("the rule gives no date at all", "la règle ne donne aucune date"),
    ("begin with the first one, {}", "commencez par la première, {}"),
    ("{} is no IANA time zone: {}", "{} n’est pas un fuseau horaire : {}"),
    ("write one like Europe/Paris", "écrivez-en un comme Europe/Paris"),
    (
        "{} is no instant: write 2026-12-01T02:00 (on the wall of zone) or 2026-12-01T02:00:00Z",
        "{} n’est pas un instant : écrivez 2026-12-01T02:00 (à l’heure du fuseau) ou 2026-12-01T02:00:00Z",
    ),
    ("{}: allowed are the years {} to {}", "{} : années {} à {}"),
    ("{}: use whole seconds", "{} : en secondes entières"),
    ("at most 7d are allowed", "7d au plus"),
    (
        "it must be later than the level before: `after` counts from when the incident opened",
        "il doit venir après le niveau précédent : le délai compte depuis l’ouverture de l’incident",
    ),
    ("{} levels: write 1 to {}, as in {}", "{} niveaux : de 1 à {}, comme {}"),
    ("{} targets: name 1 to {}", "{} destinataires : de 1 à {}"),
    ("at most {} repetitions are allowed", "{} répétitions au plus"),
    (
        "write 1m to 7d: a restart of the collector takes seconds",
        "de 1m à 7d : un redémarrage du collecteur prend quelques secondes",
    ),
    ("write 1m to 7d", "de 1m à 7d"),
    (
        "{} is no kind of target: write a channel's id, \"user:ID\" or \"oncall:SCHEDULE\"",
        "{} n’est pas un destinataire : écrivez le nom d’un canal, \"user:NOM\" ou \"oncall:PLANNING\"",
    ),
    ("{} addresses: write 1 to {}", "{} adresses : de 1 à {}"),
    (
        "{} is no mail address: write ops@example.com or \"Ops <ops@example.com>\"",
        "{} n’est pas une adresse : écrivez ops@example.com ou \"Ops <ops@example.com>\"",
    ),
    ("{} bytes: write 1 to {}", "{} octets : de 1 à {}"),
    ("write it without line breaks and control characters", "écrivez-le sans saut de ligne ni caractère de contrôle"),
    ("write https://..., http://... or \"secret:NAME\"", "écrivez https://..., http://... ou \"secret:NOM\""),
    (
        "a name and a password do not stand in an address: write \"secret:NAME\" for all of it",
        "un nom et un mot de passe ne figurent pas dans une adresse : écrivez \"secret:NOM\" pour le tout",
    ),
    (
        "mail goes in the clear to this machine alone: use \"starttls\" or \"tls\"",
        "le courrier ne va en clair qu’à cette machine : \"starttls\" ou \"tls\"",
    ),
    (
        "a user needs a password: add password = \"secret:NAME\"",
        "un utilisateur demande un mot de passe : ajoutez password = \"secret:NOM\"",
    ),
    ("a password needs a user: add user = \"NAME\"", "un mot de passe demande un utilisateur : ajoutez user = \"NOM\""),
    ("write HOST:PORT, like \"smtp.example:587\"", "écrivez HÔTE:PORT, comme \"smtp.example:587\""),
    ("kind {} needs {}: add {} = {}", "le type {} demande {} : ajoutez {} = {}"),
    (
        "it covers nothing: name checks, groups or both, as in checks = [\"shop\"]",
        "cela ne couvre rien : nommez des contrôles, des groupes, ou les deux, comme checks = [\"shop\"]",
    ),
    ("it covers nothing: name {}", "cela ne couvre rien : nommez {}"),
    (
        "{} is no share of the time: write a percentage above 0% of at most four decimals, like \"99.9%\"",
        "{} n’est pas une part du temps : un pourcentage au-dessus de 0 %, quatre décimales au plus, comme \"99.9%\"",
    ),
    (
        "{} says nothing about how time counts: write \"excluded\", \"up\", \"down\" or \"by_share\"",
        "{} ne dit pas comment compte le temps : \"excluded\", \"up\", \"down\" ou \"by_share\"",
    ),
    ("{} is the built-in policy: choose another id", "{} est la politique intégrée : choisissez un autre nom"),
    (
        "{} is no entry: write days and times, like \"mon-fri 08:00-20:00\" or \"sat 09:00-24:00\"",
        "{} n’est pas une entrée : des jours et des heures, comme \"mon-fri 08:00-20:00\" ou \"sat 09:00-24:00\"",
    ),
    (
        "{} ends before it begins: for hours over midnight name both days, like \"fri 22:00-sat 06:00\"",
        "{} finit avant de commencer : au-delà de minuit nommez les deux jours, comme \"fri 22:00-sat 06:00\"",
    ),
    (
        "{} is no day: write year, month and day, like \"2026-12-25\"",
        "{} n’est pas un jour : année, mois et jour, comme \"2026-12-25\"",
    ),
    (
        "the bands must lie between 0 and 100, \"warning\" below \"critical\": as in warning = 35, critical = 70",
        "les seuils vont de 0 à 100, \"warning\" sous \"critical\", comme warning = 35, critical = 70",
    ),
    ("{} is out of range: {} to {}", "{} est hors limites : de {} à {}"),
    ("it is a part, from 0 to 1: as in floor = 0.6", "c’est une part, de 0 à 1, comme floor = 0.6"),
    ("weights and shares are numbers from 0 to 1000000", "poids et parts sont des nombres de 0 à 1000000"),
    (
        "none of its signals has a share: give one a share, or the module the weight 0",
        "aucun de ses signaux n’a de part : donnez-en une, ou le poids 0 au module",
    ),
    ("no module has a weight: nothing would have a score", "aucun module n’a de poids : rien n’aurait de note"),
    ("{}: \"warning\" must lie {} \"critical\"", "{} : \"warning\" doit être {} \"critical\""),
    ("{}: allowed are {} to {}", "{} : de {} à {}"),
    ("use {}", "utilisez {}"),
    ("expect has {} assertions: at most {} are allowed", "expect a {} assertions : {} au plus"),
    ("assertion {}: {}", "assertion {} : {}"),
    ("equality is written \"==\"", "l’égalité s’écrit \"==\""),
    ("nothing may follow here, but {} does; {}", "rien ne peut suivre ici, mais {} suit ; {}"),
    ("us, ms, s, m or h, as in 800ms", "us, ms, s, m ou h, comme 800ms"),
    ("B, KB, MB, GB, KiB, MiB or GiB", "B, KB, MB, GB, KiB, MiB ou GiB"),
    // Values of others. Of states, both a job and a run are feminine.
    ("waiting", "en attente"),
    ("running", "en cours"),
    ("done", "faite"),
    ("failed", "échouée"),
    ("cancelled", "annulée"),
    ("finished", "terminée"),
    ("abandoned", "abandonnée"),
    ("a title", "le titre"),
    ("a comment", "le commentaire"),
    ("a note", "la note"),
    ("a post-mortem", "le post-mortem"),
    ("a name", "le nom"),
    ("a text", "un texte"),
    ("a whole number", "un nombre entier"),
    ("a number", "un nombre"),
    ("true or false", "vrai ou faux"),
    ("a date", "une date"),
    ("a list", "une liste"),
    ("a table", "une table"),
    ("below", "sous"),
    ("above", "au-dessus de"),
];
