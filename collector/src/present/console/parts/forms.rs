//! Fields of forms: a label that says what to write, a hint that stays, an error with its remedy where it was made.

use askama::Template;

/// A field.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/field.html")]
pub struct Field {
    /// Its name in the form; its id is `f-NAME`.
    pub name: &'static str,
    /// What to write.
    pub label: String,
    /// What is in it.
    pub value: String,
    /// An example, shown while nothing is in it.
    pub placeholder: String,
    /// More about it; may be empty.
    pub hint: String,
    /// What is wrong with its value and how to mend it; may be empty.
    pub error: String,
    /// Whether it must not be left empty.
    pub required: bool,
    /// Whether it takes a whole row of a form of two columns.
    pub wide: bool,
    /// How it is written.
    pub input: Input,
}

/// How a field is written.
#[derive(Debug, Clone)]
pub enum Input {
    /// One line.
    Line,
    /// Several, so many of them in sight.
    Lines(u32),
    /// One of some.
    Select(Vec<Choice>),
    /// A day and a time.
    When,
    /// A day.
    Day,
    /// A line that is not shown.
    Secret,
}

/// What a field can be set to.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// As the form sends it.
    pub value: String,
    /// As it is shown.
    pub label: String,
}

impl Field {
    /// A line of text.
    pub fn text(name: &'static str, value: &str) -> Self {
        Self {
            name,
            label: String::new(),
            value: value.to_owned(),
            placeholder: String::new(),
            hint: String::new(),
            error: String::new(),
            required: false,
            wide: false,
            input: Input::Line,
        }
    }

    /// The ids of what is said about it.
    fn described(&self) -> String {
        let told = [("error", &self.error), ("hint", &self.hint)];
        let ids = told.iter().filter(|(_, text)| !text.is_empty()).map(|(id, _)| format!("f-{}-{id}", self.name));
        ids.collect::<Vec<_>>().join(" ")
    }
}
