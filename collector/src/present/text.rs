//! The console's words in English and French: one struct that both languages must fill, so no text can be missing.

pub mod access;
pub mod alerting;
pub mod amendments;
pub mod api;
pub mod backtest;
pub mod cause;
pub mod checks;
pub mod desk;
pub mod explain;
pub mod findings;
pub mod frame;
pub mod home;
pub mod host;
pub mod impact;
pub mod incidents;
pub mod indicators;
pub mod jobs;
pub mod kpi;
pub mod latency;
pub mod page;
pub mod playbooks;
pub mod policy;
pub mod provider;
pub mod refusals;
pub mod slo;
pub mod status;
pub mod subscribe;
pub mod terms;
pub mod trouble;
pub mod users;
pub mod vitals;
pub mod windows;

use sitepulse_model::record::{FactKey, Phase};

use self::access::AccessTexts;
use self::alerting::AlertingTexts;
use self::amendments::LedgerTexts;
use self::backtest::BacktestTexts;
use self::cause::CauseTexts;
use self::checks::ChecksTexts;
use self::desk::DeskTexts;
use self::explain::ExplainTexts;
use self::findings::FindingTexts;
use self::frame::FrameTexts;
use self::home::HomeTexts;
use self::host::HostTexts;
use self::impact::ImpactTexts;
use self::incidents::IncidentTexts;
use self::indicators::IndicatorTexts;
use self::jobs::JobTexts;
use self::kpi::KpiTexts;
use self::latency::LatencyTexts;
use self::page::PageTexts;
use self::playbooks::PlaybookTexts;
use self::policy::PolicyTexts;
use self::provider::ProviderTexts;
use self::slo::SloTexts;
use self::status::StatusTexts;
use self::subscribe::SubscribeTexts;
use self::terms::TermsTexts;
use self::trouble::TroubleTexts;
use self::users::UserTexts;
use self::vitals::VitalsTexts;
use self::windows::WindowTexts;

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::French];

    /// Its tag: `en`, `fr`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// Its own name.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
        }
    }

    /// Its words.
    pub const fn texts(self) -> &'static Texts {
        match self {
            Self::English => &EN,
            Self::French => &FR,
        }
    }

    /// A refusal that is told in English, as readers of this language are told it; and whether it stays in English, for want of other words.
    pub fn tell(self, english: &str) -> (String, bool) {
        match self {
            Self::English => (english.to_owned(), false),
            Self::French => refusals::french(english).map_or_else(|| (english.to_owned(), true), |told| (told, false)),
        }
    }

    /// The language of a tag (`fr`, `fr-CA`), if the console speaks it.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| language.tag() == primary)
    }

    /// The best language for an `Accept-Language` header: the highest quality first, then the order given; English without a match.
    pub fn negotiate(header: &str) -> Self {
        Self::preferred(header).unwrap_or(Self::English)
    }

    /// The same; `None` where the header names no language that there is.
    pub fn preferred(header: &str) -> Option<Self> {
        let mut best: Option<(u32, Self)> = None;
        for part in header.split(',').take(32) {
            let mut pieces = part.split(';');
            let Some(language) = pieces.next().and_then(Self::of_tag) else { continue };
            let quality = pieces
                .find_map(|piece| piece.trim().strip_prefix("q="))
                .map_or(Some(1.0), |quality| quality.trim().parse::<f64>().ok())
                .filter(|quality| (0.0..=1.0).contains(quality))
                .map_or(0, |quality| (quality * 1000.0) as u32);
            if quality > 0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

/// Every text of the console.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct Texts {
    /// Turns the decimal point of a formatted number into the language's own.
    pub number: fn(String) -> String,
    /// A refusal or warning that is told in English, as readers of this language are told it.
    pub tell: fn(&str) -> String,
    /// Between a word and what it is about: French sets a space before the colon.
    pub colon: &'static str,
    pub title: &'static str,
    pub skip_to_content: &'static str,
    pub sign_out: &'static str,
    pub sign_in: &'static str,
    pub sign_in_needed: &'static str,
    pub sign_in_how: &'static str,
    pub sign_in_bad: &'static str,
    pub open_console: &'static str,
    pub language: &'static str,
    pub live: &'static str,
    pub stale: &'static str,
    pub overall: &'static str,
    pub global_availability: &'static str,
    pub last_24_h: &'static str,
    pub all_up: &'static str,
    pub some_down: fn(usize) -> String,
    pub some_regional: fn(usize) -> String,
    pub some_degraded: fn(usize) -> String,
    pub some_unknown: fn(usize) -> String,
    pub some_maintenance: fn(usize) -> String,
    pub no_checks: &'static str,
    pub no_checks_how: &'static str,
    pub no_agents: &'static str,
    pub no_agents_how: &'static str,
    pub agents_connected: fn(usize, usize) -> String,
    pub checks: &'static str,
    pub check: &'static str,
    pub verdict: &'static str,
    pub regions: &'static str,
    pub availability: &'static str,
    pub completeness: &'static str,
    pub no_evidence: &'static str,
    pub nothing_measured: &'static str,
    pub every: fn(&str) -> String,
    pub since: fn(&str) -> String,
    pub ago: fn(&str) -> String,
    pub weight: &'static str,
    pub quorum_reduced: &'static str,
    pub agents: &'static str,
    pub agent: &'static str,
    pub region: &'static str,
    pub connection: &'static str,
    pub connected: &'static str,
    pub not_connected: &'static str,
    pub revoked: &'static str,
    pub last_seen: &'static str,
    pub never: &'static str,
    pub now: &'static str,
    pub suspension: &'static str,
    pub suspended: &'static str,
    pub suspended_until: fn(&str) -> String,
    pub suspended_open: &'static str,
    pub by: &'static str,
    pub none: &'static str,
    pub spool: &'static str,
    pub spool_records: fn(&str) -> String,
    pub clock_offset: &'static str,
    pub clock_flagged: &'static str,
    pub build: &'static str,
    pub as_of: &'static str,
    pub up: &'static str,
    pub degraded: &'static str,
    pub regional: &'static str,
    pub down: &'static str,
    pub maintenance: &'static str,
    pub groups: &'static str,
    pub maintenance_ahead: &'static str,
    pub window_open: fn(&str) -> String,
    pub window_span: fn(&str, &str) -> String,
    pub unknown: &'static str,
    pub unknown_time: fn(&str) -> String,
    pub agent_stopped: &'static str,
    pub agent_offline: &'static str,
    pub cause_suspended: &'static str,
    pub shed: &'static str,
    pub unassigned: &'static str,
    pub built_in: &'static str,
    pub run_now: &'static str,
    pub run_now_note: &'static str,
    pub run_refused: &'static str,
    pub run_timed_out: &'static str,
    pub heartbeat_how: &'static str,
    pub last_results: &'static str,
    pub phases: &'static str,
    pub address: &'static str,
    pub fact_status: &'static str,
    pub fact_body_bytes: &'static str,
    pub fact_certificate_expires: &'static str,
    /// The words of promises and their error budgets.
    pub alerting: &'static AlertingTexts,
    /// The words around every page.
    pub access: &'static AccessTexts,
    pub frame: &'static FrameTexts,
    /// The words of the overview.
    pub home: &'static HomeTexts,
    /// The words of the list of checks.
    pub list: &'static ChecksTexts,
    /// The words of a check's page, its suspension and its editor.
    pub page: &'static PageTexts,
    /// The words around the API's description.
    pub api: &'static api::ApiTexts,
    pub slo: &'static SloTexts,
    pub jobs: &'static JobTexts,
    pub kpi: &'static KpiTexts,
    pub impact: &'static ImpactTexts,
    pub indicators: &'static IndicatorTexts,
    /// The words of findings.
    pub findings: &'static FindingTexts,
    /// The words of latencies.
    pub latency: &'static LatencyTexts,
    /// The words of accounting policies.
    pub policies: &'static PolicyTexts,
    /// The words of a page's vitals.
    pub vitals: &'static VitalsTexts,
    pub ledger: &'static LedgerTexts,
    /// Incidents.
    pub incidents: &'static IncidentTexts,
    pub status: &'static StatusTexts,
    pub playbooks: &'static PlaybookTexts,
    pub subscribe: &'static SubscribeTexts,
    pub provider: &'static ProviderTexts,
    pub backtest: &'static BacktestTexts,
    /// Pages on which people act.
    pub desk: &'static DeskTexts,
    /// Maintenance windows.
    pub windows: &'static WindowTexts,
    pub explain: &'static ExplainTexts,
    /// Why runs failed.
    pub causes: &'static CauseTexts,
    /// Agents' machines.
    pub host: &'static HostTexts,
    /// What figures of several things are made of.
    pub terms: &'static TermsTexts,
    /// Users, join tokens, weights on a check.
    pub users: &'static UserTexts,
    /// Refusals as pages.
    pub trouble: &'static TroubleTexts,
    /// The word for a phase.
    pub phase: fn(Phase) -> &'static str,
    /// The words for a fact.
    pub fact: fn(FactKey) -> &'static str,
}

impl Texts {
    /// Of a sentence in both languages the one in this.
    pub fn of_both<'r>(&self, both: &'r crate::present::dto::impact::ReasonView) -> &'r str {
        if std::ptr::eq(self, Language::French.texts()) { &both.fr } else { &both.en }
    }

    /// The word for a verdict or state.
    pub fn state(&self, state: &str) -> &'static str {
        match state {
            "up" => self.up,
            "degraded" => self.degraded,
            "regional" => self.regional,
            "down" => self.down,
            "maintenance" => self.maintenance,
            _ => self.unknown,
        }
    }

    /// The words for a cause of unknown.
    pub fn unknown_cause(&self, cause: &str) -> &'static str {
        match cause {
            "agent_stopped" => self.agent_stopped,
            "suspended" => self.cause_suspended,
            "shed" => self.shed,
            "unassigned" => self.unassigned,
            _ => self.agent_offline,
        }
    }
}

