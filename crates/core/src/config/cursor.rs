//! A place in the text of a value, for the parsers that walk over it.

use super::token::{Token, blanks, first_token};

/// A text, and how far it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The whole text.
    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// What was read since another was here.
    pub(crate) fn since(&self, start: &Self) -> &'a str {
        &self.text[start.position..self.position]
    }

    /// The number of the next character, from 1.
    pub(crate) fn character(&self) -> usize {
        self.text[..self.position].chars().count() + 1
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    /// The next token.
    pub(crate) fn peek(&self) -> Option<Token> {
        first_token(self.rest()).map(|(token, _)| token)
    }

    /// The next character, if it is a quote.
    pub(crate) fn peek_quote(&self) -> Option<char> {
        let next = self.rest().chars().next();
        next.filter(|character| matches!(character, '"' | '\''))
    }

    /// Reads so many bytes, which end with a character.
    pub(crate) fn advance(&mut self, bytes: usize) -> &'a str {
        let start = *self;
        self.position += bytes;
        self.since(&start)
    }

    /// Reads a token if it is the next one.
    pub(crate) fn take(&mut self, wanted: Token) -> bool {
        match first_token(self.rest()) {
            Some((token, length)) if token == wanted => {
                self.position += length;
                true
            }
            _ => false,
        }
    }

    /// Reads a text if it is the next one.
    pub(crate) fn take_text(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.position += wanted.len();
        }
        found
    }

    /// Reads all that comes next of one character; answers how many.
    pub(crate) fn take_all(&mut self, character: char) -> usize {
        let rest = self.rest();
        let bytes = rest.len() - rest.trim_start_matches(character).len();
        self.position += bytes;
        bytes / character.len_utf8()
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.position += blanks(self.rest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_was_asked_for_and_nothing_else() {
        let mut cursor = Cursor::new("..é[ 1, \"x\"");
        assert_eq!(cursor.take_all('.'), 2);
        let start = cursor;
        assert_eq!(cursor.peek(), None);
        assert!(!cursor.take(Token::Comma) && !cursor.take_text("["));
        assert_eq!(cursor.advance("é".len()), "é");
        assert_eq!(cursor.character(), 4);
        assert!(cursor.take(Token::BracketOpen) && cursor.take_text("1"));
        assert!(cursor.take(Token::Comma));
        assert_eq!(cursor.peek_quote(), Some('"'));
        assert_eq!(cursor.since(&start), "é[ 1, ");
        assert_eq!(cursor.advance(3), "\"x\"");
        assert!(cursor.is_at_end());
        cursor.skip_blanks();
        assert_eq!((cursor.peek(), cursor.peek_quote()), (None, None));
        assert_eq!(cursor.text().len(), 12);
    }
}
