//! Where in a command a name may stand, so that quoting it once holds: what a POSIX shell takes for quotes, comments and words, and whether what it reads is read by a
//! second one.
//!
//! Not a shell's grammar: what is doubtful is refused, and the remedy told. A name within a comment is harmless, for no name has a line's end in it. But interactive zsh
//! knows no comments unless told, and would take a quote in one for a quote, so beside names comments have none.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What follows these is read by another shell, here or elsewhere, or (`xargs`) by its own rules of quoting.
const READERS: [&str; 7] = ["eval", "parallel", "rsh", "ssh", "trap", "watch", "xargs"];
/// These read it where an option has a `c` in it: `sh -c`, `bash -lc`.
const SHELLS: [&str; 8] = ["ash", "bash", "dash", "fish", "ksh", "sh", "su", "zsh"];
/// Options of `ssh` that take the next word.
const SSH_TAKES: &str = "bcDEeFIiJLlmOopQRSWw";

/// A simple command so far: what it runs, and who reads its words again.
#[derive(Default)]
struct Simple {
    /// Begins to read again with the next word.
    reader: Option<String>,
    /// A shell that reads again once it is told `-c`.
    shell: Option<String>,
    /// Of `ssh`: the next word that is no option is the host, which no shell reads.
    host_follows: bool,
    /// The next word belongs to an option.
    option_takes: bool,
}

impl Simple {
    /// Takes a word that has ended.
    fn word(&mut self, word: &str) {
        if self.reader.is_some() {
            if core::mem::take(&mut self.option_takes) || !self.host_follows {
                return;
            }
            match word.strip_prefix('-') {
                Some(option) => self.option_takes = option.len() == 1 && SSH_TAKES.contains(option),
                None => self.host_follows = false,
            }
            return;
        }
        if let Some(shell) = &self.shell
            && word.strip_prefix('-').is_some_and(|option| !option.starts_with('-') && option.contains('c'))
        {
            self.reader = Some(format!("{shell} {word}"));
            return;
        }
        let program = word.rsplit('/').next().unwrap_or(word);
        if READERS.contains(&program) {
            self.reader = Some(program.into());
            self.host_follows = program == "ssh";
        } else if SHELLS.contains(&program) {
            self.shell = Some(program.into());
        }
    }

    /// Who would read a name again that stands here, within a word that begins so.
    fn reads(&self, word: &str) -> Option<&str> {
        let host = self.host_follows && !self.option_takes && !word.starts_with('-');
        self.reader.as_deref().filter(|_| !host)
    }
}

/// Reads a command, text by text and name by name.
pub(super) struct Reader {
    quote: Option<char>,
    comment: bool,
    /// A quote stands in a comment.
    quoted_comment: bool,
    /// The character before; a letter in the place of what ends no word.
    last: char,
    /// What was before a backslash.
    before: char,
    word: String,
    /// The commands that are open, the innermost last: `$(` and `(` begin one.
    open: Vec<Simple>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let open = [Simple::default()].into();
        Self { quote: None, comment: false, quoted_comment: false, last: ' ', before: ' ', word: String::new(), open }
    }

    /// Takes a name that is put in here.
    ///
    /// # Errors
    /// Why it cannot stand here, with the remedy.
    pub(super) fn name(&mut self, name: &str) -> Result<(), String> {
        if self.comment {
            return Ok(());
        }
        if self.quote.is_some() {
            return Err(format!(
                "{{{name}}} stands within quotes: it is quoted as it is put in, so end them before it"
            ));
        }
        if matches!(self.last, '\\' | '$') {
            return Err(format!(
                "{{{name}}} stands after {:?}, which would undo its quotes: put a space between",
                self.last
            ));
        }
        if let Some(reader) = self.open.last().and_then(|command| command.reads(&self.word)) {
            return Err(format!(
                "{{{name}}} stands after `{reader}`, which has it read once more, and its quotes hold for one reader: name it before, or leave it to be filled in by hand"
            ));
        }
        self.word.push('x');
        self.last = 'x';
        Ok(())
    }

    /// Takes a text.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            self.take(c);
        }
    }

    fn take(&mut self, c: char) {
        if self.comment {
            self.quoted_comment |= matches!(c, '\'' | '"');
            self.comment = c != '\n';
            if !self.comment {
                self.end_of_command();
                self.last = c;
            }
            return;
        }
        if self.last == '\\' && self.quote != Some('\'') {
            // A line's end after a backslash is not there at all. What is escaped means nothing, two backslashes are one.
            self.last = if c == '\n' { self.before } else { 'x' };
            if c != '\n' {
                self.word.push(c);
            }
            return;
        }
        if c == '\\' && self.quote != Some('\'') {
            self.before = self.last;
            self.last = c;
            return;
        }
        match self.quote {
            Some(open) if c == open => self.quote = None,
            Some(_) => self.word.push(c),
            None => match c {
                '\'' | '"' => self.quote = Some(c),
                '#' if self.word.is_empty() && matches!(self.last, ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')') => {
                    self.comment = true;
                }
                ' ' | '\t' => self.end_of_word(),
                // `2>&1`
                '&' if matches!(self.last, '<' | '>') => self.word.push(c),
                '\n' | ';' | '&' | '|' => self.end_of_command(),
                '(' => {
                    self.end_of_word();
                    self.open.push(Simple::default());
                }
                ')' => {
                    self.end_of_word();
                    if self.open.len() > 1 {
                        self.open.pop();
                    }
                }
                c => self.word.push(c),
            },
        }
        self.last = c;
    }

    fn end_of_word(&mut self) {
        if let Some(command) = self.open.last_mut()
            && !self.word.is_empty()
        {
            command.word(&self.word);
        }
        self.word.clear();
    }

    fn end_of_command(&mut self) {
        self.end_of_word();
        if let Some(command) = self.open.last_mut() {
            *command = Simple::default();
        }
    }

    /// The quote that is open at the end.
    pub(super) const fn open_quote(&self) -> Option<char> {
        self.quote
    }

    /// Whether a comment has a quote in it.
    pub(super) const fn has_quoted_comment(&self) -> bool {
        self.quoted_comment
    }
}