/// English.
pub static EN: Texts = Texts {
    tell: str::to_owned,
    number: |number| number,
    colon: ": ",
    title: "SitePulse",
    skip_to_content: "Skip to content",
    sign_out: "Sign out",
    sign_in: "Sign in",
    sign_in_needed: "Sign in to see the console.",
    sign_in_how: "On the collector's machine, run this and open the link it prints:",
    sign_in_bad: "This link was used before, or its time is over. Make a new one:",
    open_console: "Open the console",
    language: "Language",
    live: "Live",
    stale: "Connection lost, trying again. What you see is from before.",
    overall: "Overall",
    global_availability: "Global availability",
    last_24_h: "last 24 hours",
    all_up: "All checks are up",
    some_down: |n| if n == 1 { "1 check is down".into() } else { format!("{n} checks are down") },
    some_regional: |n| {
        if n == 1 { "1 check is down in some regions".into() } else { format!("{n} checks are down in some regions") }
    },
    some_degraded: |n| if n == 1 { "1 check is degraded".into() } else { format!("{n} checks are degraded") },
    some_unknown: |n| if n == 1 { "1 check without evidence".into() } else { format!("{n} checks without evidence") },
    some_maintenance: |n| if n == 1 { "1 check in maintenance".into() } else { format!("{n} checks in maintenance") },
    no_checks: "No checks yet",
    no_checks_how: "Write one in a file and apply it:",
    no_agents: "No agents yet",
    no_agents_how: "Make a join token and paste the command it prints on the agent's machine:",
    agents_connected: |n, of| format!("{n} of {of} agents connected"),
    checks: "Checks",
    check: "Check",
    verdict: "Verdict",
    regions: "Regions",
    availability: "Availability",
    completeness: "completeness",
    no_evidence: "no evidence yet",
    nothing_measured: "nothing measured",
    every: |interval| format!("every {interval}"),
    since: |age| format!("for {age}"),
    ago: |age| format!("{age} ago"),
    weight: "Weight",
    quorum_reduced: "fewer voters than the quorum asks for",
    agents: "Agents",
    agent: "Agent",
    region: "Region",
    connection: "Connection",
    connected: "connected",
    not_connected: "not connected",
    revoked: "revoked",
    last_seen: "Last seen",
    never: "never",
    now: "now",
    suspension: "Suspension",
    suspended: "suspended",
    suspended_until: |until| format!("until {until}"),
    suspended_open: "until resumed",
    by: "by",
    none: "none",
    spool: "Spool",
    spool_records: |n| format!("{n} waiting"),
    clock_offset: "Clock offset",
    clock_flagged: "the clock is off by more than 2 s",
    build: "Build",
    as_of: "As of",
    up: "up",
    degraded: "degraded",
    regional: "regional",
    down: "down",
    maintenance: "maintenance",
    groups: "Groups",
    maintenance_ahead: "Maintenance, next 30 days",
    window_open: |until| format!("open until {until}"),
    window_span: |from, to| format!("{from} to {to}"),
    unknown: "unknown",
    unknown_time: |causes| format!("Nothing is known of {causes}."),
    agent_stopped: "agent stopped",
    agent_offline: "agent offline",
    cause_suspended: "suspended",
    shed: "agent overloaded",
    unassigned: "no agent assigned",
    built_in: "built in",
    run_now: "Run now",
    run_now_note: "Besides the schedule: neither stored nor counted.",
    run_refused: "refused",
    run_timed_out: "no answer in time",
    heartbeat_how: "What the job calls is told by",
    last_results: "Last results",
    phases: "Phases",
    address: "Address",
    fact_status: "Status",
    fact_body_bytes: "Body bytes",
    fact_certificate_expires: "Certificate expires",
    alerting: &alerting::EN,
    access: &access::EN,
    frame: &frame::EN,
    home: &home::EN,
    list: &checks::EN,
    page: &page::EN,
    api: &api::EN,
    slo: &slo::EN,
    jobs: &jobs::EN,
    kpi: &kpi::EN,
    impact: &impact::EN,
    indicators: &indicators::EN,
    findings: &findings::EN,
    playbooks: &playbooks::EN,
    latency: &latency::EN,
    policies: &policy::EN,
    vitals: &vitals::EN,
    ledger: &amendments::EN,
    incidents: &incidents::EN,
    status: &status::EN,
    subscribe: &subscribe::EN,
    provider: &provider::EN,
    backtest: &backtest::EN,
    desk: &desk::EN,
    windows: &windows::EN,
    explain: &explain::EN,
    causes: &cause::EN,
    host: &host::EN,
    terms: &terms::EN,
    trouble: &trouble::EN,
    users: &users::EN,
    phase: |phase| match phase {
        Phase::Dns => "DNS",
        Phase::Connect => "connect",
        Phase::Tls => "TLS",
        Phase::Send => "send",
        Phase::FirstByte => "first byte",
        Phase::Transfer => "transfer",
        Phase::Total => "total",
    },
    fact: |key| match key {
        FactKey::Attempts => "Attempts",
        FactKey::FailedAttempt => "Failed attempts",
        FactKey::HttpVersion => "HTTP version",
        FactKey::Redirects => "Redirects",
        FactKey::Hop => "Hops",
        FactKey::FinalUrl => "Final URL",
        FactKey::ContentEncoding => "Content encoding",
        FactKey::HttpOffer => "HTTP/3 offer",
        FactKey::ResponseSha256 => "Response SHA-256",
        FactKey::ResponseCut => "Hashed in part",
        FactKey::TlsVersion => "TLS version",
        FactKey::TlsCipher => "Cipher suite",
        FactKey::Alpn => "ALPN",
        FactKey::Ocsp => "OCSP",
        FactKey::CertificateSubject => "Certificate subject",
        FactKey::CertificateIssuer => "Certificate issuer",
        FactKey::CertificateNames => "Certificate names",
        FactKey::ChainLength => "Certificates sent",
        FactKey::CertificateSha256 => "Certificate SHA-256",
        FactKey::CertificateChain => "Certificate chain",
        FactKey::DnsRcode => "DNS code",
        FactKey::DnsAnswers => "DNS answers",
        FactKey::DnsAnswer => "Answers",
        FactKey::DnsTtl => "TTL (s)",
        FactKey::DnsAd => "DNSSEC AD",
        FactKey::Resolver => "Resolver",
        FactKey::ResolverAnswer => "Resolver answers",
        FactKey::Sent => "Echoes sent",
        FactKey::Received => "Echoes received",
        FactKey::RttMin => "Shortest round trip",
        FactKey::RttAvg => "Mean round trip",
        FactKey::RttMax => "Longest round trip",
        FactKey::Jitter => "Jitter",
        FactKey::Banner => "Banner",
        FactKey::GrpcStatus => "gRPC health",
        FactKey::Subprotocol => "Subprotocol",
        FactKey::DomainExpires => "Domain expires",
        FactKey::Registrar => "Registrar",
        FactKey::Step => "Steps",
        FactKey::LastPing => "Last call",
        FactKey::JobDuration => "Job took",
        FactKey::ExitStatus => "Exit status",
        FactKey::Lcp => "LCP",
        FactKey::LcpMin => "LCP, smallest",
        FactKey::LcpMax => "LCP, largest",
        FactKey::Cls => "CLS",
        FactKey::ClsMin => "CLS, smallest",
        FactKey::ClsMax => "CLS, largest",
        FactKey::Inp => "INP",
        FactKey::InpMin => "INP, smallest",
        FactKey::InpMax => "INP, largest",
        FactKey::Tbt => "TBT",
        FactKey::TbtMin => "TBT, smallest",
        FactKey::TbtMax => "TBT, largest",
        FactKey::Fcp => "FCP",
        FactKey::FcpMin => "FCP, smallest",
        FactKey::FcpMax => "FCP, largest",
        FactKey::Ttfb => "TTFB",
        FactKey::TtfbMin => "TTFB, smallest",
        FactKey::TtfbMax => "TTFB, largest",
        FactKey::LoadsCounted => "Loads that count",
        FactKey::LoadsLowConfidence => "Loads under pressure",
        FactKey::Requests => "Requests",
        FactKey::TransferBytes => "Bytes transferred",
        FactKey::FailedRequests => "Failed requests",
        FactKey::JsErrors => "Script errors",
        FactKey::Dialogs => "Dialogs",
        FactKey::Profile => "Profile",
        FactKey::Browser => "Browser",
        FactKey::LcpElement => "LCP element",
        FactKey::LcpUrl => "LCP URL",
        FactKey::VitalsReport => "Report",
        FactKey::Screenshot => "Screenshot",
    },
};

