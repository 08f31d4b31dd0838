//! The hub of Hugging Face: `hf://OWNER/REPOSITORY[@REVISION]/FILE`, with the environment
//! variables of its own client (`huggingface_hub`).

use std::fmt;

use super::address::Address;
use super::download::Remote;
use crate::failure::Failure;

/// Where the hub is when `HF_ENDPOINT` says nothing.
const ENDPOINT: &str = "https://huggingface.co";

/// The branch that is taken without a revision.
const DEFAULT_REVISION: &str = "main";

/// Digits of a commit's name.
const COMMIT_DIGITS: usize = 40;

/// How the hub is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hub {
    endpoint: String,
    token: Option<Token>,
    /// `HF_HUB_OFFLINE`: only what was fetched before is used.
    pub(super) offline: bool,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            endpoint: ENDPOINT.to_string(),
            token: None,
            offline: false,
        }
    }
}

/// A secret that identifies the user to the hub; never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Token {
    /// The value of the header `authorization`.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl Hub {
    /// As the environment says.
    ///
    /// # Errors
    /// The token cannot be one.
    pub(super) fn from_environment(
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string());
        let is_on = |value: String| {
            let value = value.trim().to_ascii_lowercase();
            matches!(value.as_str(), "1" | "on" | "yes" | "true")
        };
        Ok(Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_string(),
            token: set("HF_TOKEN").map(|text| token(&text)).transpose()?,
            offline: set("HF_HUB_OFFLINE").is_some_and(is_on),
        })
    }

    /// The file that stands behind `hf://`.
    ///
    /// # Errors
    /// It does not name owner, repository and file.
    pub(super) fn remote(&self, text: &str) -> Result<Remote, Failure> {
        let wrong = || {
            Failure::new(format!("`hf://{text}` does not name a file of the hub"))
                .hint("write `hf://OWNER/REPOSITORY/FILE` or `hf://OWNER/REPOSITORY@REVISION/FILE`")
        };
        let mut parts = text.splitn(3, '/');
        let (Some(owner), Some(repository), Some(file)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let (repository, revision) = match repository.split_once('@') {
            Some((repository, revision)) => (repository, revision),
            None => (repository, DEFAULT_REVISION),
        };
        let is_known = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-%/".contains(c);
            !part.is_empty() && part.chars().all(plain) && !part.split('/').any(|p| p == "..")
        };
        if ![owner, repository, revision, file]
            .into_iter()
            .all(is_known)
        {
            return Err(wrong());
        }
        let address: Address = format!(
            "{}/{owner}/{repository}/resolve/{revision}/{file}",
            self.endpoint
        )
        .parse()?;
        Ok(Remote {
            address,
            token: self.token.clone(),
            is_of_hub: true,
            is_fixed: revision.len() == COMMIT_DIGITS
                && revision.bytes().all(|byte| byte.is_ascii_hexdigit()),
        })
    }
}

/// A blank inside of a secret is hard to see, so it is told at once.
fn token(text: &str) -> Result<Token, Failure> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Token(text.to_string()));
    }
    Err(
        Failure::new("the token in `HF_TOKEN` has a blank or another character that no token has")
            .hint("copy it again from the hub's settings"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub, Failure> {
        Hub::from_environment(&|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_string())
        })
    }

    #[test]
    fn a_file_of_the_hub_is_where_its_own_client_finds_it() {
        let cases = [
            (
                "timm/resnet18.a1_in1k/model.safetensors",
                "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors",
            ),
            (
                "me/net@v1.0/sub/weights.pth",
                "https://huggingface.co/me/net/resolve/v1.0/sub/weights.pth",
            ),
        ];
        for (text, expected) in cases {
            let remote = Hub::default().remote(text).unwrap();
            assert_eq!(remote.address.as_str(), expected);
            assert!(!remote.is_fixed);
        }
        let commit = format!("me/net@{}/f", "0a".repeat(20));
        assert!(Hub::default().remote(&commit).unwrap().is_fixed);
        for text in [
            "me/net",
            "me//f",
            "/net/f",
            "me/net/../f",
            "me/n t/f",
            "me/net@/f",
        ] {
            assert!(Hub::default().remote(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_environment_says_where_the_hub_is_and_who_asks() {
        let hub = hub(&[
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", " hf_word\n"),
            ("HF_HUB_OFFLINE", "1"),
        ])
        .unwrap();
        let remote = hub.remote("me/net/f").unwrap();
        assert_eq!(
            remote.address.as_str(),
            "https://mirror.example/me/net/resolve/main/f"
        );
        assert_eq!(remote.token.as_ref().unwrap().header(), "Bearer hf_word");
        assert!(hub.offline);
        assert!(!format!("{hub:?} {remote:?}").contains("word"));
    }

    #[test]
    fn a_blank_inside_of_a_token_is_told_without_showing_it() {
        let error = hub(&[("HF_TOKEN", "hf_wo rd")]).unwrap_err();
        assert!(error.to_string().contains("blank"));
        assert!(!error.to_string().contains("rd`"));
        assert_eq!(hub(&[("HF_TOKEN", "  ")]).unwrap(), Hub::default());
    }
}
