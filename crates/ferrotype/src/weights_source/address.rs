//! Addresses of files on the web.

use std::fmt;
use std::str::FromStr;

use crate::failure::Failure;

/// An `http` or `https` address without user and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address(String);

impl FromStr for Address {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let text = text.split('#').next().unwrap_or(text);
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(|| Failure::new(format!("`{text}` is no address on the web")))?;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        if host.contains('@') {
            return Err(
                Failure::new("an address with a user or a password is not taken")
                    .hint("it would be kept with the run; download the file and name it"),
            );
        }
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !is_plain {
            return Err(Failure::new(format!("`{text}` is no address on the web"))
                .hint("blanks and other special characters are written as `%20` and alike"));
        }
        Ok(Self(text.to_string()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Address {
    /// Without the query, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split('?').next().unwrap_or_default())
    }
}

impl Address {
    /// All of it, for the request.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port: who is spoken to.
    pub(super) fn origin(&self) -> &str {
        let begin = self.0.find("://").map_or(0, |position| position + 3);
        let length = self.0[begin..].find(['/', '?']);
        &self.0[..length.map_or(self.0.len(), |length| begin + length)]
    }

    fn is_encrypted(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The last part of the path, as the name of a file.
    pub(super) fn file_name(&self) -> String {
        const LONGEST: usize = 100;
        let path = self.0.split('?').next().unwrap_or_default();
        let path = path.strip_prefix(self.origin()).unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let name: String = last
            .chars()
            .map(|character| match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => character,
                _ => '_',
            })
            .take(LONGEST)
            .collect();
        match name.trim_start_matches('.') {
            "" => "weights".to_string(),
            name => name.to_string(),
        }
    }

    /// Where a redirect from here leads (RFC 9110, section 10.2.2).
    ///
    /// # Errors
    /// It leads from an encrypted connection to one that is not, or is no address.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, Failure> {
        let scheme_end = self.0.find(':').unwrap_or_default();
        let target = if location.contains("://") {
            location.to_string()
        } else if location.starts_with("//") {
            format!("{}:{location}", &self.0[..scheme_end])
        } else if location.starts_with('/') {
            format!("{}{location}", self.origin())
        } else {
            let path = self.0.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        let target: Self = target.parse()?;
        if self.is_encrypted() && !target.is_encrypted() {
            return Err(Failure::new(format!(
                "`{self}` leads to `{target}`, which is not encrypted"
            )));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn redirects_are_followed_as_browsers_do() {
        let here = address("https://hub.example:8443/a/b?x=1");
        let cases = [
            ("https://cdn.example/f", "https://cdn.example/f"),
            ("//cdn.example/f", "https://cdn.example/f"),
            ("/f?y", "https://hub.example:8443/f?y"),
            ("f", "https://hub.example:8443/a/f"),
        ];
        for (location, expected) in cases {
            assert_eq!(here.redirected(location).unwrap().as_str(), expected);
        }
        let error = here.redirected("http://cdn.example/f").unwrap_err();
        assert!(error.to_string().contains("not encrypted"));
    }

    #[test]
    fn the_file_is_named_by_the_path_and_never_outside_of_its_folder() {
        let cases = [
            ("https://h/models/resnet18.pth?x=/y", "resnet18.pth"),
            ("https://h", "weights"),
            ("https://h/", "weights"),
            ("https://h/a/..", "weights"),
            ("https://h/a%2Fb", "a_2Fb"),
        ];
        for (text, expected) in cases {
            assert_eq!(address(text).file_name(), expected, "{text}");
        }
    }

    #[test]
    fn secrets_in_addresses_are_neither_taken_nor_shown() {
        assert!("https://me:word@h/f".parse::<Address>().is_err());
        let signed = address("https://h/f?signature=word");
        assert_eq!(format!("{signed} {signed:?}"), "https://h/f https://h/f");
        assert!("https://h/a b".parse::<Address>().is_err());
    }
}
