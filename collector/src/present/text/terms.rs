//! The words of what a figure of several things is made of.

/// Every text about the terms of a figure.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct TermsTexts {
    pub mean_what: &'static str,
    pub debt_what: &'static str,
    pub slo_what: &'static str,
    /// The objective, the time that counts, and what of it may be bad.
    pub allowed: fn(&str, &str, &str) -> String,
    /// The availability, the time so far, and what of it was bad.
    pub used: fn(&str, &str, &str) -> String,
    /// What may be, what was, and what is left.
    pub left: fn(&str, &str, &str) -> String,
    /// A window, its rate, the threshold, how much of it is known.
    pub burn: fn(&str, &str, &str, &str) -> String,
    pub takes: &'static str,
    pub points: fn(&str) -> String,
    /// What is lost, of what, and the figure.
    pub division: fn(&str, &str, &str) -> String,
    /// How many checks are not shown, and what they take away.
    pub more: fn(usize, &str) -> String,
    pub term: &'static str,
    pub count: &'static str,
    pub factor: &'static str,
    pub adds: &'static str,
    /// From where on it is a warning, and critical.
    pub levels: fn(&str, &str) -> String,
    pub none: &'static str,
}

/// English.
pub static EN: TermsTexts = TermsTexts {
    mean_what: "The mean of the availabilities of these checks, each with its weight. What takes the most away comes first; each figure leads to its intervals.",
    debt_what: "What was left lying: how many of each, times what one counts. Of overdue jobs each counts more the higher its priority is.",
    slo_what: "The weighted mean of these checks over the period, as its policy counts them, and what follows of it.",
    allowed: |objective, whole, allowed| format!("Allowed: (1 − {objective}) × {whole} = {allowed}"),
    used: |availability, so_far, used| format!("Used: (1 − {availability}) × {so_far} = {used}"),
    left: |allowed, used, left| format!("Left: {allowed} − {used} = {left}"),
    burn: |window, rate, threshold, known| format!("Burn rate over {window}: {rate}, threshold {threshold} · {known}"),
    takes: "Takes away",
    points: |points| format!("{points} points"),
    division: |lost, of, shown| format!("1 − {lost} lost / {of} of weight = {shown}"),
    more: |more, takes| match more {
        1 => format!("1 check more, which takes away {takes}"),
        more => format!("{more} checks more, which take away {takes}"),
    },
    term: "Term",
    count: "How many",
    factor: "One counts",
    adds: "Adds",
    levels: |warning, critical| format!("a warning from {warning} on, critical from {critical} on"),
    none: "No check counted in this time.",
};

/// French.
pub static FR: TermsTexts = TermsTexts {
    mean_what: "La moyenne des disponibilités de ces contrôles, chacune avec son poids. Ce qui coûte le plus vient d’abord ; chaque valeur mène à ses intervalles.",
    debt_what: "Ce qui est resté en plan : combien de chaque, fois ce que vaut chacun. Une tâche en retard compte d’autant plus que sa priorité est haute.",
    slo_what: "La moyenne pondérée de ces contrôles sur la période, telle que sa politique les compte, et ce qui en découle.",
    allowed: |objective, whole, allowed| format!("Permis : (1 − {objective}) × {whole} = {allowed}"),
    used: |availability, so_far, used| format!("Consommé : (1 − {availability}) × {so_far} = {used}"),
    left: |allowed, used, left| format!("Reste : {allowed} − {used} = {left}"),
    burn: |window, rate, threshold, known| {
        format!("Vitesse de consommation sur {window} : {rate}, seuil {threshold} · {known}")
    },
    takes: "Coûte",
    points: |points| format!("{points} points"),
    division: |lost, of, shown| format!("1 − {lost} perdus / {of} de poids = {shown}"),
    more: |more, takes| match more {
        1 => format!("1 contrôle de plus, qui coûte {takes}"),
        more => format!("{more} contrôles de plus, qui coûtent {takes}"),
    },
    term: "Terme",
    count: "Combien",
    factor: "Chacun vaut",
    adds: "Ajoute",
    levels: |warning, critical| format!("avertissement à partir de {warning}, critique à partir de {critical}"),
    none: "Aucun contrôle n’a compté sur cette période.",
};
