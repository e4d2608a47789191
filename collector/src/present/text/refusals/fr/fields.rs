//! What stands in fields of forms: addresses, times, assertions, rules; and what people are kept from for other reasons than those of the table before.

use super::super::Pair;

/// More pairs.
pub(super) const PAIRS: &[Pair] = &[
    // An address, a name, a header of a check.
    ("it has {} bytes, at most {} are allowed", "il y a {} octets, {} au plus"),
    ("{} cannot stand in a URL: write {}", "{} ne peut figurer dans une URL : écrivez {}"),
    ("the bracket before the IPv6 address is not closed", "le crochet devant l’adresse IPv6 n’est pas fermé"),
    ("what stands in brackets is no IPv6 address", "ce qui est entre crochets n’est pas une adresse IPv6"),
    ("after the bracket only :port may follow", "après le crochet ne peut venir que :port"),
    (
        "an IPv6 address stands in brackets, as in [2001:db8::1]:443",
        "une adresse IPv6 s’écrit entre crochets, comme [2001:db8::1]:443",
    ),
    (
        "it holds a character outside ASCII: write such names as xn--...",
        "il y a un caractère hors ASCII : écrivez de tels noms xn--...",
    ),
    ("a name has at most 253 characters", "un nom a 253 caractères au plus"),
    (
        "it is no host name: a part has more than 63 characters",
        "ce n’est pas un nom d’hôte : une partie a plus de 63 caractères",
    ),
    (
        "it is no host name: a part may not start or end with '-'",
        "ce n’est pas un nom d’hôte : une partie ne commence ni ne finit par « - »",
    ),
    ("leave the dot at the end out", "retirez le point final"),
    ("it is no domain name, as in shop.example", "ce n’est pas un nom de domaine, comme shop.example"),
    (
        "a registered domain has two parts or more, as in shop.example",
        "un domaine enregistré a deux parties ou plus, comme shop.example",
    ),
    (
        "this is no header name: use letters, digits and '-', as in {}",
        "ce n’est pas un nom d’en-tête : lettres, chiffres et « - », comme {}",
    ),
    ("header {} is written by the prober: leave it out", "l’en-tête {} est écrit par l’agent : retirez-le"),
    ("a header's value has at most 8192 bytes", "la valeur d’un en-tête a 8192 octets au plus"),
    (
        "a header's value holds ASCII on one line: no line breaks, no control characters",
        "la valeur d’un en-tête est de l’ASCII sur une ligne : ni saut de ligne ni caractère de contrôle",
    ),
    (
        "{} names no secret: after {} write 1 to {} of a-z, 0-9, '-', '_' and '.'",
        "{} ne nomme pas de secret : après {} écrivez 1 à {} caractères parmi a-z, 0-9, « - », « _ » et « . »",
    ),
    (
        "at most 32 KiB of certificates are taken: name only the roots that are needed",
        "32 KiB de certificats au plus : seulement les racines nécessaires",
    ),
    (
        "a private key does not belong here: keep it as a secret",
        "une clé privée n’a pas sa place ici : gardez-la comme secret",
    ),
    (
        "it holds no certificate: write PEM, from -----BEGIN CERTIFICATE----- on",
        "il n’y a pas de certificat : écrivez du PEM, à partir de -----BEGIN CERTIFICATE-----",
    ),
    (
        "it is not PEM: each certificate stands between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----",
        "ce n’est pas du PEM : chaque certificat est entre -----BEGIN CERTIFICATE----- et -----END CERTIFICATE-----",
    ),
    ("it is not PEM: between the marks stands base64", "ce n’est pas du PEM : entre les marques vient du base64"),
    (
        "{} begins a variable: write {name}, with 1 to 64 of a-z, 0-9 and '_' inside",
        "{} commence une variable : écrivez {name}, avec 1 à 64 caractères parmi a-z, 0-9 et « _ »",
    ),
    ("{} retries of {} loads with a timeout of {} each", "{} reprises de {} chargements, chacun d’un délai de {}"),
    // When a heartbeat is due.
    (
        "names like @daily are not taken: write five fields, as in {}",
        "les noms comme @daily ne sont pas admis : écrivez cinq champs, comme {}",
    ),
    (
        "it has {} fields, write five: minute, hour, day of month, month, day of week, as in {}",
        "il y a {} champs, il en faut cinq : minute, heure, jour du mois, mois, jour de la semaine, comme {}",
    ),
    ("this day never comes: no such month has it", "ce jour ne vient jamais : aucun de ces mois ne l’a"),
    ("the {} {} is wrong: {}", "champ « {} », {} est incorrect : {}"),
    ("after / stands a step from 1", "après / vient un pas, à partir de 1"),
    ("a step follows * or a range, as in */15 or 10-50/5", "un pas suit * ou un intervalle, comme */15 ou 10-50/5"),
    (
        "the range is empty: swap its ends, or write two",
        "l’intervalle est vide : échangez ses bouts, ou écrivez-en deux",
    ),
    ("give either a period or cron, not both", "donnez soit une période, soit cron, pas les deux"),
    ("a heartbeat needs a period or cron", "un heartbeat demande une période ou cron"),
    ("only cron has a time zone", "seul cron a un fuseau horaire"),
    ("must be longer than nothing", "doit être positif"),
    ("this never comes", "cela ne vient jamais"),
    ("too long", "trop long"),
    (
        "minutes and hours are numbers, lists and ranges",
        "minutes et heures sont des nombres, des listes et des intervalles",
    ),
    (
        "{} has {} fields: write five, minute hour day-of-month month day-of-week, like {}",
        "{} a {} champs : écrivez-en cinq, minute heure jour-du-mois mois jour-de-la-semaine, comme {}",
    ),
    // What an assertion looks at.
    (
        "the regex is too large: repeat less often, as in .{0,100}, or write [ -~] for . and [0-9] for \\d",
        "l’expression est trop grande : répétez moins, comme .{0,100}, ou écrivez [ -~] pour . et [0-9] pour \\d",
    ),
    ("the JSON path is wrong at its character {}: {}", "le chemin JSON est incorrect au caractère {} : {}"),
    ("a JSON path may use \"..\" once", "un chemin JSON n’emploie \"..\" qu’une fois"),
    (
        "a filter in a JSON path starts with \"@\", not with \"$\"",
        "un filtre de chemin JSON commence par \"@\", pas par \"$\"",
    ),
    ("a JSON path may hold at most 3 commas", "un chemin JSON a 3 virgules au plus"),
    (
        "functions match() and search() are not offered: use the test \"matches /REGEX/\"",
        "les fonctions match() et search() ne sont pas offertes : utilisez \"matches /REGEX/\"",
    ),
    (":has() is not offered: its cost has no good bound", ":has() n’est pas offert : son coût n’a pas de bonne limite"),
    (
        "a CSS selector holds no escaped letters or digits and no comments: write [id='1a'] or [class~='1a'] for a name that needs an escape",
        "un sélecteur CSS n’a ni lettre ou chiffre échappé ni commentaire : écrivez [id='1a'] ou [class~='1a'] pour un tel nom",
    ),
    ("a CSS selector has at most {} parts", "un sélecteur CSS a {} parties au plus"),
    ("a CSS selector holds at most {} commas", "un sélecteur CSS a {} virgules au plus"),
    (
        "a CSS selector has no combinators (spaces, >, +, ~) in :is(), :where() and :not()",
        "un sélecteur CSS n’a pas de combinateur (espace, >, +, ~) dans :is(), :where() et :not()",
    ),
    ("{} is no XML path: {}", "{} n’est pas un chemin XML : {}"),
    ("it starts with /, as in '/feed/entry[1]/link/@href'", "il commence par /, comme '/feed/entry[1]/link/@href'"),
    ("nothing may follow an attribute", "rien ne peut suivre un attribut"),
    ("write local names, without a prefix", "écrivez les noms sans préfixe"),
    ("@ is followed by the attribute's name", "@ est suivi du nom de l’attribut"),
    ("brackets hold a number from 1, as in entry[2]", "entre crochets, un nombre à partir de 1, comme entry[2]"),
    ("each / is followed by an element's name", "chaque / est suivi du nom d’un élément"),
    ("it names no element", "il ne nomme aucun élément"),
    // A window's repeats.
    ("{} stands twice: once is enough", "{} y est deux fois : une suffit"),
    ("{} is no part of a rule: write {}", "{} n’est pas une partie de règle : écrivez {}"),
    (
        "FREQ is missing: begin with FREQ=DAILY, FREQ=WEEKLY or FREQ=MONTHLY",
        "il manque FREQ : commencez par FREQ=DAILY, FREQ=WEEKLY ou FREQ=MONTHLY",
    ),
    ("give either COUNT or UNTIL, not both", "donnez soit COUNT, soit UNTIL, pas les deux"),
    (
        "BYMONTHDAY means nothing to FREQ=WEEKLY: use FREQ=MONTHLY, or leave it out",
        "BYMONTHDAY ne dit rien avec FREQ=WEEKLY : prenez FREQ=MONTHLY, ou retirez-le",
    ),
    (
        "BYDAY takes an ordinal, as in 1MO, with FREQ=MONTHLY alone",
        "BYDAY n’a de rang, comme 1MO, qu’avec FREQ=MONTHLY",
    ),
    ("{}={}: write a whole number from 1 to {}", "{}={} : un nombre entier de 1 à {}"),
    ("FREQ={}: write DAILY, WEEKLY or MONTHLY", "FREQ={} : écrivez DAILY, WEEKLY ou MONTHLY"),
    (
        "BYMONTHDAY={}: write days from 1 to 31, or from the end: -1 to -31",
        "BYMONTHDAY={} : des jours de 1 à 31, ou depuis la fin : -1 à -31",
    ),
    (
        "{} is not taken: use FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT and UNTIL",
        "{} n’est pas admis : FREQ, INTERVAL, BYDAY, BYMONTHDAY, COUNT et UNTIL",
    ),
    // Policies, channels, escalations, back-tests, trials.
    (
        "{} names no policy: write its id, or its id and a version, like contract@2",
        "{} ne nomme pas de politique : écrivez son nom, ou son nom et une version, comme contract@2",
    ),
    ("policy {} has no version {}, its newest is {}", "la politique {} n’a pas de version {}, sa plus récente est {}"),
    (
        "{}: \"by_share\" says nothing here, for nobody votes down in such time: write \"excluded\", \"up\" or \"down\"",
        "{} : \"by_share\" ne dit rien ici, car personne ne vote en panne pendant ce temps : \"excluded\", \"up\" ou \"down\"",
    ),
    (
        "empty: write at least one entry, like \"mon-fri 08:00-20:00\", or leave out hours for always",
        "vide : écrivez au moins une entrée, comme \"mon-fri 08:00-20:00\", ou retirez les heures pour toujours",
    ),
    (
        "more than {} entries: merge them, or make a new version of the policy every few years",
        "plus de {} entrées : réunissez-les, ou faites une nouvelle version de la politique de temps en temps",
    ),
    ("{} is no key of kind {}: it takes {}", "{} n’est pas une clé du type {} : il prend {}"),
    ("channel {} is of kind {}: name one of kind email", "le canal {} est du type {} : nommez-en un du type email"),
    (
        "{} {} is defined twice: give each {} an id of its own",
        "{} {} est défini deux fois : donnez à chaque {} son nom",
    ),
    (
        "{} objects of kind {} would be more than the {} that one collector takes: retire some with --prune",
        "{} objets du type {} seraient plus que les {} d’un collecteur : retirez-en",
    ),
    ("check {} cannot be sent to agents: {}", "le contrôle {} ne peut être envoyé aux agents : {}"),
    (
        "the body's id is {}, the address names {}: an id stays what it is",
        "le nom est {}, l’adresse dit {} : un nom reste ce qu’il est",
    ),
    ("a reopen window has 1d at most", "un délai de réouverture a 1d au plus"),
    ("{} is not AGENT=WEIGHT, as in eu-west-1=0.5", "{} n’est pas AGENT=POIDS, comme eu-west-1=0.5"),
    ("weight of {}: {}", "poids de {} : {}"),
    ("{} is named twice", "{} est nommé deux fois"),
    ("a question names {} agents at most", "une question nomme {} agents au plus"),
    (
        "there are more than {} incidents to tell of: ask for a shorter period with from and to",
        "il y aurait plus de {} incidents : demandez une période plus courte",
    ),
    (
        "the period is empty: `from` must lie before `to`, and before now",
        "la période est vide : le début doit précéder la fin, et maintenant",
    ),
    ("the period is empty: `from` must lie before `to`", "la période est vide : le début doit précéder la fin"),
    (
        "too much happened to explain at once (more than {} intervals, votes and pieces of evidence): ask for a shorter period with from and to, or for one agent",
        "trop d’événements à expliquer à la fois (plus de {} intervalles, votes et preuves) : demandez une période plus courte, ou un seul agent",
    ),
    ("days={}: a trial goes back 1 to {} days", "days={} : un essai remonte de 1 à {} jours"),
    ("there is no model in it", "il n’y a pas de modèle dedans"),
    // Incidents, silences, playbooks, runs.
    ("incident {} has {} entries: no more are kept", "l’incident {} a {} entrées : il n’en est pas gardé davantage"),
    ("no id is free", "aucun nom n’est libre"),
    (
        "the silence would be over already: its end must lie ahead, and after its beginning",
        "la sourdine serait déjà finie : sa fin doit être à venir, et après son début",
    ),
    (
        "a silence begins within 90 days, and lasts 90 days at most",
        "une sourdine commence d’ici à 90 jours, et dure 90 jours au plus",
    ),
    ("no check {}: `sitepulse-collector checks` lists them", "aucun contrôle {} : voyez leur liste"),
    (
        "playbook {} runs already: go on with {}, or abandon it",
        "la procédure {} est déjà en cours : poursuivez {}, ou abandonnez-la",
    ),
    (
        "agent {} does not run check {}: see `regions` of the check",
        "l’agent {} n’exécute pas le contrôle {} : voyez les régions du contrôle",
    ),
    (
        "check {} is a heartbeat, which no agent runs: its job calls the collector",
        "le contrôle {} est un heartbeat, qu’aucun agent n’exécute : sa tâche appelle le collecteur",
    ),
    ("check {} is no heartbeat", "le contrôle {} n’est pas un heartbeat"),
    (
        "a run of check {} may change something where it goes: this asks for respond",
        "une exécution du contrôle {} peut changer quelque chose là où elle va : il faut respond",
    ),
    // Who may, and who is who.
    ("too many people sign in at this moment: try again", "trop de connexions à cet instant : réessayez"),
    ("the password cannot be hashed: {}", "le mot de passe ne peut être haché : {}"),
    ("no {} has the id {}", "« {} » : aucun n’a le nom {}"),
    (
        "the note {} is a user's id, and deeds of both would look alike: take another",
        "la note {} est le nom d’un utilisateur, et les actes des deux se confondraient : prenez-en une autre",
    ),
    (
        "user {} has no role and cannot sign in: write role = {} (responder, editor, admin) in [[user]] and apply it",
        "l’utilisateur {} n’a pas de rôle et ne peut se connecter : donnez-lui le rôle {} (ou responder, editor, admin)",
    ),
    (
        "user {} has no role: write role = {} (responder, editor, admin) in [[user]] and apply it",
        "l’utilisateur {} n’a pas de rôle : donnez-lui le rôle {} (ou responder, editor, admin)",
    ),
    ("user {} has no password", "l’utilisateur {} n’a pas de mot de passe"),
    ("user {} is nobody at an identity provider", "l’utilisateur {} n’est lié à aucun fournisseur d’identité"),
    (
        "an agent joined with this token: revoke the agent, {}",
        "un agent s’est inscrit avec ce jeton : révoquez l’agent, {}",
    ),
    (
        "this session is nobody's in particular: sign in as a user",
        "cette session n’est à personne en particulier : connectez-vous comme utilisateur",
    ),
    ("the user has no role any more", "l’utilisateur n’a plus de rôle"),
    (
        "nobody signs in by an identity provider here: [oidc] of the configuration says which",
        "personne ne se connecte ici par un fournisseur d’identité : [oidc] dans la configuration dit lequel",
    ),
    (
        "send {} (from `sitepulse-collector api-token create`), or sign in to the console",
        "envoyez {} (de `sitepulse-collector api-token create`), ou connectez-vous à la console",
    ),
    (
        "the token is unknown or its time is over: make one with `sitepulse-collector api-token create`",
        "le jeton est inconnu ou son temps est passé : faites-en un avec `sitepulse-collector api-token create`",
    ),
    ("the console has no such {}", "la console n’a pas cela : {}"),
    ("the address is not understood", "l’adresse n’est pas comprise"),
    (
        "the cursor is not one of this list: take the address of the next page from the `Link` header of the page before, or begin without `cursor`",
        "ce repère n’est pas de cette liste : recommencez à la première page",
    ),
    (
        "the body is longer than this path takes: send less at once",
        "c’est plus long qu’ici permis : envoyez-en moins à la fois",
    ),
    ("the page could not be rendered", "la page n’a pas pu être dressée"),
    (
        "check {} hangs on {}, which runs every {}, and itself every {}: its pages wait 2 min at most for so slow a parent, give that a shorter interval",
        "le contrôle {} dépend de {}, lancé toutes les {}, et lui toutes les {} : ses alertes n’attendent que 2 min un parent si lent, raccourcissez l’intervalle de celui-ci",
    ),
    // What became of a message.
    (
        "secret {} does not open with this machine's key: put the right key back or set the secret anew",
        "le secret {} ne s’ouvre pas avec la clé de cette machine : remettez la bonne clé, ou le secret",
    ),
    (
        "secret {} is not set: `sitepulse-collector secret set {}`",
        "le secret {} n’est pas défini : `sitepulse-collector secret set {}`",
    ),
    (
        "internal error: the transport panicked, see the log",
        "erreur interne : l’envoi s’est interrompu, voyez le journal",
    ),
    ("internal error: the transport did not keep its deadline", "erreur interne : l’envoi n’a pas tenu son délai"),
    (
        "HTTP {} leads to {}: redirects are not followed, set the channel's own address to the right one",
        "HTTP {} mène à {} : les redirections ne sont pas suivies, donnez la bonne adresse au canal",
    ),
    // What is wrong with a history.
    (
        "entry {} or the one before it is not as it was written: nothing from there on is vouched for",
        "l’entrée {} ou celle d’avant n’est pas telle qu’elle a été écrite : rien n’est garanti à partir de là",
    ),
    (
        "entry {} is missing: nothing from there on is vouched for",
        "l’entrée {} manque : rien n’est garanti à partir de là",
    ),
    (
        "the incident says {}, its {} entries come to {}: the end of the history is missing, or the incident was changed",
        "l’incident se dit {}, ses {} entrées mènent à {} : la fin de l’historique manque, ou l’incident a été modifié",
    ),
    (
        "the incident counts {} steps, its {} entries tell of {}: the end of the history is missing, or the incident was changed",
        "l’incident compte {} étapes, ses {} entrées en racontent {} : la fin de l’historique manque, ou l’incident a été modifié",
    ),
    ("suspected", "suspecté"),
    ("open", "ouvert"),
    ("acknowledged", "pris en charge"),
    ("resolved", "résolu"),
    // Why a message reaches nobody.
    ("there is no such channel any more", "ce canal n’existe plus"),
    ("there is no such schedule any more", "ce planning n’existe plus"),
    ("nobody is on call", "personne n’est d’astreinte"),
    ("there is no such user any more", "cet utilisateur n’existe plus"),
    ("there is no channel {} any more", "il n’y a plus de canal {}"),
    (
        "the user has no channel: write notify = [...] in its [[user]]",
        "l’utilisateur n’a pas de canal : donnez-lui notify = [...]",
    ),
];
