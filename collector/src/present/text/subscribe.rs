//! The words of subscriptions to status pages, and of their mails.

/// Every text about subscriptions.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct SubscribeTexts {
    pub subscribe: &'static str,
    pub what: &'static str,
    pub address: &'static str,
    pub button: &'static str,
    pub asked: &'static str,
    pub bad_address: &'static str,
    pub later: &'static str,
    pub confirm: fn(&str) -> String,
    pub confirm_button: &'static str,
    pub confirmed: &'static str,
    pub end: fn(&str) -> String,
    pub end_button: &'static str,
    pub ended: &'static str,
    pub dead: &'static str,
    pub back: &'static str,
    pub mail_confirm_subject: fn(&str) -> String,
    pub mail_confirm: fn(&str) -> String,
    /// Before the link that confirms.
    pub mail_confirm_link: &'static str,
    /// Below the link that confirms.
    pub mail_ignore: &'static str,
    pub mail_resolved: fn(&str) -> String,
    pub mail_update: fn(&str) -> String,
    pub mail_since: fn(&str) -> String,
    pub mail_until: fn(&str, &str, &str) -> String,
    pub mail_cancelled: fn(&str) -> String,
    pub mail_ended_early: fn(&str) -> String,
    /// When it was to be.
    pub mail_planned: fn(&str) -> String,
    /// Above the link that ends it.
    pub mail_end: fn(&str) -> String,
}

/// English.
pub static EN: SubscribeTexts = SubscribeTexts {
    subscribe: "Subscribe by e-mail",
    what: "You get a mail when an incident of this page begins, when there is news of it, and when it ends, and three days before maintenance, also when that is cancelled. Every mail has a link that ends it.",
    address: "E-mail address",
    button: "Subscribe",
    asked: "If this address can be subscribed, a mail is on its way to it. Open the link in it within 48 hours to confirm.",
    bad_address: "This is no e-mail address that can be written to.",
    later: "Too many have asked just now. Try again later.",
    confirm: |title| format!("Get mails of “{title}”?"),
    confirm_button: "Yes, confirm",
    confirmed: "Your subscription is confirmed.",
    end: |title| format!("Get no more mails of “{title}”?"),
    end_button: "Unsubscribe",
    ended: "You get no more mails. Your address is forgotten.",
    dead: "This link does not work, or does not work any more.",
    back: "To the status page",
    mail_confirm_subject: |title| format!("Confirm your subscription: {title}"),
    mail_confirm: |title| {
        format!("Somebody, probably you, asked for mails about incidents and maintenance of “{title}” to this address.")
    },
    mail_confirm_link: "To confirm, open:",
    mail_ignore: "If it was not you, do nothing: without your confirmation nothing else is sent, and your address is forgotten after 48 hours.",
    mail_resolved: |what| format!("Resolved: {what}"),
    mail_update: |what| format!("Update: {what}"),
    mail_since: |at| format!("Since {at}."),
    mail_until: |from, to, length| format!("From {from} to {to} ({length})."),
    mail_cancelled: |what| format!("Cancelled: {what}"),
    mail_ended_early: |what| format!("Ended early: {what}"),
    mail_planned: |when| format!("It was announced: {when}."),
    mail_end: |title| format!("You get this mail because you subscribed to “{title}”. To get no more:"),
};

/// French.
pub static FR: SubscribeTexts = SubscribeTexts {
    subscribe: "S’abonner par courriel",
    what: "Vous recevez un courriel quand un incident de cette page commence, quand il y a du nouveau et quand il se termine, ainsi que trois jours avant une maintenance, et si elle est annulée. Chaque courriel contient un lien de désabonnement.",
    address: "Adresse de courriel",
    button: "S’abonner",
    asked: "Si cette adresse peut être abonnée, un courriel est en route. Ouvrez le lien qu’il contient sous 48 heures pour confirmer.",
    bad_address: "Ce n’est pas une adresse de courriel à laquelle on peut écrire.",
    later: "Trop de demandes en ce moment. Réessayez plus tard.",
    confirm: |title| format!("Recevoir les courriels de « {title} » ?"),
    confirm_button: "Oui, confirmer",
    confirmed: "Votre abonnement est confirmé.",
    end: |title| format!("Ne plus recevoir les courriels de « {title} » ?"),
    end_button: "Se désabonner",
    ended: "Vous ne recevrez plus de courriels. Votre adresse est oubliée.",
    dead: "Ce lien ne fonctionne pas, ou plus.",
    back: "Vers la page d’état",
    mail_confirm_subject: |title| format!("Confirmez votre abonnement : {title}"),
    mail_confirm: |title| {
        format!(
            "Quelqu’un, sans doute vous, a demandé des courriels sur les incidents et maintenances de « {title} » à cette adresse."
        )
    },
    mail_confirm_link: "Pour confirmer, ouvrez :",
    mail_ignore: "Si ce n’était pas vous, ne faites rien : sans votre confirmation, rien d’autre n’est envoyé, et votre adresse est oubliée après 48 heures.",
    mail_resolved: |what| format!("Résolu : {what}"),
    mail_update: |what| format!("Point de situation : {what}"),
    mail_since: |at| format!("Depuis le {at}."),
    mail_until: |from, to, length| format!("Du {from} au {to} ({length})."),
    mail_cancelled: |what| format!("Annulation : {what}"),
    mail_ended_early: |what| format!("Fin anticipée : {what}"),
    mail_planned: |when| format!("Elle était annoncée : {when}."),
    mail_end: |title| {
        format!("Vous recevez ce courriel car vous êtes abonné à « {title} ». Pour ne plus en recevoir :")
    },
};
