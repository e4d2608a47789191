//! The words of refusals as pages.

use crate::present::problem::Code;

/// Every text about refusals as pages.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct TroubleTexts {
    pub title: fn(Code) -> &'static str,
    pub what: fn(Code) -> &'static str,
    /// A check's id, and since when it is retired.
    pub retired: fn(&str, &str) -> String,
    /// An id that another has.
    pub taken: fn(&str) -> String,
    pub its_incidents: &'static str,
    pub nothing_saved: &'static str,
    /// Above a form that somebody was faster with.
    pub changed_meanwhile: &'static str,
    /// The same, where no plan is shown.
    pub changed_below: &'static str,
    pub back: &'static str,
    pub ways: &'static str,
}

/// English.
pub static EN: TroubleTexts = TroubleTexts {
    title: |code| match code {
        Code::BadRequest => "This was not understood",
        Code::BadChecks => "What was written is wrong",
        Code::Unauthorized => "Sign in first",
        Code::Forbidden => "This is not allowed",
        Code::NotFound => "There is nothing here",
        Code::MethodNotAllowed => "This address takes nothing of that kind",
        Code::Conflict => "Something is in the way",
        Code::Changed => "It changed meanwhile",
        Code::KeyReused => "This was sent before as something else",
        Code::TooLarge => "This is too long",
        Code::TooMany => "Asked too often",
        Code::Unavailable => "Not possible just now",
        Code::Internal => "The collector failed",
    },
    what: |code| match code {
        Code::BadRequest => "The address or the form says something that this page does not take. Nothing was changed.",
        Code::BadChecks | Code::Conflict | Code::KeyReused => "Nothing was changed.",
        Code::Unauthorized => "Nothing was changed.",
        Code::Forbidden => "Nothing was changed. Somebody who may do more can do it, or give you another role.",
        Code::NotFound => "The address may be mistyped, or what it led to is gone.",
        Code::MethodNotAllowed => "Go back and try again from the page itself.",
        Code::Changed => "Somebody else changed it. Look at it again; nothing was overwritten.",
        Code::TooLarge => "Nothing was changed: send less at once.",
        Code::TooMany => "Wait a moment, then try again.",
        Code::Unavailable => {
            "Checks go on meanwhile. Try again in a moment; what you wrote is still in your browser: go back to it."
        }
        Code::Internal => "Its log has more. Try again; if it stays so, tell whoever runs it.",
    },
    retired: |id, at| format!("The check {id} is retired since {at}. Its incidents and its history are kept."),
    taken: |id| format!("there is one of the name {id} already: choose another, or edit that one"),
    its_incidents: "Its incidents",
    nothing_saved: "Nothing was saved: your session was over when this came in. What you wrote is still in your browser: sign in in another window, go back there and send it again.",
    changed_meanwhile: "Somebody changed this since you opened the form. Below is what you wrote; the plan is made from what is there now.",
    changed_below: "somebody changed this since you opened the form. Below is what you wrote: sent again, it takes the place of what is there now.",
    back: "Back to the page",
    ways: "Where to go on",
};

/// French.
pub static FR: TroubleTexts = TroubleTexts {
    title: |code| match code {
        Code::BadRequest => "Demande incomprise",
        Code::BadChecks => "Ce qui est écrit est incorrect",
        Code::Unauthorized => "Connectez-vous d’abord",
        Code::Forbidden => "Ce n’est pas permis",
        Code::NotFound => "Il n’y a rien ici",
        Code::MethodNotAllowed => "Cette adresse ne prend rien de tel",
        Code::Conflict => "Quelque chose s’y oppose",
        Code::Changed => "Modifié entre-temps",
        Code::KeyReused => "Déjà envoyé, comme autre chose",
        Code::TooLarge => "C’est trop long",
        Code::TooMany => "Trop de demandes",
        Code::Unavailable => "Impossible pour l’instant",
        Code::Internal => "Le collecteur a échoué",
    },
    what: |code| match code {
        Code::BadRequest => "L’adresse ou le formulaire contient ce que cette page ne prend pas. Rien n’a changé.",
        Code::BadChecks | Code::Conflict | Code::KeyReused => "Rien n’a changé.",
        Code::Unauthorized => "Rien n’a changé.",
        Code::Forbidden => {
            "Rien n’a changé. Quelqu’un qui a plus de droits peut le faire, ou vous donner un autre rôle."
        }
        Code::NotFound => "L’adresse est peut-être mal écrite, ou ce qu’elle désignait n’est plus là.",
        Code::MethodNotAllowed => "Revenez en arrière et recommencez depuis la page.",
        Code::Changed => "Quelqu’un d’autre l’a modifié. Regardez à nouveau ; rien n’a été écrasé.",
        Code::TooLarge => "Rien n’a changé : envoyez-en moins à la fois.",
        Code::TooMany => "Attendez un instant, puis réessayez.",
        Code::Unavailable => {
            "Les contrôles continuent. Réessayez dans un instant ; ce que vous avez écrit est encore dans votre navigateur : revenez en arrière."
        }
        Code::Internal => "Son journal en dit plus. Réessayez ; si cela dure, prévenez qui l’exploite.",
    },
    retired: |id, at| {
        format!("Le contrôle {id} est retiré depuis le {at}. Ses incidents et son historique sont conservés.")
    },
    taken: |id| format!("le nom {id} est déjà pris : choisissez-en un autre, ou modifiez celui qui le porte"),
    its_incidents: "Ses incidents",
    nothing_saved: "Rien n’a été enregistré : votre session était terminée à l’arrivée du formulaire. Ce que vous avez écrit est encore dans votre navigateur : connectez-vous dans une autre fenêtre, revenez au formulaire et renvoyez-le.",
    changed_meanwhile: "Quelqu’un l’a changé depuis l’ouverture du formulaire. Voici ce que vous aviez écrit ; le plan part de ce qui existe maintenant.",
    changed_below: "quelqu’un l’a changé depuis l’ouverture du formulaire. Voici ce que vous aviez écrit : renvoyé, cela remplace ce qui existe maintenant.",
    back: "Revenir à la page",
    ways: "Où continuer",
};
