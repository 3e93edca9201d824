//! Words in two languages, and putting them into HTML.

use std::fmt;

/// The language that a report is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
    /// Chinese, and English after it.
    Both,
}

impl Lang {
    /// What pages name as their language (BCP 47).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Zh | Self::Both => "zh-CN",
            Self::En => "en",
        }
    }

    /// The words for this language, as plain text.
    #[must_use]
    pub fn plain(self, zh: &str, en: &str) -> String {
        match self {
            Self::Zh => zh.to_owned(),
            Self::En => en.to_owned(),
            Self::Both if zh == en => zh.to_owned(),
            Self::Both => format!("{zh} {en}"),
        }
    }

    /// The same as HTML.
    pub(crate) fn say(self, zh: &str, en: &str) -> Html {
        match self {
            Self::Zh => Html::text(zh),
            Self::En => Html::text(en),
            Self::Both if zh == en => Html::text(zh),
            Self::Both => Html(format!(
                "{}<span class=\"en\">{}</span>",
                Html::text(zh),
                Html::text(en)
            )),
        }
    }
}

/// HTML in which everything that came from outside is escaped: [`Html::text`] and [`Lang::say`] make it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Html(String);

impl Html {
    /// Text, with every character that HTML would take for markup escaped, and without what could make a line
    /// read in another order than it was written (bidirectional controls).
    pub(crate) fn text(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                '\n' => out.push_str("<br>"),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                    out.push('\u{fffd}');
                }
                control if control.is_control() => out.push('\u{fffd}'),
                other => out.push(other),
            }
        }
        Self(out)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Html {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// It is escaped already.
impl askama::filters::HtmlSafe for Html {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_inert_html() {
        for (text, html) in [
            ("上海 & Co", "上海 &amp; Co"),
            (
                "<script>alert('1')</script>",
                "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;",
            ),
            ("\"onload=x", "&quot;onload=x"),
            ("a\nb\u{0}\u{1b}", "a<br>b\u{fffd}\u{fffd}"),
            ("\u{202e}moc", "\u{fffd}moc"),
        ] {
            assert_eq!(Html::text(text).to_string(), html);
        }
        let both = Lang::Both.say("名称<", "Name");
        assert_eq!(both.to_string(), "名称&lt;<span class=\"en\">Name</span>");
    }
}
