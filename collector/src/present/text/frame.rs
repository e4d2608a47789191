//! The words around every page.

/// The words around every page.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct FrameTexts {
    pub places: &'static str,
    pub home: &'static str,
    pub theme: &'static str,
    pub auto: &'static str,
    pub light: &'static str,
    pub dark: &'static str,
    pub watch: &'static str,
    pub respond: &'static str,
    pub improve: &'static str,
    pub system: &'static str,
    pub menu: &'static str,
}

/// English.
pub static EN: FrameTexts = FrameTexts {
    places: "Places",
    home: "Overview",
    theme: "Colours",
    auto: "Auto",
    light: "Light",
    dark: "Dark",
    watch: "Watch",
    respond: "Respond",
    improve: "Improve",
    system: "System",
    menu: "Menu",
};

/// French.
pub static FR: FrameTexts = FrameTexts {
    places: "Rubriques",
    home: "Vue d’ensemble",
    theme: "Couleurs",
    auto: "Auto",
    light: "Clair",
    dark: "Sombre",
    watch: "Surveiller",
    respond: "Réagir",
    improve: "Améliorer",
    system: "Système",
    menu: "Menu",
};
