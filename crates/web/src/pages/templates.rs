//! The templates, in the binary.

use axum::response::Html;
use minijinja::value::{Serde, merge_maps};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, escape_formatter};
use rust_embed::RustEmbed;
use serde::Serialize;

use super::filters;
use crate::assets::Assets;
use crate::error::ApiError;
use crate::state::AppState;
use crate::views::moment;

#[derive(RustEmbed)]
#[folder = "templates/"]
struct Files;

/// The pages in the main navigation: name and address.
const NAVIGATION: [(&str, &str); 6] = [
    ("Predict", "/"),
    ("Runs", "/ui/runs"),
    ("Models", "/ui/models"),
    ("Datasets", "/ui/datasets"),
    ("Predictions", "/ui/predictions"),
    ("API", "/docs"),
];

#[derive(Serialize)]
struct NavigationItem {
    name: &'static str,
    address: &'static str,
}

/// What the frame around every page shows.
#[derive(Serialize)]
struct Frame<'a> {
    navigation: [NavigationItem; NAVIGATION.len()],
    /// The address of the navigation's item that the page belongs to.
    active: &'a str,
    default_model: Option<String>,
    program_version: &'static str,
    /// The time of rendering, which "a minute ago" is told from.
    now: String,
}

/// All templates, ready to render.
pub(crate) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    pub(crate) fn new(assets: Assets) -> Self {
        let mut environment = Environment::new();
        environment.set_loader(|name| {
            let file = Files::get(name);
            Ok(file.map(|file| String::from_utf8_lossy(&file.data).into_owned()))
        });
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_formatter(|output, state, value| {
            match value.as_str().filter(|_| !value.is_safe()) {
                Some(text) => Ok(output.write_str(&escaped(text))?),
                None => escape_formatter(output, state, value),
            }
        });
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.add_function("asset", move |path: &str| assets.address(path));
        filters::add_to(&mut environment);
        Self { environment }
    }

    /// Renders a page; `active` is the address of the navigation's item that it belongs to.
    pub(crate) fn render(
        &self,
        state: &AppState,
        name: &str,
        active: &str,
        page: &impl Serialize,
    ) -> Result<Html<String>, ApiError> {
        let default = state.models.default_model();
        let frame = Frame {
            navigation: NAVIGATION.map(|(name, address)| NavigationItem { name, address }),
            active,
            default_model: default.map(|model| model.version.reference().to_string()),
            program_version: env!("CARGO_PKG_VERSION"),
            now: moment(state.clock.now()),
        };
        self.render_framed(name, page, &frame)
    }

    fn render_framed(
        &self,
        name: &str,
        page: &impl Serialize,
        frame: &Frame<'_>,
    ) -> Result<Html<String>, ApiError> {
        let context = merge_maps([Value::from(Serde(page)), Value::from(Serde(frame))]);
        let template = self.environment.get_template(name);
        template
            .and_then(|template| template.render(context))
            .map(Html)
            .map_err(|error| ApiError::internal(format!("{error:#}")))
    }
}

/// A text for HTML, also within an attribute's quotes. minijinja's own escaping does `/` too,
/// which every address has.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_parsed() {
        let templates = Templates::new(Assets::new());
        for name in Files::iter() {
            if let Err(error) = templates.environment.get_template(&name) {
                panic!("{name}: {error:#}");
            }
        }
    }

    #[test]
    fn no_template_has_inline_script_or_style() {
        for name in Files::iter() {
            let file = Files::get(&name).unwrap();
            let text = String::from_utf8(file.data.into_owned()).unwrap();
            for forbidden in [" style=", "<style", "<script>", " onclick=", "javascript:"] {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
        }
    }

    #[test]
    fn what_is_shown_is_escaped() {
        let templates = Templates::new(Assets::new());
        let page = serde_json::json!({
            "status": 404,
            "problem": {"error": "<script>alert(1)</script>", "kind": "\"'&", "hint": null},
        });
        let frame = Frame {
            navigation: NAVIGATION.map(|(name, address)| NavigationItem { name, address }),
            active: "/",
            default_model: None,
            program_version: "0",
            now: String::new(),
        };
        let html = templates.render_framed("error.html", &page, &frame);
        let html = html.unwrap().0;
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>alert"));
        assert!(html.contains("404 &quot;&#39;&amp;"));
    }
}
