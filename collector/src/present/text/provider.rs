//! The words of signing in by an identity provider.

/// Every text about it.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct ProviderTexts {
    pub button: &'static str,
    pub or: &'static str,
    pub away: &'static str,
    pub again: &'static str,
    pub denied: &'static str,
    pub failed: &'static str,
    pub may_not: &'static str,
    pub unknown: &'static str,
    pub taken: &'static str,
    pub signed_in: &'static str,
    pub go_on: &'static str,
    pub signs_in_by: &'static str,
    pub by_provider: fn(&str) -> String,
    pub nothing: &'static str,
}

/// English.
pub static EN: ProviderTexts = ProviderTexts {
    button: "Sign in with your organisation’s account",
    or: "or",
    away: "The identity provider does not answer right now. Try again in a moment, or sign in another way.",
    again: "This sign-in is over, was used before, or began in another browser. Start again.",
    denied: "The identity provider did not let you in, or you declined.",
    failed: "What the identity provider answered is not good. Start again; if it stays so, an admin finds the reason in the audit log.",
    may_not: "You are known, but may not sign in here. An admin can change that.",
    unknown: "You are not a user here yet. An admin can add you.",
    taken: "The user of your address is linked to another account of the identity provider. An admin can change that.",
    signed_in: "You are signed in",
    go_on: "Go on",
    signs_in_by: "Signs in by",
    by_provider: |issuer| format!("identity provider ({issuer})"),
    nothing: "nothing yet",
};

/// French.
pub static FR: ProviderTexts = ProviderTexts {
    button: "Se connecter avec le compte de votre organisation",
    or: "ou",
    away: "Le fournisseur d’identité ne répond pas en ce moment. Réessayez dans un instant, ou connectez-vous autrement.",
    again: "Cette connexion est terminée, a déjà servi ou a commencé dans un autre navigateur. Recommencez.",
    denied: "Le fournisseur d’identité ne vous a pas laissé entrer, ou vous avez refusé.",
    failed: "La réponse du fournisseur d’identité n’est pas bonne. Recommencez ; si cela persiste, un administrateur en trouve la raison dans le journal d’audit.",
    may_not: "Vous êtes connu, mais ne pouvez pas vous connecter ici. Un administrateur peut changer cela.",
    unknown: "Vous n’êtes pas encore utilisateur ici. Un administrateur peut vous ajouter.",
    taken: "L’utilisateur de votre adresse est lié à un autre compte du fournisseur d’identité. Un administrateur peut changer cela.",
    signed_in: "Vous êtes connecté",
    go_on: "Continuer",
    signs_in_by: "Se connecte par",
    by_provider: |issuer| format!("fournisseur d’identité ({issuer})"),
    nothing: "rien encore",
};
