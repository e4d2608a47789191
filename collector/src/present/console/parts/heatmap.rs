//! A figure by day and hour, as a table whose cells are coloured: its text is there for those who do not see the colours.

use askama::Template;

/// The table.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/heatmap.html")]
pub struct Heatmap {
    /// What is shown, and of which hours: a sentence.
    pub caption: String,
    /// Days with their 24 hours, the newest last.
    pub days: Vec<(String, Vec<Hour>)>,
    /// The grades that occur, with what they mean.
    pub key: Vec<(&'static str, String)>,
}

/// One hour.
#[derive(Debug, Clone, Default)]
pub struct Hour {
    /// `0` (nothing known), `1` (good) to `5` (bad), or `m` (maintenance): a class.
    pub grade: &'static str,
    /// Whether less than half of it is known: it is hatched.
    pub thin: bool,
    /// The figure.
    pub value: String,
    /// What a pointer is told: day, hour, figure, and how much of it is known where that is not all.
    pub title: String,
}
