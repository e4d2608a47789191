//! The words of users, join tokens and weights on a check.

use sitepulse_model::user::Role;

/// Every text about users, join tokens and weights on a check.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct UserTexts {
    pub new: &'static str,
    pub id: &'static str,
    pub id_what: &'static str,
    pub name: &'static str,
    pub name_what: &'static str,
    pub email: &'static str,
    pub email_what: &'static str,
    pub no_role: &'static str,
    pub role_word: fn(Role) -> &'static str,
    pub retire: &'static str,
    pub retire_what: &'static str,
    pub saved: &'static str,
    pub retired: &'static str,
    pub join_tokens: &'static str,
    pub join_tokens_what: &'static str,
    /// By the word of the JSON.
    pub token_state: fn(&str) -> &'static str,
    pub made: &'static str,
    pub good_until: &'static str,
    pub joined_as: &'static str,
    pub weights: &'static str,
    pub weights_what: &'static str,
}

/// English.
pub static EN: UserTexts = UserTexts {
    new: "New user",
    id: "Id",
    id_what: "Names them in schedules and escalations: small letters, digits and hyphens.",
    name: "Name",
    name_what: "What people call them. May stay empty.",
    email: "Address",
    email_what: "Shown beside the name; mail goes out by a channel. May stay empty.",
    no_role: "none: cannot sign in",
    role_word: |role| match role {
        Role::Viewer => "viewer: looks",
        Role::Responder => "responder: and acts on incidents",
        Role::Editor => "editor: and changes what is watched",
        Role::Admin => "admin: and everything else",
    },
    retire: "Retire",
    retire_what: "They cannot sign in any more, and their sessions end. What they did stays in the history. Whoever stands in a schedule or an escalation is taken out there first.",
    saved: "The user was saved.",
    retired: "The user was retired.",
    join_tokens: "Join tokens",
    join_tokens_what: "Those that were given out. The tokens themselves are kept nowhere.",
    token_state: |state| match state {
        "used" => "used",
        "expired" => "expired",
        _ => "open",
    },
    made: "Made",
    good_until: "Good until",
    joined_as: "Agent",
    weights: "Weight of each agent’s vote on this check",
    weights_what: "Counts for votes from now on; the past stays. 0: watched, never counted. An agent’s own weight counts where nothing is set here.",
};

/// French.
pub static FR: UserTexts = UserTexts {
    new: "Nouvel utilisateur",
    id: "Identifiant",
    id_what: "Le nomme dans les plannings et les escalades : minuscules, chiffres et tirets.",
    name: "Nom",
    name_what: "Comment on l’appelle. Peut rester vide.",
    email: "Adresse",
    email_what: "Affichée à côté du nom ; le courrier part par un canal. Peut rester vide.",
    no_role: "aucun : ne peut pas se connecter",
    role_word: |role| match role {
        Role::Viewer => "viewer : regarde",
        Role::Responder => "responder : et agit sur les incidents",
        Role::Editor => "editor : et change ce qui est surveillé",
        Role::Admin => "admin : et tout le reste",
    },
    retire: "Retirer",
    retire_what: "Cette personne ne peut plus se connecter, et ses sessions se terminent. Ce qu’elle a fait reste dans l’historique. Qui figure dans un planning ou une escalade en est d’abord retiré là-bas.",
    saved: "L’utilisateur est enregistré.",
    retired: "L’utilisateur est retiré.",
    join_tokens: "Jetons d’inscription",
    join_tokens_what: "Ceux qui ont été donnés. Les jetons eux-mêmes ne sont gardés nulle part.",
    token_state: |state| match state {
        "used" => "utilisé",
        "expired" => "expiré",
        _ => "valable",
    },
    made: "Créé",
    good_until: "Valable jusqu’au",
    joined_as: "Agent",
    weights: "Poids du vote de chaque agent sur ce contrôle",
    weights_what: "Compte pour les votes à partir de maintenant ; le passé reste. 0 : observé, mais jamais compté. Le poids propre de l’agent vaut là où rien n’est fixé ici.",
};
