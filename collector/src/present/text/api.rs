//! The words around the API's description, which itself is written in English.

/// The words around the API's description.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct ApiTexts {
    pub title: &'static str,
    pub what: &'static str,
    pub families: &'static str,
    pub scope: &'static str,
    pub parameters: &'static str,
    pub needed: &'static str,
    pub body: &'static str,
    pub answers: &'static str,
    pub shapes: &'static str,
}

/// English.
pub static EN: ApiTexts = ApiTexts {
    title: "API",
    what: "Every path, with what it takes and answers. The same as an OpenAPI 3.1 document:",
    families: "Families of paths",
    scope: "Scope",
    parameters: "Parameters",
    needed: "required",
    body: "Body",
    answers: "Answers",
    shapes: "Shapes",
};

/// French.
pub static FR: ApiTexts = ApiTexts {
    title: "API",
    what: "Chaque chemin, avec ce qu’il attend et ce qu’il répond (descriptions en anglais). La même chose en document OpenAPI 3.1 :",
    families: "Familles de chemins",
    scope: "Portée",
    parameters: "Paramètres",
    needed: "obligatoire",
    body: "Corps",
    answers: "Réponses",
    shapes: "Structures",
};