/// French.
pub static FR: Texts = Texts {
    tell: |english| Language::French.tell(english).0,
    number: |number| number.replace('.', ",").replace(" %", "\u{a0}%"),
    colon: "\u{a0}: ",
    title: "SitePulse",
    skip_to_content: "Aller au contenu",
    sign_out: "Se déconnecter",
    sign_in: "Connexion",
    sign_in_needed: "Connectez-vous pour voir la console.",
    sign_in_how: "Sur la machine du collecteur, lancez cette commande et ouvrez le lien affiché :",
    sign_in_bad: "Ce lien a déjà servi, ou il a expiré. Créez-en un nouveau :",
    open_console: "Ouvrir la console",
    language: "Langue",
    live: "En direct",
    stale: "Connexion perdue, nouvel essai en cours. L’affichage date d’avant.",
    overall: "Vue d’ensemble",
    global_availability: "Disponibilité globale",
    last_24_h: "dernières 24 heures",
    all_up: "Tous les contrôles sont en service",
    some_down: |n| if n == 1 { "1 contrôle en panne".into() } else { format!("{n} contrôles en panne") },
    some_regional: |n| {
        if n == 1 {
            "1 contrôle en panne dans certaines régions".into()
        } else {
            format!("{n} contrôles en panne dans certaines régions")
        }
    },
    some_degraded: |n| if n == 1 { "1 contrôle dégradé".into() } else { format!("{n} contrôles dégradés") },
    some_unknown: |n| if n == 1 { "1 contrôle sans mesure".into() } else { format!("{n} contrôles sans mesure") },
    some_maintenance: |n| {
        if n == 1 { "1 contrôle en maintenance".into() } else { format!("{n} contrôles en maintenance") }
    },
    no_checks: "Aucun contrôle",
    no_checks_how: "Écrivez-en un dans un fichier et appliquez-le :",
    no_agents: "Aucun agent",
    no_agents_how: "Créez un jeton et collez la commande affichée sur la machine de l’agent :",
    agents_connected: |n, of| format!("{n} agent{s} connecté{s} sur {of}", s = if n < 2 { "" } else { "s" }),
    checks: "Contrôles",
    check: "Contrôle",
    verdict: "Verdict",
    regions: "Régions",
    availability: "Disponibilité",
    completeness: "complétude",
    no_evidence: "pas encore de mesure",
    nothing_measured: "rien de mesuré",
    every: |interval| format!("toutes les {interval}"),
    since: |age| format!("depuis {age}"),
    ago: |age| format!("il y a {age}"),
    weight: "Poids",
    quorum_reduced: "moins de votants que le quorum n’en demande",
    agents: "Agents",
    agent: "Agent",
    region: "Région",
    connection: "Connexion",
    connected: "connecté",
    not_connected: "non connecté",
    revoked: "révoqué",
    last_seen: "Vu",
    never: "jamais",
    now: "maintenant",
    suspension: "Suspension",
    suspended: "suspendu",
    suspended_until: |until| format!("jusqu’au {until}"),
    suspended_open: "jusqu’à la reprise",
    by: "par",
    none: "aucune",
    spool: "File d’attente",
    spool_records: |n| format!("{n} en attente"),
    clock_offset: "Écart d’horloge",
    clock_flagged: "l’horloge est décalée de plus de 2 s",
    build: "Version",
    as_of: "État au",
    up: "en service",
    degraded: "dégradé",
    regional: "régional",
    down: "en panne",
    maintenance: "maintenance",
    groups: "Groupes",
    maintenance_ahead: "Maintenance, 30 prochains jours",
    window_open: |until| format!("en cours jusqu’au {until}"),
    window_span: |from, to| format!("du {from} au {to}"),
    unknown: "inconnu",
    unknown_time: |causes| format!("Rien n’est connu de {causes}."),
    agent_stopped: "agent arrêté",
    agent_offline: "agent hors ligne",
    cause_suspended: "suspendu",
    shed: "agent surchargé",
    unassigned: "aucun agent affecté",
    built_in: "intégré",
    run_now: "Lancer maintenant",
    run_now_note: "Hors calendrier : ni enregistré ni compté.",
    run_refused: "refusé",
    run_timed_out: "pas de réponse à temps",
    heartbeat_how: "L’adresse que la tâche appelle s’affiche avec",
    last_results: "Derniers résultats",
    phases: "Phases",
    address: "Adresse",
    fact_status: "Statut",
    fact_body_bytes: "Octets du corps",
    fact_certificate_expires: "Expiration du certificat",
    alerting: &alerting::FR,
    access: &access::FR,
    frame: &frame::FR,
    home: &home::FR,
    list: &checks::FR,
    page: &page::FR,
    api: &api::FR,
    slo: &slo::FR,
    jobs: &jobs::FR,
    kpi: &kpi::FR,
    impact: &impact::FR,
    indicators: &indicators::FR,
    findings: &findings::FR,
    playbooks: &playbooks::FR,
    latency: &latency::FR,
    policies: &policy::FR,
    vitals: &vitals::FR,
    ledger: &amendments::FR,
    incidents: &incidents::FR,
    status: &status::FR,
    subscribe: &subscribe::FR,
    provider: &provider::FR,
    backtest: &backtest::FR,
    desk: &desk::FR,
    windows: &windows::FR,
    explain: &explain::FR,
    causes: &cause::FR,
    host: &host::FR,
    terms: &terms::FR,
    trouble: &trouble::FR,
    users: &users::FR,
    phase: |phase| match phase {
        Phase::Dns => "DNS",
        Phase::Connect => "connexion",
        Phase::Tls => "TLS",
        Phase::Send => "envoi",
        Phase::FirstByte => "premier octet",
        Phase::Transfer => "transfert",
        Phase::Total => "total",
    },
    fact: |key| match key {
        FactKey::Attempts => "Essais",
        FactKey::FailedAttempt => "Essais échoués",
        FactKey::HttpVersion => "Version de HTTP",
        FactKey::Redirects => "Redirections",
        FactKey::Hop => "Étapes",
        FactKey::FinalUrl => "URL finale",
        FactKey::ContentEncoding => "Codage du contenu",
        FactKey::HttpOffer => "Offre HTTP/3",
        FactKey::ResponseSha256 => "SHA-256 de la réponse",
        FactKey::ResponseCut => "Empreinte partielle",
        FactKey::TlsVersion => "Version de TLS",
        FactKey::TlsCipher => "Suite cryptographique",
        FactKey::Alpn => "ALPN",
        FactKey::Ocsp => "OCSP",
        FactKey::CertificateSubject => "Sujet du certificat",
        FactKey::CertificateIssuer => "Émetteur du certificat",
        FactKey::CertificateNames => "Noms du certificat",
        FactKey::ChainLength => "Certificats envoyés",
        FactKey::CertificateSha256 => "SHA-256 du certificat",
        FactKey::CertificateChain => "Chaîne de certificats",
        FactKey::DnsRcode => "Code DNS",
        FactKey::DnsAnswers => "Réponses DNS",
        FactKey::DnsAnswer => "Réponses",
        FactKey::DnsTtl => "TTL (s)",
        FactKey::DnsAd => "DNSSEC AD",
        FactKey::Resolver => "Résolveur",
        FactKey::ResolverAnswer => "Réponses du résolveur",
        FactKey::Sent => "Échos envoyés",
        FactKey::Received => "Échos reçus",
        FactKey::RttMin => "Aller-retour le plus court",
        FactKey::RttAvg => "Aller-retour moyen",
        FactKey::RttMax => "Aller-retour le plus long",
        FactKey::Jitter => "Gigue",
        FactKey::Banner => "Bannière",
        FactKey::GrpcStatus => "Santé gRPC",
        FactKey::Subprotocol => "Sous-protocole",
        FactKey::DomainExpires => "Expiration du domaine",
        FactKey::Registrar => "Bureau d’enregistrement",
        FactKey::Step => "Étapes du parcours",
        FactKey::LastPing => "Dernier appel",
        FactKey::JobDuration => "Durée de la tâche",
        FactKey::ExitStatus => "Code de sortie",
        FactKey::Lcp => "LCP",
        FactKey::LcpMin => "LCP, minimum",
        FactKey::LcpMax => "LCP, maximum",
        FactKey::Cls => "CLS",
        FactKey::ClsMin => "CLS, minimum",
        FactKey::ClsMax => "CLS, maximum",
        FactKey::Inp => "INP",
        FactKey::InpMin => "INP, minimum",
        FactKey::InpMax => "INP, maximum",
        FactKey::Tbt => "TBT",
        FactKey::TbtMin => "TBT, minimum",
        FactKey::TbtMax => "TBT, maximum",
        FactKey::Fcp => "FCP",
        FactKey::FcpMin => "FCP, minimum",
        FactKey::FcpMax => "FCP, maximum",
        FactKey::Ttfb => "TTFB",
        FactKey::TtfbMin => "TTFB, minimum",
        FactKey::TtfbMax => "TTFB, maximum",
        FactKey::LoadsCounted => "Chargements retenus",
        FactKey::LoadsLowConfidence => "Chargements sous pression",
        FactKey::Requests => "Requêtes",
        FactKey::TransferBytes => "Octets transférés",
        FactKey::FailedRequests => "Requêtes en échec",
        FactKey::JsErrors => "Erreurs de script",
        FactKey::Dialogs => "Dialogues",
        FactKey::Profile => "Profil",
        FactKey::Browser => "Navigateur",
        FactKey::LcpElement => "Élément LCP",
        FactKey::LcpUrl => "URL du LCP",
        FactKey::VitalsReport => "Rapport",
        FactKey::Screenshot => "Capture d’écran",
    },
};

#[cfg(test)]
mod typography;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_negotiated() {
        assert_eq!(Language::negotiate("fr-FR,fr;q=0.9,en;q=0.8"), Language::French);
        assert_eq!(Language::negotiate("de, en;q=0.5, fr;q=0.4"), Language::English);
        assert_eq!(Language::negotiate("en;q=0.3, fr;q=0.7"), Language::French);
        assert_eq!(Language::negotiate("fr;q=0"), Language::English);
        assert_eq!(Language::negotiate("fr;q=nan, de"), Language::English);
        assert_eq!(Language::negotiate(""), Language::English);
    }
}
